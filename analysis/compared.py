"""The rows of a data set in pairs, from their predictions: what `analysis/stats.py` judges."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.cells import RowTrials
from analysis.inference.pairs import Difference, Measured, Pairs, measured
from analysis.inference.resampling import RESAMPLES, Answers, legal
from analysis.predictions import of_rows
from mi2p.metrics import primary


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """The rows of a data set in pairs, before p is adjusted for all of the table."""

    methods: Mapping[str, Answers]
    means: Mapping[str, Mapping[str, float]]
    """Of each metric and row that is finished."""
    main: str
    """The primary metric."""
    references: Mapping[str, str]
    of: Mapping[str, Measured]
    """By metric."""
    pairs: Mapping[str, Pairs]
    """By metric; empty for all where no row has two seeds."""

    @property
    def tested(self) -> dict[str, Pairs]:
        """The metrics of the table of which rows were compared."""
        return {metric: self.pairs[metric] for metric in self.means if self.pairs.get(metric)}

    @property
    def gains(self) -> dict[str, Difference | None]:
        """The difference of each row to its reference; None if it is not there."""
        pairs = self.pairs.get(self.main, {})
        return {
            key: pairs[key, other] if (key, other) in pairs else _turned(pairs.get((other, key)))
            for key, other in self.references.items()
        }


def read(
    results: Path,
    rows: Sequence[RowTrials],
    metrics: Sequence[str],
    *,
    multilabel: bool,
    references: Mapping[str, str],
) -> Compared:
    """The rows of a table on one data set, from predictions kept in `results`.

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
    return compare(methods, means, primary(multilabel=multilabel), references=references)


def compare(
    methods: Mapping[str, Answers],
    means: Mapping[str, Mapping[str, float]],
    main: str,
    *,
    references: Mapping[str, str],
    resamples: int = RESAMPLES,
) -> Compared:
    """The same from answers of rows, by key, of one data set."""
    known = legal(multilabel=any(method.multilabel for method in methods.values()))
    wanted = [metric for metric in dict.fromkeys([main, *means]) if metric in known]
    of = measured(methods, wanted, resamples=resamples)
    return Compared(
        methods=methods,
        means=means,
        main=main,
        references=references,
        of=of,
        pairs={metric: _pairs(one) for metric, one in of.items() if one.of_methods},
    )


def _pairs(of: Measured) -> Pairs:
    """All pairs of rows that share a seed, each once in either order."""
    found = {pair: of.difference(*pair) for pair in itertools.combinations(of.at, 2)}
    return {pair: difference for pair, difference in found.items() if difference is not None}


def _turned(difference: Difference | None) -> Difference | None:
    return None if difference is None else replace(difference, mean=-difference.mean)
