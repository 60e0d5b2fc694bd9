"""Split sizes beside those that the paper prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import table1
from analysis.tabular import MINUS
from mi2p.data.example import Dataset, Example


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
