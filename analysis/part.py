"""What a table has of one data set: its rows, its metrics, and what the paper prints of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.cells import Cell, RowTrials, select
from mi2p.data.protocols import PROTOCOLS
from mi2p.metrics import primary
from mi2p.plan import Plan
from mi2p.spec import TrialSpec
from mi2p.store import Store

Heads = Mapping[str, str]
"""Metric to what stands over its column."""

NAMES: Mapping[str, str] = MappingProxyType({"accuracy": "accuracy", "micro_f1": "micro-F1"})
"""Primary metrics in a sentence."""
SINGLE_LABEL: Heads = MappingProxyType(
    {"accuracy": "Acc", "macro_f1": "M-F1", "weighted_f1": "W-F1"}
)
MULTILABEL: Heads = MappingProxyType({"macro_f1": "Macro-F1", "micro_f1": "Micro-F1"})
TUNED: Heads = MappingProxyType({"macro_f1_tuned": "Macro-F1*", "micro_f1_tuned": "Micro-F1*"})

Paper = Mapping[str, Mapping[str, float]]
"""Method to metric to percent."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of a plan on one data set, and what is told of each."""

    dataset: str
    rows: tuple[RowTrials, ...]
    multilabel: bool
    metrics: Heads
    printed: Paper
    """What the paper prints; nothing if it is about other data."""
    num_test: int | None
    """Size of the test split, if known."""

    @property
    def primary(self) -> str:
        """The metric that differences are in."""
        return primary(multilabel=self.multilabel)

    @property
    def primary_head(self) -> str:
        """What stands over it."""
        return (MULTILABEL if self.multilabel else SINGLE_LABEL)[self.primary]

    def cell(self, row: RowTrials, metric: str) -> Cell:
        """A metric of a row; trials from before thresholds were tuned leave theirs short."""
        return row.cell(f"test/{metric}", partly=metric in TUNED)

    def main_cell(self, row: RowTrials) -> Cell:
        """The primary metric of a row."""
        return self.cell(row, self.primary)

    @property
    def has_macro(self) -> bool:
        """Whether macro-F1 is among the metrics, to which every class counts alike."""
        return "macro_f1" in self.metrics

    def prints(self, metric: str) -> bool:
        """Whether the paper's numbers have a column beside this metric."""
        return bool(self.printed) and metric not in TUNED

    def accuracies(self) -> list[Cell]:
        """Accuracies of the rows with a finished trial, where an example has one label."""
        finished = [row for row in self.rows if not row.finished.empty]
        return [] if self.multilabel else [self.main_cell(row) for row in finished]


def printed_in(table: int, dataset: str) -> Paper:
    """What the paper's table prints, in percent, if it is about this data set; else nothing."""
    printed = pd.read_csv(Path(__file__).parent / "paper" / f"table{table}.csv")
    printed = printed[printed["dataset"] == dataset]
    found: dict[str, dict[str, float]] = {}
    for method, metric, value in zip(
        printed["method"], printed["metric"], printed["value"], strict=True
    ):
        found.setdefault(method, {})[metric] = float(value)
    return found


def parts(
    plan: Plan,
    trials: pd.DataFrame,
    printed: Mapping[str, Paper],
    num_test: Mapping[str, int],
    single_label: Heads = SINGLE_LABEL,
    *,
    tuned: bool = False,
) -> tuple[Part, ...]:
    """A part for each data set of `plan`, from rows of `mi2p.store.load`.

    What is printed and the sizes of test splits are by data set, those that are known;
    `single_label` are the metrics where examples have one label; `tuned` adds `TUNED` where they
    have several. One data set may be without finished trials, but for all it is a `ValueError`.
    """
    rows = select(plan, trials)
    _refuse_empty(plan, rows)
    found = []
    for dataset in plan.datasets:
        mine = tuple(row for row in rows if row.row.dataset == dataset)
        _refuse_twice(dataset, mine)
        theirs = printed.get(dataset, {})
        multilabel = _multilabel(plan, dataset, mine)
        several = {**MULTILABEL, **(TUNED if tuned else {})}
        found.append(
            Part(
                dataset=dataset,
                rows=mine,
                multilabel=multilabel,
                metrics=several if multilabel else single_label,
                printed=theirs,
                num_test=num_test.get(dataset),
            )
        )
    return tuple(found)


def sizes_of_test(results: Path, plan: Plan, trials: pd.DataFrame) -> dict[str, int]:
    """Data set to how many test examples a finished trial predicted, where one kept them.

    A file that cannot be read is passed over: a table is made of trials' rows alone.
    """
    finished = set(trials["trial_id"][trials["status"] == "done"])
    done = [spec for spec in plan.specs() if spec.trial_id in finished]
    sizes = {
        dataset: _num_test(results, (spec for spec in done if spec.data.name == dataset))
        for dataset in plan.datasets
    }
    return {dataset: size for dataset, size in sizes.items() if size is not None}


def _num_test(results: Path, specs: Iterable[TrialSpec]) -> int | None:
    for spec in specs:
        # One file, not `load_predictions`, which reads those of every trial.
        with contextlib.suppress(ValueError, FileNotFoundError):
            return Store(results).predictions(spec.trial_id, _count_test, ["split"])
    return None


def _count_test(predictions: pa.Table) -> int:
    return int(pc.sum(pc.equal(predictions["split"], "test")).as_py() or 0)


def _refuse_twice(dataset: str, rows: Sequence[RowTrials]) -> None:
    """Statistics, claims and what a table is made of are by key."""
    for key, count in Counter(row.row.key for row in rows).items():
        if count > 1:
            raise ValueError(
                f"a method has one row on a data set, but {key!r} has several on {dataset}"
            )


def _refuse_empty(plan: Plan, rows: Sequence[RowTrials]) -> None:
    if all(row.finished.empty for row in rows):
        failed = sorted({trial_id for row in rows for trial_id in row.failed})
        raise ValueError(
            f"a table needs at least one finished trial, but plan {plan.name!r} has none of "
            f"{len(list(plan.specs()))}; failed: {', '.join(failed) or 'none'}"
        )


def _multilabel(plan: Plan, dataset: str, rows: Sequence[RowTrials]) -> bool:
    """Whether trials have no accuracy, which `mi2p.metrics.score` omits for several labels.

    While there are none, the protocol of the data set decides.
    """
    finished = pd.concat([row.finished for row in rows])
    if finished.empty:
        return dataset in PROTOCOLS and PROTOCOLS[dataset].multilabel
    without = finished["test/accuracy"].isna()
    if without.nunique() > 1:
        raise ValueError(
            f"all trials of plan {plan.name!r} must have test/accuracy or none of them, but it "
            f"is missing in {', '.join(sorted(set(finished['trial_id'][without])))}"
        )
    return bool(without.iloc[0])
