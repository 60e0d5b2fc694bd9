"""Table 1: how many examples each split has, in the paper and in the user's copy.

`python analysis/table1.py [results]` writes `results/tables/table1.{tex,md,html,csv}` of all data
sets that sweeps met (`mi2p/data/summary.py`); `table` is of one copy, for `describe`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from analysis.typesetting.formats import main_of, texts_of, write_texts
from analysis.typesetting.tabular import EMPTY, MINUS, Row, Table, Value
from mi2p.data.example import SPLITS, Dataset
from mi2p.data.summary import Summary, read_summaries
from mi2p.spec import OPTION_TAKERS, DataSpec
from mi2p.store import load

SPLIT_HEADS: Mapping[str, str] = MappingProxyType(
    {"train": "Training", "val": "Validation", "test": "Testing"}
)
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


def write(results: Path) -> list[Path]:
    """Write the sizes of all data sets that are kept in `results`, in all formats.

    `FileNotFoundError` if none is, as in folders of older sweeps; `ValueError` for a damaged one.
    """
    summaries = read_summaries(results)
    if not summaries:
        raise FileNotFoundError(
            f"Table 1 needs what sweeps keep of data sets, but {results / 'datasets'} has no "
            ".json file; run any sweep again to write it"
        )
    made = of_results(list(summaries.values()), _options(results))
    return write_texts(results / "tables", "table1", texts_of([made]))


def of_results(summaries: Sequence[Summary], options: Mapping[str, str]) -> Table:
    """A row for each data set, with the paper's sizes beside it.

    `options` are those of finished trials on the data with a fingerprint, in words; data that
    none read is told of in a footnote.
    """
    known = list(SETTINGS)
    rank = {name: place for place, name in enumerate(known)}
    ordered = sorted(
        summaries, key=lambda one: (rank.get(one.name, len(rank)), one.name, one.fingerprint)
    )
    rows = [_sizes_row(one, options.get(one.fingerprint, "")) for one in ordered]
    heads = [head for split in SPLITS for head in (SPLIT_HEADS[split], "paper")]
    return Table(
        caption="Number of examples in each split of the data sets, beside the paper's Table 1.",
        label="tab:table1",
        heads=("Data set", *heads, "Fingerprint"),
        groups=(tuple(rows),),
        footnotes=tuple(_size_notes(ordered, options)),
        comments=("Written by analysis/table1.py from datasets/<fingerprint>.json.",),
    )


def _sizes_row(summary: Summary, options: str) -> Row:
    printed = paper(summary.name)
    title = SETTINGS.get(summary.name, summary.name)
    cells = [f"{title}, {options}" if options else title]
    record: dict[str, Value] = {"dataset": summary.name, "options": options}
    for split in SPLITS:
        here, theirs = summary.counts[split].examples, printed.get(split)
        cells += [_count(here, signed=False), _count(theirs, signed=False)]
        record |= {split: here, f"{split}_paper": theirs}
        record |= {f"{split}_difference": None if theirs is None else here - theirs}
    record |= {"classes": len(summary.classes), "fingerprint": summary.fingerprint}
    return Row(cells=(*cells, summary.fingerprint), record=record)


def _size_notes(summaries: Sequence[Summary], options: Mapping[str, str]) -> Iterator[str]:
    if any(not paper(one.name) for one in summaries):
        yield f"{EMPTY}: the paper has no such data set."
    for one in summaries:
        printed = paper(one.name)
        here = {split: one.counts[split].examples for split in printed}
        told = [
            f"{_count(here[split] - size, signed=True)} in {split}"
            for split, size in printed.items()
            if here[split] != size
        ]
        if told:
            title = SETTINGS.get(one.name, one.name)
            yield f"{title} ({one.fingerprint}) is not split as in the paper: {', '.join(told)}."
    unread = [one.fingerprint for one in summaries if one.fingerprint not in options]
    if unread:
        yield f"No finished trial read {', '.join(unread)}."


def _options(results: Path) -> dict[str, str]:
    """Fingerprint of data to how finished trials asked for it, where not as by default."""
    try:
        trials = load(results)
    except FileNotFoundError:
        return {}
    done = trials[trials["status"] == "done"]
    fields = ("limit", "on_bad_image", *OPTION_TAKERS)
    defaults = DataSpec()
    found: dict[str, set[str]] = {}
    for row in done[["data_fingerprint", *(f"data.{name}" for name in fields)]].to_dict("records"):
        asked = [
            f"{name.replace('_', ' ')} {row[f'data.{name}']}"
            for name in fields
            if not pd.isna(row[f"data.{name}"]) and row[f"data.{name}"] != getattr(defaults, name)
        ]
        found.setdefault(str(row["data_fingerprint"]), set()).add(", ".join(asked))
    return {of: " or ".join(sorted(told - {""})) for of, told in found.items()}


def _row(name: str, counts: Sequence[int | None], *, signed: bool = False) -> Row:
    return Row(cells=(name, *(_count(count, signed=signed) for count in counts)))


def _count(count: int | None, *, signed: bool) -> str:
    if count is None:
        return EMPTY
    # No sign on 0: it says that the splits are the paper's.
    return format(count, "+,d" if signed and count else ",d").replace("-", MINUS)


if __name__ == "__main__":
    main_of(write, "Write Table 1: the sizes of the splits of all data sets.")
