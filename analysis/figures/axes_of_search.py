"""What a search tried, and the axes on which its configurations differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.configurations import name_of, short
from mi2p.paths import has, value_at
from mi2p.plan import PlanRow, Searched
from mi2p.search.domains import Layers, Rate
from mi2p.search.spaces import space_of
from mi2p.spec import TrialSpec

MOST_SUBSETS = 8
"""Sets of layers that have a place each; of more it is their size that has."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A configuration whose trial left a row."""

    trial_id: str
    spec: TrialSpec
    status: str
    value: float | None
    """The metric on validation as a fraction; None unless the trial is done."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A hyper-parameter: from 0 at its lower end to 1 at its upper end."""

    path: str
    title: str
    is_log: bool = False
    counts_layers: bool = False
    """Whether it has the number of layers in place of which."""
    low: float = 0.0
    high: float = 1.0
    """Of numbers: the least and the largest that was tried; logarithms where `is_log`."""
    places: Mapping[Any, float] = field(default_factory=dict)
    """Of choices: value to height."""
    ticks: tuple[tuple[float, str], ...]

    def place(self, one: Tried) -> float:
        """The height of a configuration."""
        value = _value(one.spec, self.path, counts=self.counts_layers)
        if self.places:
            return self.places[value]
        number = math.log(value) if self.is_log else float(value)
        return (number - self.low) / (self.high - self.low)


def tried(searched: Searched, trials: pd.DataFrame) -> list[Tried]:
    """The configurations of a search in the order of their suggestion, from `mi2p.store.load`.

    `ValueError` for a spec that is none any more.
    """
    rows = trials[trials["trial_id"].isin(searched.trials)].set_index("trial_id")
    found = []
    for trial_id in searched.trials:
        if trial_id not in rows.index:
            continue
        row = rows.loc[trial_id].to_dict()
        value = float(row[searched.metric]) if row["status"] == "done" else math.nan
        try:
            spec = TrialSpec.from_dict(json.loads(row["spec"]))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"trial {trial_id} of the study {searched.study!r} has a spec that is none any "
                f"more: {error}"
            ) from error
        # Done without a number, it failed for the search.
        status = "error" if row["status"] == "done" and math.isnan(value) else row["status"]
        found.append(
            Tried(
                trial_id=trial_id,
                spec=spec,
                status=str(status),
                value=None if math.isnan(value) else value,
            )
        )
    return found


def axes_of(row: PlanRow, found: Sequence[Tried]) -> list[Axis]:
    """What a search may change in a row and did, in the order in which it is drawn."""
    both = row.specs[0].model.textual_units is not None
    axes = []
    for domain in space_of(row.specs[0]).domains:
        of = [one.spec for one in found if has(one.spec, domain.path)]
        values = {value_at(spec, domain.path) for spec in of}
        if len(of) == len(found) and len(values) > 1:
            name = name_of(domain.path, both=both)
            if isinstance(domain, Rate):
                axes.append(_rate(domain.path, name, [float(value) for value in values]))
            else:
                counts = isinstance(domain, Layers) and len(values) > MOST_SUBSETS
                axes.append(_choices(domain.path, name, of, counts=counts))
    return axes


def _rate(path: str, title: str, values: Sequence[float]) -> Axis:
    low, high = math.log(min(values)), math.log(max(values))
    steps = [m * 10.0**e for e in range(-12, 6) for m in (1, 3)]
    ticks = [(math.log(step), short(step)) for step in steps if low <= math.log(step) <= high]
    if len(ticks) < 2:  # the ends themselves
        ticks = [(low, short(math.exp(low))), (high, short(math.exp(high)))]
    return Axis(
        path=path,
        title=title,
        is_log=True,
        low=low,
        high=high,
        ticks=tuple(((at - low) / (high - low), text) for at, text in ticks),
    )


def _choices(path: str, title: str, of: Sequence[TrialSpec], *, counts: bool) -> Axis:
    values = {_value(spec, path, counts=counts) for spec in of}
    # Sets of layers by their size; words by the alphabet, numbers by size.
    ordered = sorted(values, key=lambda v: (len(v), v) if isinstance(v, tuple) else v)
    step = 1 / max(1, len(ordered) - 1)
    places = {value: number * step for number, value in enumerate(ordered)}
    return Axis(
        path=path,
        title=f"number of {title}" if counts else title,
        counts_layers=counts,
        places=places,
        ticks=tuple((height, short(value)) for value, height in places.items()),
    )


def _value(spec: TrialSpec, path: str, *, counts: bool) -> Any:
    value = value_at(spec, path)
    return len(value) if counts else value
