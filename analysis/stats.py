"""The statistics of a table: an interval for every mean, and which rows differ.

All of it is made from the stored predictions of the test examples, with the variances that
`analysis/inference/pairs.py` explains: of the examples, and of the seeds. An interval is
Student's, around the mean over seeds; tests are of pairs of rows, at the level 0.05 over the
table with all its data sets:

- *A row against its reference*: p adjusted for all rows that have one (Holm).
- *Not worse than the best*: the row with the highest mean against each other row. Which one is
  highest was found out from the same predictions, so that p is adjusted for all pairs of rows,
  of which these were picked (Holm, each metric by itself); for the best one's pairs alone is not
  enough. Nothing is said if the row with the highest mean has not all its predictions.

Where no row has two seeds, nothing is known of what other seeds change, and nothing is tested:
with 18 equal methods of one seed each, which deviates by 0.9 or 3 points, the noise of examples
alone would call some row different from its reference in 22 or 91 % of tables (150 each).
Intervals are then about the trained models.

Simulated (`tests/bench/bench_tables.py`, 1000 tables each of methods that are equally good, at
70 % on 439 examples, accuracy): with 18 rows and 3 seeds that deviate by 0, 0.9 or 3 points,
some row is called different from its reference in 2.6, 2.8 and 1.8 % of tables, and worse than
the best in 1.5, 2.3 and 1.9 %; adjusted for the best one's pairs alone that would be 10 to 12 %.
With 6 rows it is 3.0 to 3.7 %, with 3 rows 3.7 and with 2 rows 4.8 % (of 4000 tables), and beside
one row whose seeds deviate three or six times as much 3 to 5 %. Intervals have what is true in
96 %.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.cells import RowTrials
from analysis.compared import Compared, read
from analysis.inference.mcnemar import mcnemar
from analysis.inference.pairs import LEVEL, Difference, Measured, Pairs, holm_jointly


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
    """Of no difference, adjusted for all rows of the table, with all its data sets, that have a
    reference (Holm)."""
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
    compared: int
    """How many rows of the table, with all its data sets, have a reference."""
    not_worse: Mapping[str, frozenset[str]]
    """Tested metric to the keys of rows that are not significantly worse than the best, with the
    best: these are bold. None is if a row that is not tested has the highest mean."""
    apart: Mapping[str, frozenset[str]]
    """Tested metric to the keys of rows that share no seed with the best."""
    untested: frozenset[str]
    """Keys of rows with finished trials that could not be compared."""
    of_methods: bool
    """Whether a row has two seeds; without, nothing is tested, and intervals are about trained
    models."""
    resolvable: Mapping[str, tuple[float, float]]
    """Metric to the smallest difference, a fraction, that a paired test of two rows can resolve,
    not adjusted: of the finest pair, and the median of all; missing where nothing is compared."""


def study(
    results: Path,
    rows: Sequence[RowTrials],
    metrics: Sequence[str],
    *,
    multilabel: bool,
    references: Mapping[str, str],
) -> Study:
    """The statistics of a table of one data set; arguments and errors are those of
    `analysis.compared.read`."""
    (made,) = studies([read(results, rows, metrics, multilabel=multilabel, references=references)])
    return made


def studies(found: Sequence[Compared]) -> tuple[Study, ...]:
    """The statistics of each data set of a table, with p adjusted over all of them."""
    # Rows that are not there yet count as p = 1, so that nothing is lost by their arrival.
    gains = holm_jointly(
        [{key: 1.0 if gain is None else gain.p for key, gain in on.gains.items()} for on in found]
    )
    pairs: list[dict[str, dict[tuple[str, str], float]]] = [{} for _ in found]
    for metric in dict.fromkeys(metric for on in found for metric in on.tested):
        families = [on.tested.get(metric, {}) for on in found]
        adjusted = holm_jointly([{key: of.p for key, of in each.items()} for each in families])
        for mine, p in zip(pairs, adjusted, strict=True):
            mine[metric] = p
    count = sum(len(on.references) for on in found)
    return tuple(_study(*each, count) for each in zip(found, gains, pairs, strict=True))


def _study(
    on: Compared,
    gains: Mapping[str, float],
    pairs: Mapping[str, Mapping[tuple[str, str], float]],
    count: int,
) -> Study:
    best = {metric: _best(on, metric) for metric in on.tested}
    return Study(
        intervals={
            (key, metric): interval
            for metric, of in on.of.items()
            for key in on.methods
            if metric in on.means and (interval := _interval(of, key)) is not None
        },
        against={
            key: Versus(
                reference=(other := on.references[key]),
                difference=gain,
                p_holm=gains[key],
                mcnemar=mcnemar(on.methods[key], on.methods[other]),
            )
            for key, gain in on.gains.items()
            if gain is not None
        },
        compared=count,
        not_worse={
            metric: _not_worse(key, on.pairs[metric], pairs[metric])
            for metric, key in best.items()
        },
        apart={
            metric: frozenset() if key is None else _apart(key, on.of[metric], on.pairs[metric])
            for metric, key in best.items()
        },
        untested=frozenset(key for means in on.means.values() for key in means)
        - on.methods.keys(),
        of_methods=any(of.of_methods for of in on.of.values()),
        resolvable=_resolvable(on.tested),
    )


def _interval(of: Measured, key: str) -> Interval | None:
    """None if resamples do not vary, as of a row that is always right: that tells nothing."""
    variance = of.variance(key)
    if not variance.value:
        return None
    mean, half = of.mean(key), variance.half_width(LEVEL)
    return Interval(low=max(0.0, mean - half), high=min(1.0, mean + half))


def _best(on: Compared, metric: str) -> str | None:
    """The row with the highest mean; None if that is not among those that are tested."""
    best = max(on.methods, key=on.of[metric].mean)
    others = [mean for key, mean in on.means[metric].items() if key not in on.methods]
    return None if max(others, default=0.0) > on.of[metric].mean(best) else best


def _not_worse(
    best: str | None, pairs: Pairs, adjusted: Mapping[tuple[str, str], float]
) -> frozenset[str]:
    if best is None:
        return frozenset()
    kept = {best}
    for (first, second), p in adjusted.items():
        if best in (first, second):
            ahead = pairs[first, second].mean * (1 if first == best else -1)
            if p >= LEVEL or ahead <= 0:
                kept.add(second if first == best else first)
    return frozenset(kept)


def _apart(best: str, of: Measured, pairs: Pairs) -> frozenset[str]:
    met = {key for pair in pairs if best in pair for key in pair}
    return frozenset(of.at.keys() - met - {best})


def _resolvable(tested: Mapping[str, Pairs]) -> dict[str, tuple[float, float]]:
    """Without pairs of rows that always answer alike, which do not tell."""
    found = {
        metric: [pair.half_width for pair in pairs.values() if pair.standard_error]
        for metric, pairs in tested.items()
    }
    return {
        metric: (min(widths), statistics.median(widths))
        for metric, widths in found.items()
        if widths
    }
