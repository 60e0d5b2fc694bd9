"""What is told of a row on one data set: its numbers, what of them is noise, and the paper's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.cells import Cell, RowTrials, paired
from analysis.inference.pairs import LEVEL
from analysis.inference.resolution import of_classes
from analysis.kinds import Matches
from analysis.part import Part
from analysis.stats import Interval, Study, Versus, study
from mi2p.plan import Plan

Place = Literal["below", "inside", "above"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Studied:
    """The rows of a plan on one data set with their statistics."""

    plan: Plan
    part: Part
    study: Study
    references: Mapping[str, RowTrials | None]
    """Key of a row to what it is compared with, None if that is not in the table; rows without
    units or the like are not here."""
    rare: tuple[str, ...] = ()
    """What is told of classes with few test examples."""
    damaged: bool = False
    """Whether there are predictions that no statistics could be made of."""

    def interval(self, row: RowTrials, metric: str) -> Interval | None:
        """In which the mean lies; None without predictions, and at a tuned threshold."""
        return self.study.intervals.get((row.row.key, metric))

    def printed(self, row: RowTrials, metric: str) -> float | None:
        """What the paper prints, in percent."""
        return self.part.printed.get(row.row.paper, {}).get(metric)

    def verdict(self, row: RowTrials, metric: str) -> Place | None:
        """Where the paper's number lies to our interval; None if there is no such thing."""
        ours, theirs = self.interval(row, metric), self.printed(row, metric)
        return None if ours is None or theirs is None else ours.place(theirs / 100)

    def is_bold(self, row: RowTrials, metric: str) -> bool:
        """Whether a row is not significantly worse than the best; False if nothing is tested."""
        tested = metric in self.study.tested
        return tested and row.row.key in self.study.not_worse.get(metric, ())

    def versus(self, row: RowTrials) -> Versus | None:
        """The test against the reference."""
        return self.study.against.get(row.row.key)

    def differs(self, row: RowTrials) -> bool:
        """Whether a row significantly differs from its reference."""
        against = self.versus(row)
        return against is not None and against.p_holm < LEVEL

    def gain(self, row: RowTrials) -> Cell | None:
        """The primary metric minus that of the reference, by seed; None if that is not there."""
        other = self.references.get(row.row.key)
        return (
            None if other is None else paired(self.part.main_cell(row), self.part.main_cell(other))
        )


def studied(
    results: Path,
    plan: Plan,
    parts: Sequence[Part],
    reference: Callable[[RowTrials], Matches | None],
) -> tuple[Studied, ...]:
    """The statistics of each data set, from the predictions that are kept in `results`.

    Damaged predictions lose the statistics and not the numbers: `Studied.damaged` says so, and a
    warning which they are.
    """
    return tuple(_of_part(results, plan, part, reference) for part in parts)


def _of_part(
    results: Path, plan: Plan, part: Part, reference: Callable[[RowTrials], Matches | None]
) -> Studied:
    others = _references(part, reference)
    pairs = {key: other.row.key for key, other in others.items() if other is not None}
    names = list(part.metrics)
    made, damaged = _nothing(), False
    try:
        made = study(results, part.rows, names, multilabel=part.multilabel, references=pairs)
    except ValueError as error:
        damaged = True
        warnings.warn(f"the table has no intervals and tests: {error}", stacklevel=2)
    return Studied(
        plan=plan,
        part=part,
        study=made,
        references=others,
        rare=tuple(of_classes(results, part.rows)) if part.has_macro else (),
        damaged=damaged,
    )


def _references(
    part: Part, reference: Callable[[RowTrials], Matches | None]
) -> dict[str, RowTrials | None]:
    """The first row that matches, for each row that is to be compared."""
    found: dict[str, RowTrials | None] = {}
    for row in part.rows:
        matches = reference(row)
        if matches is not None:
            found[row.row.key] = next((other for other in part.rows if matches(other)), None)
    return found


def _nothing() -> Study:
    return Study(
        intervals={},
        against={},
        not_worse={},
        tested=frozenset(),
        untested=frozenset(),
        resolvable={},
    )
