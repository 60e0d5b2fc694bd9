from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from analysis.typesetting.tabular import (
    MINUS,
    Row,
    Table,
    escape_markdown,
    number,
    parsed,
    records_csv,
    to_csv,
    to_markdown,
)

TABLE = Table(
    caption="90 % of a_b",
    label="tab:a_b",
    heads=("Model & more", "Acc (%)"),
    groups=(
        (
            Row(cells=("A + MI2P{1-4}", "83.4 ± 0.5"), record={"row": "a", "mean": 83.4}),
            Row(
                cells=("B|b", f"{MINUS}3.1 ± 0.8 (2/3)"),
                record={"row": "b", "mean": -3.1},
                comment="trials: 1\n2",
            ),
        ),
        (Row(cells=("[C]", "--"), record={"row": "c", "mean": None}),),
    ),
    footnotes=("±3 points, 100 %",),
    comments=("plan",),
)


def test_a_number_in_percent() -> None:
    assert number(0.8344, 0.0051, n=3, want=3) == "83.4 ± 0.5"
    assert number(0.8344, None, n=1, want=1) == "83.4"
    assert number(0.8344, 0.0051, n=2, want=3) == "83.4 ± 0.5 (2/3)"
    assert number(None, None, n=0, want=3) == "--"


def test_a_signed_number_never_prints_minus_zero() -> None:
    assert number(0.031, 0.008, n=3, want=3, signed=True) == "+3.1 ± 0.8"
    assert number(-0.031, None, n=1, want=1, signed=True) == f"{MINUS}3.1"
    assert number(-0.0001, None, n=1, want=1, signed=True) == "+0.0"


def test_a_mark_stands_last() -> None:
    assert number(0.031, 0.008, n=2, want=3, signed=True, mark="†") == "+3.1 ± 0.8 (2/3) †"
    assert number(None, None, n=0, want=3, mark="†") == "--"


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("83.4", ("83.4", "", "", "")),
        ("83.4 ± 0.5", ("83.4", "0.5", "", "")),
        (f"{MINUS}3.1 ± 12.8 (2/3) †", (f"{MINUS}3.1", "12.8", "(2/3)", "†")),
        ("81.6 ∈", ("81.6", "", "", "∈")),
        ("+3.1 (1/3)", ("+3.1", "", "(1/3)", "")),
        ("58,131", ("58,131", "", "", "")),
        ("0", ("0", "", "", "")),
    ],
)
def test_numbers_are_found_with_their_parts(cell: str, parts: tuple[str, ...]) -> None:
    found = parsed(cell)
    assert found is not None
    assert (found.mean, found.spread, found.count, found.mark) == parts
    assert " ".join([found.head, *found.tail]) == cell


@pytest.mark.parametrize(
    "cell",
    [
        *("", "--", "1/0/1", "20 (3 pruned)", "6e-07", "83.4 ±", "1,2", "3.5e-5", "83.4 x"),
        "1234567890123456",  # a fingerprint
    ],
)
def test_other_cells_are_text(cell: str) -> None:
    assert parsed(cell) is None


def test_bold_in_markdown_is_of_the_number_alone() -> None:
    cells = ("A", "83.4 ± 0.5 (2/3)", "--", "")
    row = Row(cells=cells, bold=frozenset((0, 1, 3)))
    table = Table(caption="c", label="l", heads=("a", "b", "c", "d"), groups=((row,),))
    assert to_markdown(table).splitlines()[-1] == "| **A** | **83.4 ± 0.5** (2/3) |  -- |     |"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("me_cnn of a__b_c", "me_cnn of a__b_c"),
        ("_a_ __b__", r"\_a\_ \_\_b\_\_"),
        ("[78.1, 83.0] [C]", "[78.1, 83.0] [C]"),
        ("[a](b) [a][b] [a]: b", r"[a\](b) [a\][b] [a\]: b"),
        ("[x] done", r"\[x] done"),
        ("a & b &amp; &#65;", r"a & b \&amp; \&#65;"),
        ("~a~ $x$ *b* |", r"\~a\~ \$x\$ \*b\* \|"),
    ],
)
def test_markdown_shows_text_as_it_stands(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


def test_markdown() -> None:
    assert to_markdown(TABLE) == (
        "90 % of a_b\n"
        "\n"
        "| Model & more  |          Acc (%) |\n"
        "| ------------- | ---------------: |\n"
        "| A + MI2P{1-4} |       83.4 ± 0.5 |\n"
        f"| B\\|b          | {MINUS}3.1 ± 0.8 (2/3) |\n"
        "|               |                  |\n"
        "| [C]           |               -- |\n"
        "\n"
        "- ±3 points, 100 %\n"
    )


def test_csv_has_numbers_and_nothing_for_what_is_missing() -> None:
    text = to_csv(TABLE)
    assert text == "row,mean\na,83.4\nb,-3.1\nc,\n"
    assert [row["row"] for row in csv.DictReader(io.StringIO(text))] == ["a", "b", "c"]


def test_groups_with_titles() -> None:
    table = replace(TABLE, titles=("First 1 %", "Second"), footnotes=())
    assert to_markdown(table) == (
        "90 % of a_b\n"
        "\n"
        "**First 1 %**\n"
        "\n"
        "| Model & more  |          Acc (%) |\n"
        "| ------------- | ---------------: |\n"
        "| A + MI2P{1-4} |       83.4 ± 0.5 |\n"
        f"| B\\|b          | {MINUS}3.1 ± 0.8 (2/3) |\n"
        "\n"
        "**Second**\n"
        "\n"
        "| Model & more  |          Acc (%) |\n"
        "| ------------- | ---------------: |\n"
        "| [C]           |               -- |\n"
    )


def test_records_may_have_other_columns() -> None:
    assert records_csv([{"a": 1, "b": 2}, {"a": 3, "c": "x,y"}]) == 'a,b,c\n1,2,\n3,,"x,y"\n'


def test_a_line_break_cannot_leave_a_cell() -> None:
    broken = replace(TABLE, groups=((Row(cells=("a\nb", "1.0"), comment="x\n\\evil"),),))
    assert "| a b " in to_markdown(broken)


def test_rows_must_fit_the_heads_and_each_other() -> None:
    with pytest.raises(ValueError, match=r"each of the 2 heads .* but got 1: \('a',\)"):
        replace(TABLE, groups=((Row(cells=("a",)),),))
    other = (Row(cells=("a", "b"), record={"x": 1}), Row(cells=("a", "b"), record={"y": 1}))
    with pytest.raises(ValueError, match=r"same columns, but got \['y'\] beside \['x'\]"):
        replace(TABLE, groups=(other,))
    with pytest.raises(ValueError, match="each of the 2 groups"):
        replace(TABLE, titles=("one",))
    with pytest.raises(ValueError, match="cover the 1 heads after the first, but cover 2"):
        replace(TABLE, spans=(("both", 2),))
