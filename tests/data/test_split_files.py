"""Split files of both kinds, and the cleaning of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mi2p.data.split_files import Listed, clean, read_split_file


def test_white_space_is_collapsed_and_nothing_else_changed() -> None:
    assert clean(" Crème\tbrûlée \n\r\n (No. 1!)\u00a0") == "Crème brûlée (No. 1!)"
    assert clean(" \n\t") == ""


def test_half_characters_are_replaced() -> None:
    assert clean(json.loads('"caf\\u00e9 \\ud83d\\ude00 \\ud83d!"')) == "café \U0001f600 ?!"


def test_long_texts_are_cut() -> None:
    assert clean("ab " * 20_000) == ("ab " * 20_000)[:4_000]
    # What is kept is counted without the white space of the page.
    assert clean(f"{' ' * 17_000}{'x' * 9_000}") == "x" * 3_000


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
