"""What a search tried: the configuration it chose, its front, and both as a reader says them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from mi2p.paths import shown
from mi2p.plan import Plan, PlanRow, Searched
from mi2p.spec import TrialSpec

Changes = Mapping[str, Any]
"""Path in the spec to value, of what is not as declared."""

PARTS = ("train", "model", "data")
"""Of a spec, in the order in which their values are told."""

NAMES: Mapping[str, str] = MappingProxyType(
    {"attach": "layers", "kind": "fusion", "lr_multiplier": "unit lr multiplier", "d_k": "d_k"}
)
"""What a reader calls a field; others by their own name, with spaces."""

DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration of a search that is over."""

    trial_id: str
    value: float
    """The metric on validation, as a fraction."""
    cost: float
    """The second objective."""
    changes: Changes | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the search of a row found."""

    row: PlanRow
    searched: Searched
    changes: Changes | None
    """Of the chosen configuration; None if the declared one is not known: its trial left none."""
    front: tuple[Candidate, ...]
    """With two objectives: what no other configuration is better than, the best metric first."""


def find(plan: Plan, trials: pd.DataFrame) -> list[Found]:
    """Of every searched row, from rows of `mi2p.store.load`."""
    mine = {trial_id for row in plan.rows if row.searched for trial_id in row.searched.trials}
    kept = trials[trials["trial_id"].isin(mine)].set_index("trial_id")
    return [_found(row, row.searched, kept) for row in plan.rows if row.searched is not None]


def _found(row: PlanRow, searched: Searched, trials: pd.DataFrame) -> Found:
    first = searched.trials[0]
    declared = _spec(str(trials.loc[first, "spec"])) if first in trials.index else None
    return Found(
        row=row,
        searched=searched,
        changes=changes(declared, row.specs[0]),
        front=front(_candidates(searched, declared, trials)),
    )


def changes(declared: TrialSpec | None, chosen: TrialSpec) -> Changes | None:
    """What `chosen` has otherwise, but for seed and stage."""
    if declared is None:
        return None
    before = dict(_flat(declared.to_dict()))
    after = dict(_flat(chosen.to_dict()))
    return {path: value for path, value in after.items() if before.get(path) != value}


def front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that no other one is better than in one objective and no worse in the other.

    The metric is to be large, the second objective small.
    """
    kept = [
        one
        for one in candidates
        if not any(
            other.value >= one.value
            and other.cost <= one.cost
            and (other.value, other.cost) != (one.value, one.cost)
            for other in candidates
        )
    ]
    return tuple(sorted(kept, key=lambda one: (-one.value, one.cost)))


def told(changes: Changes, *, both: bool) -> list[str]:
    """Items such as `lr 2.1e-4`, `heads 4`, `layers 1-3`; numbers are rounded to two digits.

    `both` says that both backbones have units, so that a reader must know whose heads they are.
    """
    return [f"{name_of(path, both=both)} {short(value)}" for path, value in changes.items()]


def assignments(changes: Changes) -> str:
    """The same with paths and in full, as `--set` takes them."""
    return " ".join(f"{path}={_full(value)}" for path, value in changes.items())


def _candidates(
    searched: Searched, declared: TrialSpec | None, trials: pd.DataFrame
) -> list[Candidate]:
    """What finished with both objectives, if there are two."""
    if searched.against is None:
        return []
    found = []
    for trial_id in searched.trials:
        if trial_id not in trials.index or trials.loc[trial_id, "status"] != "done":
            continue
        row = trials.loc[trial_id].to_dict()
        value, cost = float(row[searched.metric]), float(row[searched.against])
        if math.isfinite(value) and math.isfinite(cost):
            differs = changes(declared, _spec(row["spec"]))
            found.append(Candidate(trial_id=trial_id, value=value, cost=cost, changes=differs))
    return found


def _spec(text: str) -> TrialSpec:
    try:
        return TrialSpec.from_dict(json.loads(text))
    except TypeError as error:
        raise ValueError(f"a stored trial has a spec that is none any more: {error}") from error


def _flat(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in PARTS if not prefix else plain:
        value = plain[name]
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def name_of(path: str, *, both: bool) -> str:
    """What a reader calls a field; `both` as in `told`."""
    *_, part, field = path.split(".")
    name = NAMES.get(field, field.replace("_", " "))
    if part in ("units", "textual_units") and both:
        return f"{'visual' if part == 'units' else 'textual'} {name}"
    return name


def short(value: Any) -> str:
    """A field's value as text, numbers rounded to two digits."""
    if not isinstance(value, float):
        return _full(value)
    rounded = float(f"{value:.{DIGITS}g}")
    if rounded == 0 or 1e-3 <= abs(rounded) < 1e6:
        return f"{rounded:g}"
    mantissa, exponent = f"{rounded:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _full(value: Any) -> str:
    """As text that `--set` reads back."""
    return shown(tuple(value) if isinstance(value, list) else value)
