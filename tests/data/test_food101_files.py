"""Titles, pages and split files, with the defects that the public files have."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mi2p.data.food101_files import Listed, clean, read_pages, read_split_file, read_titles

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


def test_white_space_is_collapsed_and_nothing_else_changed() -> None:
    assert clean(" Crème\tbrûlée \n\r\n (No. 1!)\u00a0") == "Crème brûlée (No. 1!)"
    assert clean(" \n\t") == ""


def test_half_characters_are_replaced() -> None:
    assert clean(json.loads('"caf\\u00e9 \\ud83d\\ude00 \\ud83d!"')) == "café \U0001f600 ?!"


def test_long_texts_are_cut() -> None:
    assert clean("ab " * 20_000) == ("ab " * 20_000)[:8_000]
    # What is kept is counted without the white space of the page.
    assert clean(f"{' ' * 15_000}{'x' * 9_000}") == "x" * 5_000


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
        "ramen_0-7": ("word " * 1_600)[:8_000],
    }
    assert notes == ["texts: 4 web pages of texts_txt/", "1 web pages without image; left out"]


def write_jsonl(folder: Path, **rows: Sequence[object]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, values in rows.items():
        text = "".join(f"{json.dumps(value)}\n" for value in values)
        (folder / f"{split}.jsonl").write_text(text)
    return folder


def row(image: str, label: object = "pho", **fields: object) -> dict[str, object]:
    return {"id": "any", "label": label, "text": "Hot  soup", "img": image} | fields


def test_a_json_file_lists_names_by_split(tmp_path: Path) -> None:
    lists = {"test": ["0106714"], "train": ["pho_1.jpg", "images/pho_2-3.jpg"], "dev": ["pho_4"]}
    (tmp_path / "split.json").write_text(json.dumps(lists))
    assert read_split_file(tmp_path, "split.json") == [
        Listed(id="0106714", split="test", where="list 'test'"),
        Listed(id="pho_1", split="train", where="list 'train'"),
        Listed(id="pho_2-3", split="train", where="list 'train'"),
        Listed(id="pho_4", split="val", where="list 'dev'"),
    ]


@pytest.mark.parametrize("validation", ["dev", "val"])
def test_jsonl_files_bring_texts_and_labels(tmp_path: Path, validation: str) -> None:
    image_key = {"id": "2", "label": ["Drama", "War"], "text": "Plot", "image": "dataset/2.jpeg"}
    rows: dict[str, Sequence[object]] = {
        "train": [row("images/train/pho/pho_1.jpg")],
        "test": [image_key],
    }
    write_jsonl(tmp_path / "mmbt", **rows | {validation: [row("x/pho_3.jpg")]})
    with (tmp_path / "mmbt" / "test.jsonl").open("a") as file:
        file.write("\n  \n")
    listed = read_split_file(tmp_path, "mmbt")
    assert sorted(listed, key=lambda sample: sample.id) == [
        Listed(
            id="2", split="test", where="test.jsonl, line 1", text="Plot", labels=("Drama", "War")
        ),
        Listed(
            id="pho_1",
            split="train",
            where="train.jsonl, line 1",
            text="Hot soup",
            labels=("pho",),
        ),
        Listed(
            id="pho_3",
            split="val",
            where=f"{validation}.jsonl, line 1",
            text="Hot soup",
            labels=("pho",),
        ),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": [],\n "dev": [}', r"valid JSON, but line 2: .* at character 10"),
        (b'{"train": ["\xe9"]}', r"valid JSON, but .*utf-8.* position 12"),
        ('["pho_1"]', "an object with a list of names for each split"),
        ('{"train": [1], "dev": [], "test": []}', "an object with a list of names"),
        ('{"train": [], "test": []}', r"train, dev \(or val\) and test, .* but has train, test"),
        ('{"train": [], "dev": [], "val": [], "test": []}', "but has train, dev, val, test"),
        ('{"train": [], "dev": [], "test": [], "more": []}', "but has train, dev, test, more"),
        ("{}", "but has none"),
        (
            '{"train": ["a_1.jpg", "b_1.jpg"], "dev": ["a_1"], "test": ["b_1.jpg"]}',
            r"once, but repeats a_1 \(list 'train' and list 'dev'\), b_1 \(list 'train' and list",
        ),
    ],
)
def test_a_damaged_list_of_splits_is_refused(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / "split.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_split_file(tmp_path, "split.json")
    assert "split.json" in str(error.value)


@pytest.mark.parametrize(
    "damaged",
    [
        {"label": "pho", "text": "no image"},
        row("pho_1.jpg", label=3),
        row("pho_1.jpg", text=None),
        ["pho_1.jpg"],
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, damaged: object) -> None:
    good = [row("pho_2.jpg")]
    write_jsonl(tmp_path, train=[row("pho_3.jpg"), damaged], dev=good, test=good)
    with pytest.raises(ValueError, match=r"`img` .*`text` and `label`.* line 2 of .*train\.jsonl"):
        read_split_file(tmp_path, ".")


def test_a_broken_line_of_jsonl_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path, train=[row("pho_1.jpg")], dev=[], test=[])
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"id": \n')
    with pytest.raises(ValueError, match=r"train\.jsonl must be valid JSON, but line 2: "):
        read_split_file(tmp_path, ".")


def test_what_is_no_split_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(ValueError, match=r"but has train\.$"):
        read_split_file(tmp_path, ".")
    for splits in ("train.jsonl", "none"):
        with pytest.raises(ValueError, match=rf"a folder with .*/{splits} is neither"):
            read_split_file(tmp_path, splits)
    for splits in ("../split.json", str(tmp_path)):
        with pytest.raises(ValueError, match="must be a path below"):
            read_split_file(tmp_path, splits)
