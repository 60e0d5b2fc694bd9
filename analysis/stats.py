"""The statistics of a table: an interval for every mean, and which rows differ.

All of it is made from the stored predictions of the test examples, with the variances that
`analysis/inference/pairs.py` explains: of the examples, and of the seeds. An interval is
Student's, around the mean over seeds; tests are of pairs of rows, at the level 0.05 over the
table:

- *A row against its reference*: p adjusted for all rows that have one (Holm).
- *Not worse than the best*: the row with the highest mean against each other row. Which one is
  highest was found out from the same predictions, so that p is adjusted for all pairs of rows,
  of which these were picked (Holm); for the best one's pairs alone is not enough.

Simulated (`tests/bench/bench_tables.py`, 1000 tables each of methods that are equally good, at
70 % on 439 examples, accuracy): with 18 rows and 3 seeds that deviate by 0, 0.9 or 3 points,
some row is called different from its reference in 2.6, 2.8 and 1.8 % of tables, and worse than
the best in 1.5, 2.3 and 1.9 %; adjusted for the best one's pairs alone that would be 10 to 12 %.
With 6 rows it is 3.0 to 3.7 %, with 3 rows 3.7 and with 2 rows 4.8 % (of 4000 tables), and beside
one row whose seeds deviate three or six times as much 3 to 5 %. Intervals have what is true in
96 %.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from analysis.cells import RowTrials
from analysis.inference.pairs import LEVEL, Difference, Measured, holm, measured
from analysis.inference.resampling import RESAMPLES, Answers, legal
from analysis.predictions import of_rows
from mi2p.metrics import primary


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
    finished = {row.row.key: row for row in rows if not row.finished.empty}
    methods = {
        key: method
        for key, method in of_rows(results, rows, multilabel=multilabel).items()
        if len(method.seeds) == len(finished[key].finished)
    }
    means = {
        metric: {
            key: mean
            for key, row in finished.items()
            if (mean := row.cell(f"test/{metric}", partly=True).mean) is not None
        }
        for metric in metrics
    }
    return studied(methods, means, primary(multilabel=multilabel), references=references)


def studied(
    methods: Mapping[str, Answers],
    means: Mapping[str, Mapping[str, float]],
    main: str,
    *,
    references: Mapping[str, str],
    resamples: int = RESAMPLES,
) -> Study:
    """The same from answers of rows, by key, of one data set.

    `means` has the mean of each metric and row that is finished, `main` is the primary metric.
    """
    known = legal(multilabel=any(method.multilabel for method in methods.values()))
    wanted = [metric for metric in dict.fromkeys([main, *means]) if metric in known]
    of = measured(methods, wanted, resamples=resamples)
    pairs = {metric: _pairs(of[metric]) for metric in of}
    compared = {metric: found for metric, found in pairs.items() if found and metric in means}
    return Study(
        intervals={
            (key, metric): interval
            for metric in of
            for key in methods
            if metric in means and (interval := _interval(of[metric], key)) is not None
        },
        against=_against(methods, pairs.get(main, {}), references),
        not_worse={
            metric: _not_worse(of[metric], compared[metric])
            if metric in compared
            else _highest(found)
            for metric, found in means.items()
        },
        tested=frozenset(compared),
        untested=frozenset(key for found in means.values() for key in found) - methods.keys(),
        resolvable=_resolvable(compared),
    )


def mcnemar(ours: Answers, theirs: Answers) -> float | None:
    """McNemar's exact test, two-sided, of the models of the seeds that both have; None without.

    Of one seed each and one label it is McNemar's: of the examples that only one model has right,
    half should be ours. Of several seeds, an example is ours if our models together say fewer
    classes of it wrongly than theirs do, and theirs if more: an example still counts once, while
    adding the counts of the seeds would take answers to one example for several examples, and
    tests seed by seed would pair seeds that have nothing in common, and leave several p. It asks
    whether these trained models would be right on other examples as often. What other seeds would
    give it does not know, so that p is smaller than that of methods, and not adjusted.
    """
    seeds = [seed for seed in ours.seeds if seed in theirs.seeds]
    if not seeds:
        return None
    wrong = [of.wrong[[of.seeds.index(seed) for seed in seeds]].sum(0) for of in (ours, theirs)]
    wins, losses = (int(np.sum(a < b)) for a, b in (wrong, wrong[::-1]))
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def _pairs(of: Measured) -> dict[tuple[str, str], Difference]:
    """All pairs of rows that share a seed, each once in either order."""
    found = {pair: of.difference(*pair) for pair in itertools.combinations(of.at, 2)}
    return {pair: difference for pair, difference in found.items() if difference is not None}


def _interval(of: Measured, key: str) -> Interval | None:
    """None if resamples do not vary, as of a row that is always right: that tells nothing."""
    variance = of.variance(key)
    if not variance.value:
        return None
    mean, half = of.mean(key), variance.half_width(LEVEL)
    return Interval(low=max(0.0, mean - half), high=min(1.0, mean + half))


def _against(
    methods: Mapping[str, Answers],
    pairs: Mapping[tuple[str, str], Difference],
    references: Mapping[str, str],
) -> dict[str, Versus]:
    """Rows that are not there yet count as p = 1, so that nothing is lost by their arrival."""
    found = {
        key: pairs[key, other] if (key, other) in pairs else _turned(pairs.get((other, key)))
        for key, other in references.items()
    }
    adjusted = holm([1.0 if difference is None else difference.p for difference in found.values()])
    return {
        key: Versus(
            reference=references[key],
            difference=difference,
            p_holm=p,
            mcnemar=mcnemar(methods[key], methods[references[key]]),
        )
        for (key, difference), p in zip(found.items(), adjusted, strict=True)
        if difference is not None
    }


def _turned(difference: Difference | None) -> Difference | None:
    return None if difference is None else replace(difference, mean=-difference.mean)


def _not_worse(of: Measured, pairs: Mapping[tuple[str, str], Difference]) -> frozenset[str]:
    best = max(of.at, key=of.mean)
    adjusted = dict(zip(pairs, holm([pair.p for pair in pairs.values()]), strict=True))
    kept = {best}
    for (first, second), p in adjusted.items():
        if best in (first, second):
            ahead = pairs[first, second].mean * (1 if first == best else -1)
            if p >= LEVEL or ahead <= 0:
                kept.add(second if first == best else first)
    return frozenset(kept)


def _resolvable(
    compared: Mapping[str, Mapping[tuple[str, str], Difference]],
) -> dict[str, float]:
    """Without pairs of rows that always answer alike, which do not tell."""
    found = {
        metric: [pair.half_width for pair in pairs.values() if pair.standard_error]
        for metric, pairs in compared.items()
    }
    return {metric: statistics.median(widths) for metric, widths in found.items() if widths}


def _highest(means: Mapping[str, float]) -> frozenset[str]:
    highest = max(means.values(), default=0.0)
    return frozenset(key for key, mean in means.items() if mean == highest)
