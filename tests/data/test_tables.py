"""Tab-separated files, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mi2p.data.tables import read_tsv


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def cells(path: Path, *columns: str) -> list[list[str]]:
    return [[row.cells[name] for name in columns] for row in read_tsv(path, columns)]


@pytest.mark.parametrize(
    "text", ['"', 'a "quoted" word', "NA", "null", "", " ", "a,b", "a\rb", "a\u2028b\x85c\x0bd"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_cells_are_text_as_it_stands(tmp_path: Path, text: str, end: str) -> None:
    path = file(tmp_path, end.join(["id\ttext\tlabel", f"1\t{text}\tx", "2\tnext\ty", ""]))
    assert cells(path, "id", "text", "label") == [["1", text, "x"], ["2", "next", "y"]]


def test_columns_are_found_by_name_and_others_left_out(tmp_path: Path) -> None:
    path = file(tmp_path, "More\tImage_id\tLabel\nm\ti\tl\n")
    (row,) = read_tsv(path, ("label", "image_id"))
    assert row.cells == {"label": "l", "image_id": "i"}
    assert str(row) == f"{path}, line 2"


def test_a_mark_of_utf_8_empty_lines_and_a_missing_last_line_end_are_harmless(
    tmp_path: Path,
) -> None:
    path = file(tmp_path, "\ufeffid\tx\n\n1\t2\r\n\r\n3\t4")
    assert cells(path, "id", "x") == [["1", "2"], ["3", "4"]]
    assert [row.line for row in read_tsv(path, ("id",))] == [3, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"table\.tsv must have a header and rows, but is empty"),
        ("id\ttext\n", r"table\.tsv must have rows, but has only a header"),
        ("id\ttext\n\n", r"table\.tsv must have rows, but has only a header"),
        ("id\twords\n1\ta\n", r"columns id, text .* but text is missing .* it has: id, words\."),
        ("id\ttext\ttext\n1\ta\tb\n", r"but text is missing or repeats"),
        ("id,text\n1,a\n", r"but id, text is missing .* it has: id,text\."),
        ("id\ttext\n1\ta\n2\n", r"table\.tsv, line 3: every row must have 2 cells .* has 1: '2'"),
        ("id\ttext\n1\ta\tb\n", r"table\.tsv, line 2: every row must have 2 cells .* has 3"),
        (b"id\ttext\n1\tcaf\xe9\n", r"table\.tsv must be UTF-8, but .*0xe9"),
    ],
)
def test_defects_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_tsv(file(tmp_path, content), ("id", "text"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "none.tsv"))):
        read_tsv(tmp_path / "none.tsv", ("id",))
