"""Which rows and trials `--rows` and `--force` mean.

A *filter* is terms joined by commas, all of which must hold; of several filters any may hold. A
term is a pattern of the row's key (`me_*`), `dataset=PATTERN`, `seed=NUMBERS` (`seed=0`,
`seed=0-2`), or `PATH=VALUE` of the spec (`train.lr=3e-5`). Patterns are those of a shell, upper
and lower case apart; keys and data sets hold none of the characters that these use. Numbers after
a comma go on with a list: `model.units.attach=1,2,seed=0,2` is two terms. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mi2p.paths import has, parsed, shown, value_at
from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec

_NUMBERS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_BETWEEN_TERMS = re.compile(r",(?!\d+(?:-\d+)?(?:,|$))")
LEGAL = (
    "a term is a pattern of a row's key such as me_*, dataset=PATTERN, seed=NUMBERS such as 0-2, "
    "or PATH=VALUE of the spec such as train.lr=3e-5"
)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Terms that must all hold of a trial and of its row."""

    text: str
    """As it was typed."""
    keys: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    seeds: tuple[frozenset[int], ...] = ()
    values: tuple[tuple[str, Any], ...] = ()
    """Paths of the spec and what they must hold."""

    def holds(self, row: PlanRow) -> bool:
        """Whether all terms but those of seeds hold of a row."""
        spec = row.specs[0]
        return (
            all(fnmatchcase(row.key, pattern) for pattern in self.keys)
            and all(fnmatchcase(row.dataset, pattern) for pattern in self.datasets)
            and all(_read(spec, path) == value for path, value in self.values)
        )

    def chooses(self, row: PlanRow, spec: TrialSpec) -> bool:
        """Whether all terms hold of a trial of a row."""
        return self.holds(row) and all(spec.seed in seeds for seeds in self.seeds)


def reads(spec: TrialSpec, path: str) -> bool:
    """Whether `spec` has the part of `path` and makes use of it: an average trains nothing."""
    return has(spec, path) and not (spec.averages and path.startswith("train."))


def _read(spec: TrialSpec, path: str) -> Any:
    """What `spec` reads there, None if nothing: `model.textual=None` holds of a CNN."""
    return value_at(spec, path) if reads(spec, path) else None


def parse_filter(text: str) -> Filter:
    """The filter that `text` says; `ValueError` for a term that is none says what is legal."""
    terms: dict[str, list[Any]] = {"keys": [], "datasets": [], "seeds": [], "values": []}
    for term in _BETWEEN_TERMS.split(text):
        field, equals, value = term.partition("=")
        if not term:
            raise ValueError(f"filter {text!r} has an empty term; {LEGAL}")
        if not equals:
            terms["keys"].append(term)
        elif field == "dataset":
            terms["datasets"].append(value)
        elif field == "seed":
            terms["seeds"].append(_numbers(text, value))
        else:
            terms["values"].append((field, _parsed(text, field, value)))
    return Filter(text=text, **{name: tuple(found) for name, found in terms.items()})


def _numbers(text: str, value: str) -> frozenset[int]:
    """`0,2-4` as {0, 2, 3, 4}."""
    is_legal = _NUMBERS.fullmatch(value)
    ends = [[int(end) for end in part.split("-")] for part in value.split(",") if is_legal]
    if not ends or any(part[0] > part[-1] for part in ends):
        raise ValueError(f"filter {text!r}: a seed is 0, 0-2 or 0,2 but got {value!r}")
    return frozenset(number for part in ends for number in range(part[0], part[-1] + 1))


def _parsed(text: str, path: str, value: str) -> Any:
    try:
        return parsed(path, value)
    except ValueError as error:
        raise ValueError(f"filter {text!r}: {error}; {LEGAL}") from error


def chosen_rows(plan: Plan, filters: Sequence[str], option: str = "--rows") -> tuple[PlanRow, ...]:
    """The rows that any of the filters holds of, in the plan's order; all when there are none.

    `ValueError` for a filter of seeds, and for one that holds of no row. `option` is where the
    filters come from, for these messages.
    """
    wanted = [parse_filter(text) for text in filters]
    for one in wanted:
        if one.seeds:
            raise ValueError(
                f"{option}: a row is trained with all seeds, but got {one.text!r}; --seeds says "
                "which these are"
            )
        if not any(map(one.holds, plan.rows)):
            raise ValueError(f"{option}: no row {one.text!r}; {_there(plan, one)}")
    return tuple(row for row in plan.rows if not wanted or any(f.holds(row) for f in wanted))


def chosen_trials(plan: Plan, filters: Sequence[str]) -> tuple[TrialSpec, ...]:
    """The trials that any of the filters of `--force` holds of, each once, in the plan's order.

    None when there are no filters. `ValueError` for a filter that holds of no trial.
    """
    wanted = [parse_filter(text) for text in filters]
    found: dict[str, TrialSpec] = {}
    trials = [(row, spec) for row in plan.rows for spec in row.specs]
    for one in wanted:
        if not any(one.chooses(row, spec) for row, spec in trials):
            raise ValueError(f"--force: no trial {one.text!r}; {_there(plan, one)}")
    for row, spec in trials:
        if any(one.chooses(row, spec) for one in wanted):
            found.setdefault(spec.trial_id, spec)
    return tuple(found.values())


def _there(plan: Plan, wanted: Filter) -> str:
    """What a filter that holds of nothing could have named."""
    told = [f"the rows are {', '.join(plan.methods)}"]
    if wanted.datasets:
        told.append(f"the data sets are {', '.join(plan.datasets)}")
    if wanted.seeds:
        seeds = sorted({spec.seed for spec in plan.specs()})
        told.append(f"the seeds are {', '.join(map(str, seeds))}")
    for path, _ in wanted.values:
        there = {shown(value_at(s, path)): None for s in plan.specs() if reads(s, path)}
        told.append(f"{path} is {' or '.join(there)}" if there else f"no row has {path}")
    return "; ".join(told)
