"""What is told of a row on one data set: its numbers, what of them is noise, and the paper's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.cells import Cell, RowTrials, paired
from analysis.compared import Compared, compare, read
from analysis.inference.pairs import LEVEL
from analysis.inference.resolution import of_classes
from analysis.kinds import Matches
from analysis.part import Part
from analysis.stats import Interval, Study, Versus, studies
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
        return row.row.key in self.study.not_worse.get(metric, ())

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

    Damaged predictions lose the statistics of their data set and not the numbers:
    `Studied.damaged` says so, and a warning which they are. Rows of it count all the same among
    those that p is adjusted for.
    """
    references = [_references(part, reference) for part in parts]
    found = [_compared(results, *each) for each in zip(parts, references, strict=True)]
    made = studies([compared for compared, _ in found])
    return tuple(
        Studied(
            plan=plan,
            part=part,
            study=study,
            references=others,
            rare=_rare(results, part),
            damaged=damaged,
        )
        for part, others, study, (_, damaged) in zip(parts, references, made, found, strict=True)
    )


def _compared(
    results: Path, part: Part, references: Mapping[str, RowTrials | None]
) -> tuple[Compared, bool]:
    """With whether predictions are damaged, of which a warning says more."""
    names, pairs = list(part.metrics), _keys(references)
    try:
        made = read(results, part.rows, names, multilabel=part.multilabel, references=pairs)
    except ValueError as error:
        warnings.warn(f"the table has no intervals and tests: {error}", stacklevel=3)
        return compare({}, {}, part.primary, references=pairs), True
    return made, False


def _keys(references: Mapping[str, RowTrials | None]) -> dict[str, str]:
    """Without references that are not in the table."""
    return {key: other.row.key for key, other in references.items() if other is not None}


def _rare(results: Path, part: Part) -> tuple[str, ...]:
    """Nothing, and a warning, if what is kept of a data set is damaged."""
    if not part.has_macro:
        return ()
    try:
        return tuple(of_classes(results, part.rows))
    except ValueError as error:
        warnings.warn(f"the table does not tell of rare classes: {error}", stacklevel=3)
        return ()


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
