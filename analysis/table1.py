"""Table 1: how many examples each split has, in the paper and in the user's copy."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from analysis.tabular import EMPTY, MINUS, Row, Table
from mi2p.data.example import SPLITS, Dataset

PAPER = Path(__file__).parent / "paper" / "table1.csv"
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "crisismmd_task1": "CrisisMMD (Task 1)",
        "crisismmd_task2": "CrisisMMD (Task 2)",
        "crisismmd_task3": "CrisisMMD (Task 3)",
        "food101": "Food101",
        "mmimdb": "MM-IMDB",
    }
)
"""What the paper calls its data sets; those that are not here are not in it."""


@dataclass(frozen=True, kw_only=True)
class SplitSize:
    """Number of examples of one split, here and in the paper (None: it has no such data set)."""

    split: str
    here: int
    paper: int | None

    @property
    def difference(self) -> int | None:
        """`here` minus `paper`."""
        return None if self.paper is None else self.here - self.paper


def paper(dataset: str) -> dict[str, int]:
    """Split to number of examples as printed, or nothing about other data sets."""
    with PAPER.open(encoding="utf-8", newline="") as file:
        return {
            row["metric"].removeprefix("n_"): int(row["value"])
            for row in csv.DictReader(file)
            if row["dataset"] == dataset
        }


def sizes(dataset: Dataset) -> tuple[SplitSize, ...]:
    """Sizes of train, val and test."""
    printed = paper(dataset.name)
    return tuple(
        SplitSize(split=split, here=len(dataset.split(split)), paper=printed.get(split))
        for split in SPLITS
    )


def table(dataset: str, splits: Sequence[SplitSize]) -> Table:
    """Rows: the paper, this copy and their difference (this copy alone if it has no paper's)."""
    setting = SETTINGS.get(dataset, dataset)
    known = any(split.paper is not None for split in splits)
    rows = [_row("this copy", [split.here for split in splits])]
    if known:
        rows.insert(0, _row("paper", [split.paper for split in splits]))
        rows.append(_row("difference", [split.difference for split in splits], signed=True))
    beside = " beside the paper's Table 1" if known else "; the paper has no such data set"
    return Table(
        caption=f"Number of examples in each split of {setting}{beside}.",
        label=f"tab:table1-{dataset}",
        heads=(setting, "Training split", "Validation split", "Testing split"),
        groups=(tuple(rows),),
    )


def _row(name: str, counts: Sequence[int | None], *, signed: bool = False) -> Row:
    return Row(cells=(name, *(_count(count, signed=signed) for count in counts)))


def _count(count: int | None, *, signed: bool) -> str:
    if count is None:
        return EMPTY
    # No sign on 0: it says that the splits are the paper's.
    return format(count, "+,d" if signed and count else ",d").replace("-", MINUS)
