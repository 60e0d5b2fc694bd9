"""The statistics of a table: an interval for every mean, and which rows differ.

All of it is made from the stored predictions of the test examples, with the variances that
`analysis/pairs.py` explains: of the examples, and of the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.cells import RowTrials
from analysis.pairs import Difference


@dataclass(frozen=True, kw_only=True)
class Interval:
    """In which a row's mean lies with 95 %, on other examples and with other seeds; fractions."""

    low: float
    high: float

    def place(self, value: float) -> Literal["below", "inside", "above"]:
        """Where a value lies; the ends are inside."""
        if value < self.low:
            return "below"
        return "above" if value > self.high else "inside"


@dataclass(frozen=True, kw_only=True)
class Versus:
    """A row beside its reference, on the primary metric."""

    reference: str
    """Key of the row."""
    difference: Difference
    """The row's mean minus its reference's."""
    p_holm: float
    """Of no difference, adjusted for all rows of the table that have a reference (Holm)."""
    mcnemar: float | None
    """McNemar's exact p, which is about these trained models and not about methods."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What is known of a table's rows on one data set."""

    intervals: Mapping[tuple[str, str], Interval]
    """Row key and metric; missing without the stored predictions of all finished trials, and for
    metrics at a tuned threshold."""
    against: Mapping[str, Versus]
    """By row key, of rows whose reference shares a seed with them."""
    not_worse: Mapping[str, frozenset[str]]
    """Metric to the keys of rows that are not significantly worse than the best, with the best:
    these are bold. Where nothing can be tested (no predictions, a tuned threshold) it is the
    best alone; rows that cannot be compared with the best are never in it otherwise."""
    tested: frozenset[str]
    """Metrics of which at least two rows were compared."""
    untested: frozenset[str]
    """Keys of rows with finished trials that could not be compared."""
    resolvable: Mapping[str, float]
    """Metric to the smallest difference, a fraction, that a paired test of two rows can resolve:
    the median over all pairs, not adjusted; missing where nothing is compared."""


def study(
    results: Path,
    rows: Sequence[RowTrials],
    metrics: Sequence[str],
    *,
    multilabel: bool,
    references: Mapping[str, str],
) -> Study:
    """The statistics of a table's rows on one data set, from predictions kept in `results`.

    `metrics` are named without `test/`; `references` has a row's key and that of its reference.
    `ValueError` for predictions that are damaged, or not of the same examples.
    """
    return Study(
        intervals={},
        against={},
        not_worse={},
        tested=frozenset(),
        untested=frozenset(),
        resolvable={},
    )
