"""The text of a description: what it says and that it fits a terminal."""

from __future__ import annotations

from pathlib import Path

from analysis.describing import description_text
from analysis.describing.description import facts
from analysis.describing.leaks import find_leaks
from analysis.describing.pictures import Picture
from mi2p.data.example import Dataset
from mi2p.data.protocols import protocol
from tests.described import made_up

GOOD = Picture(size=(4, 3), format="PNG", digest="0", hash=0x1234_5678_9ABC_DEF0)


def told(dataset: Dataset, pictures: list[Picture] | None = None, why: str = "") -> str:
    pictures = pictures or [GOOD] * len(dataset.examples)
    used = protocol(dataset.name)
    described = facts(dataset, pictures, max_tokens=used.data.max_tokens)
    return description_text.text(described, find_leaks(dataset, pictures), used, why)


def small(folder: Path, name: str = "crisismmd_task3") -> Dataset:
    rows = [("train", "the same tweet", (0,))] * 2 + [("train", "w " * 63, (1,))]
    rows += [("val", "other", (1,)), ("test", "The same  tweet", (0,)), ("test", "", (1,))]
    return made_up(folder, rows, classes=("none", "severe"), name=name)


def test_every_section_with_its_numbers(tmp_path: Path) -> None:
    text = told(small(tmp_path), why="The official split is kept.")
    headings = [
        "Splits (Table 1)", "Training (Table 2)", "Texts", "Images", "Leaks between splits",
        "Classes",
    ]  # fmt: skip
    lines = text.splitlines()
    places = [lines.index(heading) for heading in headings]
    assert places == sorted(places)
    assert lines[0] == "crisismmd_task3: 6 examples, 2 classes, one label each"
    squeezed = " ".join(text.split())
    for part in (
        "| paper | 2,461 | 529 | 530 |",
        "The official split is kept.",
        "| Learning rate | 5e-5 | 5e-5 | 5e-5 |",
        # 63 words are one more than 64 tokens less [CLS] and [SEP].
        "| train | 0 | 3 | 63 | 63 | 1 (33.3 %) |",
        "| test | 1 | 1.5 | 3 | 3 | 0 (0.0 %) |",
        "Median width 4, median height 3 pixels",
        # All six pictures are one; the nearest to both of test is the first of train, class none.
        "| test in train | 1 (50.0 %) | 2 (100.0 %) | 2 (100.0 %) | 1 (50.0 %) |",
        "Images left out as flat: 0 of train, 0 of val, 0 of test.",
        "Always answering none, the most frequent class of train, is right for 50.0 % of test.",
        "| severe | 1 | 1 | 1 | 33.3 % |",
    ):
        assert part in squeezed


def test_no_line_is_wider_than_a_terminal(tmp_path: Path) -> None:
    names = [f"a_class_with_quite_a_long_name_that_goes_on_and_on_{i}" for i in range(101)]
    rows = [("train", "w " * 20_000, (i,)) for i in range(101)]
    made = made_up(tmp_path, rows, classes=names, name="food101")
    bad = Picture(problem="OSError: " + "a long reason " * 20)
    text = told(made, [GOOD] * 50 + [bad] * 51, why="because " * 50)
    assert max(map(len, text.splitlines())) <= 100
    assert "- and 41 more, in the JSON file" in text
    assert "Images that cannot be used: 51." in text


def test_several_labels(tmp_path: Path) -> None:
    rows = [("train", "a", (0, 1)), ("train", "a", ()), ("test", "b", (1,))]
    made = made_up(tmp_path, rows, classes=("Drama", "War"), name="mmimdb", multilabel=True)
    text = told(made)
    assert "2 classes, any number of labels each" in text
    squeezed = " ".join(text.split())
    assert "| train | 1.00 | 2 | 1 (50.0 %) |" in squeezed
    assert "| val | -- | 0 | -- |" in squeezed
    assert "Always answering" not in text


def test_classes_are_split_into_tables_that_fit_a_page(tmp_path: Path) -> None:
    names = [f"class_{i:03d}" for i in range(101)]
    rows = [("train", "", (i,)) for i in range(101)] + [("test", "", (7,))] * 2
    made = made_up(tmp_path, rows, classes=names, name="food101")
    described = facts(made, [GOOD] * len(rows), max_tokens=512)
    tables = list(description_text.class_tables(described, rows=40))
    assert [len(table.rows) for table in tables] == [40, 40, 21]
    assert len({table.label for table in tables}) == 3
    assert tables[0].rows[7].cells == ("class_007", "1", "0", "2", "1.0 %")
    assert [row.cells[0] for table in tables for row in table.rows] == names
