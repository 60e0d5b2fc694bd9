"""Split sizes beside those that the paper prints."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import table1
from analysis.typesetting.formats import main_of
from analysis.typesetting.tabular import MINUS
from mi2p.data.example import Dataset, Example
from mi2p.data.summary import Counts, Summary


def dataset_of(name: str, **counts: int) -> Dataset:
    examples = [
        Example(id=f"{split}{i}", image=Path("none.png"), text="", labels=(0,), split=split)
        for split, count in counts.items()
        for i in range(count)
    ]
    return Dataset(name=name, classes=("x",), multilabel=False, examples=tuple(examples))


# As the paper prints them, from its text.
@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("crisismmd_task1", (9601, 1573, 1534)),
        ("crisismmd_task2", (2874, 477, 451)),
        ("crisismmd_task3", (2461, 529, 530)),
        ("food101", (58131, 6452, 21519)),
        ("mmimdb", (15552, 2608, 7799)),
    ],
)
def test_the_papers_sizes(name: str, numbers: tuple[int, int, int]) -> None:
    assert table1.paper(name) == dict(zip(("train", "val", "test"), numbers, strict=True))
    assert name in table1.SETTINGS


def test_other_data_sets_have_no_paper() -> None:
    assert table1.paper("openclipart") == {}
    assert table1.paper("crisismmd") == {}


def test_the_table_has_the_difference() -> None:
    # The official files of task 3: 2468 - 2461 = 7, 529 - 529 = 0, 529 - 530 = -1.
    made = dataset_of("crisismmd_task3", train=2468, val=529, test=529)
    sizes = table1.sizes(made)
    assert [size.difference for size in sizes] == [7, 0, -1]
    table = table1.table(made.name, sizes)
    assert table.heads == (
        "CrisisMMD (Task 3)", "Training split", "Validation split", "Testing split"
    )  # fmt: skip
    assert [row.cells for row in table.rows] == [
        ("paper", "2,461", "529", "530"),
        ("this copy", "2,468", "529", "529"),
        ("difference", "+7", "0", f"{MINUS}1"),
    ]
    assert "beside the paper's Table 1" in table.caption


def test_an_absent_split_counts_as_none_of_its_examples() -> None:
    table = table1.table("mmimdb", table1.sizes(dataset_of("mmimdb", train=15552)))
    assert table.rows[2].cells == ("difference", "0", f"{MINUS}2,608", f"{MINUS}7,799")


def test_without_a_paper_there_is_this_copy_alone() -> None:
    made = dataset_of("toy", train=3, test=1)
    assert [size.paper for size in table1.sizes(made)] == [None] * 3
    table = table1.table("toy", table1.sizes(made))
    assert [row.cells for row in table.rows] == [("this copy", "3", "0", "1")]
    assert "no such data set" in table.caption


def summary(name: str, fingerprint: str, *sizes: int) -> Summary:
    counts = {
        split: Counts(examples=size, classes=(size,))
        for split, size in zip(("train", "val", "test"), sizes, strict=True)
    }
    return Summary(
        name=name, fingerprint=fingerprint, multilabel=False, classes=("x",), counts=counts
    )


def test_all_data_sets_of_a_results_folder(lab: Any) -> None:
    # Written in another order than the paper's, with one that it has not.
    for one in (
        summary("openclipart", "f00d", 1000, 100, 4390),
        summary("crisismmd_task3", "beef", 2468, 529, 529),
        summary("crisismmd_task1", "cafe", 9601, 1573, 1534),
    ):
        one.write(lab.results)
    plan = lab.plan(seeds=(0,))
    specs = [replace(row.specs[0], data=replace(row.specs[0].data, limit=9)) for row in plan.rows]
    lab.trial(specs[0], {"accuracy": 0.5})
    lab.trial(lab.on("crisismmd_task1").spec(specs[0].model, 0), {}, data_fingerprint="cafe")
    paths = table1.write(lab.results)
    assert [path.name for path in paths] == [
        f"table1.{end}" for end in ("tex", "md", "html", "csv")
    ]
    markdown = paths[1].read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("| ")
    ]
    assert rows[0] == [
        *("Data set", "Training", "paper", "Validation", "paper", "Testing", "paper"),
        "Fingerprint",
    ]
    assert rows[2:] == [
        ["CrisisMMD (Task 1)", "9,601", "9,601", "1,573", "1,573", "1,534", "1,534", "cafe"],
        ["CrisisMMD (Task 3)", "2,468", "2,461", "529", "529", "529", "530", "beef"],
        ["openclipart, limit 9", "1,000", "--", "100", "--", "4,390", "--", "f00d"],
    ]
    notes = [line for line in markdown.splitlines() if line.startswith("- ")]
    assert notes == [
        "- --: the paper has no such data set.",
        "- CrisisMMD (Task 3) (beef) is not split as in the paper: +7 in train, "
        f"{MINUS}1 in test.",
        "- No finished trial read beef.",
    ]
    first, second, third = csv.DictReader(paths[3].read_text(encoding="utf-8").splitlines())
    assert (first["dataset"], first["train_difference"]) == ("crisismmd_task1", "0")
    assert (second["test"], second["test_paper"], second["test_difference"]) == (
        "529",
        "530",
        "-1",
    )
    assert (third["options"], third["train_paper"], third["classes"]) == ("limit 9", "", "1")


def test_a_folder_that_keeps_no_data_sets_has_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError, match="Table 1 needs what sweeps keep of data sets"):
        table1.write(tmp_path)
    with pytest.raises(SystemExit, match="error: Table 1 needs"):
        main_of(table1.write, "x", [str(tmp_path)])
    summary("mmimdb", "f00d", 1, 2, 3).write(tmp_path)
    main_of(table1.write, "x", [str(tmp_path)])
    ends = ("tex", "md", "html", "csv")
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "tables" / f"table1.{end}") for end in ends
    ]
