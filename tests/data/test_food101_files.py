"""Titles and pages, with the defects that the public files have."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mi2p.data.food101_files import read_pages, read_titles

DEFECTIVE = """\
breakfast_burrito_729.jpg,Burritos for breakfast,breakfast_burrito
breakfast_burrito_730.jpg,"Best burrito, ever,breakfast_burrito
breakfast_burrito_731.txt,Eggs and beans,breakfast_burrito
breakfast_burrito_732.txt,Salsa,breakfast_burrito
breakfast_burrito_733.jpg,The "Real" thing,breakfast_burrito
bruschetta_0.jpg,Bread,bruschetta
"""
"""The defect of the public file: a quote opened in 730, next quotes three rows on."""


def titles_of(folder: Path, text: str) -> tuple[dict[str, str], list[str]]:
    path = folder / "train_titles.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return read_titles(path)


def test_an_unclosed_quote_swallows_no_rows(tmp_path: Path) -> None:
    titles, notes = titles_of(tmp_path, DEFECTIVE)
    assert titles == {
        "breakfast_burrito_729": "Burritos for breakfast",
        "breakfast_burrito_730": "Best burrito, ever",
        "breakfast_burrito_731": "Eggs and beans",
        "breakfast_burrito_732": "Salsa",
        "breakfast_burrito_733": 'The "Real" thing',
        "bruschetta_0": "Bread",
    }
    assert notes == [
        "texts: 6 page titles of train_titles.csv",
        "train_titles.csv: 2 rows name .txt instead of .jpg; repaired",
        "train_titles.csv: 1 rows open a quote that is never closed; the rows after it are kept",
    ]
    # The defect is one indeed: a parser of CSV files sees fewer rows.
    assert len(list(csv.reader(DEFECTIVE.splitlines()))) < 6


def test_well_formed_rows_are_read_as_a_csv_parser_reads_them(tmp_path: Path) -> None:
    texts = ['a, b, "c" and d', '"quoted"', "plain", "", '6" subs', ",", 'x ""y""', "ends, so"]
    rows = [(f"cup_cakes_{i}.jpg", text, "cup_cakes") for i, text in enumerate(texts)]
    path = tmp_path / "test_titles.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)
    titles, notes = read_titles(path)
    assert titles == {f"cup_cakes_{i}": text for i, text in enumerate(texts)}
    assert notes == ["texts: 8 page titles of test_titles.csv"]


def test_a_title_of_several_lines_is_joined(tmp_path: Path) -> None:
    text = (
        'pho_1.jpg,"Beef, and\n\n noodles\nfor ""two""",pho\n'
        "pho_2-13.jpg,line\u2028separator\x85kept\rtogether,pho\n"
    )
    titles, notes = titles_of(tmp_path, text)
    assert titles == {
        "pho_1": 'Beef, and noodles for "two"',
        "pho_2-13": "line separator kept together",
    }
    assert notes[1:] == ["train_titles.csv: 1 rows have a title of several lines; joined"]


def test_marks_paths_and_repeats_are_borne(tmp_path: Path) -> None:
    text = (
        '\ufeff"images/train/pho/pho_1.jpg",One,"pho"\npho_1.txt,Other,pho\n\npho_2.jpg, T ,pho\n'
    )
    titles, notes = titles_of(tmp_path, text)
    assert titles == {"pho_1": "One", "pho_2": "T"}
    assert "train_titles.csv: 1 rows repeat an image; the first is used" in notes


def test_bytes_that_are_not_utf_8_cost_a_character_only(tmp_path: Path) -> None:
    path = tmp_path / "titles.csv"
    path.write_bytes(b"pho_1.jpg,caf\xe9 soup,pho\n")
    assert read_titles(path)[0] == {"pho_1": "caf\ufffd soup"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("pho_1.jpg,no class", "one comma"),
        ("no row at all", "no comma"),
        ("pho_1.jpg,Soup,sushi", "another class"),
        ("sushi.jpg,Soup,sushi", "no number"),
        ("pho_1.png,Soup,pho", "another suffix"),
        ("image_path,text,food", "a header"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str, why: str) -> None:
    text = f"pho_8.jpg,Good,pho\n{line}\npho_9.jpg,Good,pho\n"
    with pytest.raises(ValueError, match=rf"<class>_<n>\.jpg.* but 1 are not:\n  line 2: {line}$"):
        titles_of(tmp_path, text)


def test_many_bad_lines_make_one_error(tmp_path: Path) -> None:
    text = "".join(f"pho_{i}.jpg,Soup,ramen\n" for i in range(7))
    with pytest.raises(ValueError, match=r"but 7 are not:\n  line 1: ") as error:
        titles_of(tmp_path, text)
    assert str(error.value).endswith("line 5: pho_4.jpg,Soup,ramen\n  ... and 2 more")


def test_pages_are_read_where_an_image_wants_them(tmp_path: Path) -> None:
    folder = tmp_path / "texts_txt"
    for name, content in [
        ("pho/pho_1.txt", b"# Pho\n\n  caf\xe9 "),
        ("pho/pho_2.txt", b" \n"),
        ("pho/pho_3.txt", b"no image"),
        ("pho/._pho_1.txt", b"macOS"),
        ("ramen/ramen_0-7.txt", b"word " * 10_000),
        (".DS_Store", b""),
    ]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    texts, notes = read_pages(folder, ["pho_1", "pho_2", "ramen_0-7", "ramen_1"])
    assert texts == {
        "pho_1": "# Pho caf\ufffd",
        "pho_2": "",
        "ramen_0-7": ("word " * 1_600)[:4_000],
    }
    assert notes == ["texts: 4 web pages of texts_txt/", "1 web pages without image; left out"]
