"""The three CrisisMMD tasks, on generated copies and on tables worked by hand."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from mi2p.data import crisismmd
from mi2p.data.crisismmd import LABELS, WHY, Task, read
from mi2p.data.example import Dataset
from mi2p.data.places import DataUnavailable
from tests.crisismmd_layout import (
    AGREED,
    ALL,
    BASE,
    FILE_SPLITS,
    HEADER,
    OLD_DAMAGE_HEADER,
    write_crisismmd,
    write_tsv,
)

TASKS = get_args(Task)
Cells = tuple[str, ...]


def pair(id: str, text: str, label: str, merged: str = "", sign: str = "Positive") -> Cells:
    """A row of the informative and humanitarian files."""
    merged = merged or label
    tweet = id.partition("_")[0]
    return ("flood", tweet, id, text, f"data_image/flood/{id}.jpg", label, merged, merged, sign)


def damage(id: str, text: str, label: str) -> Cells:
    return ("flood", id.partition("_")[0], id, text, f"data_image/flood/{id}.jpg", label)


def copy(
    folder: Path,
    name: str,
    train: Sequence[Cells],
    *,
    header: Sequence[str] = HEADER,
    end: str = "\n",
    others: Callable[[str], Cells] | None = None,
) -> Path:
    """Files `name` (with {} for the split) of which dev and test have one row like train's."""
    for split in FILE_SPLITS:
        rows = train
        if split != "train":
            rows = [others(split) if others else _moved(train[0], header, split)]
        write_tsv(folder / name.format(split), header, rows, end)
    return folder


def _moved(row: Cells, header: Sequence[str], split: str) -> Cells:
    place = [column.lower() for column in header].index("image_id")
    return (*row[:place], {"dev": "8_0", "test": "9_0"}[split], *row[place + 1 :])


def task1(root: Path, train: Sequence[Cells], **options: Any) -> Path:
    copy(root / AGREED, "task_informative_text_img_agreed_lab_{}.tsv", train, **options)
    return root


def summary(data: Dataset, split: str = "train") -> list[tuple[str, str, tuple[int, ...]]]:
    return [(example.id, example.text, example.labels) for example in data.split(split)]


def counts(data: Dataset) -> dict[str, dict[str, int]]:
    return {
        split: dict(Counter(data.classes[e.labels[0]] for e in data.split(split)))
        for split in ("train", "val", "test")
    }


@pytest.mark.parametrize("agreed", [True, False])
@pytest.mark.parametrize("doubled", [True, False])
@pytest.mark.parametrize("old_damage", [True, False])
def test_sizes_and_labels_are_right_in_every_layout(
    tmp_path: Path, agreed: bool, doubled: bool, old_damage: bool
) -> None:
    root = write_crisismmd(tmp_path, agreed=agreed, doubled=doubled, old_damage=old_damage)
    one, two, three = (read(crisismmd.locate(tmp_path), task=task) for task in TASKS)
    # 8 labels of 4 / 2 / 2 pairs, of which one is not humanitarian.
    assert counts(one) == {
        "train": {"informative": 28, "not_informative": 4},
        "val": {"informative": 14, "not_informative": 2},
        "test": {"informative": 14, "not_informative": 2},
    }
    # Three of the labels are one class.
    single = ["infrastructure_damage", "vehicle_damage", "rescue_efforts", "others"]
    assert counts(two) == {
        split: dict.fromkeys(single, n) | {"affected_individuals": 3 * n}
        for split, n in {"train": 4, "val": 2, "test": 2}.items()
    }
    # One image each was moved from train to val and test.
    sizes = {split: sum(of.values()) for split, of in counts(three).items()}
    assert sizes == {"train": 26, "val": 15, "test": 15}
    assert all(len(of_split) == 3 for of_split in counts(three).values())
    for data, task in zip((one, two, three), TASKS, strict=True):
        assert (data.name, data.multilabel) == (task, False)
        assert all(e.image.is_file() and e.image.is_absolute() for e in data.examples)
        assert all(e.image.is_relative_to(root / "data_image") for e in data.examples)
        assert all(e.text for e in data.examples)
    folder = (AGREED if agreed else ALL) + (f"/{AGREED if agreed else ALL}" if doubled else "")
    middle = "agreed_lab_" if agreed else ""
    assert one.notes[0] == (
        f"Read {folder}/task_informative_text_img_{middle}{{train,dev,test}}.tsv."
    )


def test_classes_are_in_the_order_of_the_label_maps(tmp_path: Path) -> None:
    write_crisismmd(tmp_path)
    assert [read(tmp_path, task=task).classes for task in TASKS] == [
        ("not_informative", "informative"),
        (
            "infrastructure_damage",
            "vehicle_damage",
            "rescue_efforts",
            "affected_individuals",
            "others",
        ),
        ("little_or_no_damage", "mild_damage", "severe_damage"),
    ]


@pytest.mark.parametrize("task", TASKS[:2])
def test_filtering_the_files_of_all_labels_gives_the_agreed_pairs(
    tmp_path: Path, task: Task
) -> None:
    root = write_crisismmd(tmp_path)
    agreed = read(root, task=task)
    (root / AGREED).rename(tmp_path / "away")
    filtered = read(root, task=task)
    assert replace(agreed, notes=()) == replace(filtered, notes=())
    assert agreed.fingerprint == filtered.fingerprint
    assert filtered.notes[0].startswith(f"Read {ALL}/")
    # The generator has two pairs in each split that disagree.
    assert filtered.notes[1] == (
        "Kept the pairs whose text and image have the same label: "
        "32 of 34 in train, 16 of 18 in val, 16 of 18 in test."
    )


def test_task_3_is_the_same_in_both_forms(tmp_path: Path) -> None:
    write_crisismmd(tmp_path / "a", old_damage=True)
    write_crisismmd(tmp_path / "b", old_damage=False)
    a, b = (read(tmp_path / name, task="crisismmd_task3") for name in "ab")
    assert [replace(e, image=Path()) for e in a.examples] == [
        replace(e, image=Path()) for e in b.examples
    ]
    assert a.fingerprint == b.fingerprint


def test_task_1_by_hand(tmp_path: Path) -> None:
    rows = [
        pair("3_0", "RT @a: #Flood https://t.co/x now", "informative"),
        pair("1_1", "same", "not_informative"),
        pair("1_0", "same", "not_informative"),
    ]
    data = read(task1(tmp_path, rows), task="crisismmd_task1")
    assert summary(data) == [
        ("1_0", "same", (0,)),
        ("1_1", "same", (0,)),
        ("3_0", "Flood now", (1,)),
    ]
    assert summary(data, "val") == [("8_0", "Flood now", (1,))]
    assert summary(data, "test") == [("9_0", "Flood now", (1,))]
    assert data.examples[0].image == tmp_path / "data_image/flood/1_0.jpg"
    assert data.notes == (
        f"Read {AGREED}/task_informative_text_img_agreed_lab_{{train,dev,test}}.tsv.",
    )


def test_task_2_by_hand_takes_the_fine_label(tmp_path: Path) -> None:
    # As in the agreed files, the merged labels no longer tell vehicles from infrastructure.
    infrastructure, affected = "infrastructure_and_utility_damage", "affected_individuals"
    rows = [
        pair("1_0", "a", infrastructure),
        pair("2_0", "b", "vehicle_damage", infrastructure),
        pair("3_0", "c", "rescue_volunteering_or_donation_effort"),
        pair("4_0", "d", affected),
        pair("5_0", "e", "injured_or_dead_people", affected),
        pair("6_0", "f", "missing_or_found_people", affected),
        pair("7_0", "g", "other_relevant_information"),
        pair("7_1", "h", "not_humanitarian"),
    ]
    copy(tmp_path / AGREED, "task_humanitarian_text_img_agreed_lab_{}.tsv", rows)
    data = read(tmp_path, task="crisismmd_task2")
    assert [(id[0], labels[0]) for id, _, labels in summary(data)] == [
        ("1", 0),
        ("2", 1),
        ("3", 2),
        ("4", 3),
        ("5", 3),
        ("6", 3),
        ("7", 4),
    ]
    assert data.notes[1:] == (
        "Left out the pairs labelled not_humanitarian: 1 in train, 0 in val, 0 in test.",
    )


def test_task_3_by_hand_tells_of_tweets_that_are_in_train_too(tmp_path: Path) -> None:
    rows = [
        damage("1_0", "a", "severe_damage"),
        damage("2_0", "b", "mild_damage"),
        damage("3_0", "", "little_or_no_damage"),
    ]

    def other(split: str) -> Cells:
        return damage("1_1" if split == "test" else "8_0", "a", "severe_damage")

    name = "task_damage_text_img_{}.tsv"
    copy(tmp_path / ALL, name, rows, header=BASE, others=other)
    data = read(tmp_path, task="crisismmd_task3")
    assert summary(data) == [("1_0", "a", (2,)), ("2_0", "b", (1,)), ("3_0", "", (0,))]
    assert data.notes[1:] == (
        "1 of 5 pairs have no text in the files.",
        "1 of 1 test images have a tweet, and so a text, that is also in train.",
    )


def old_damage(root: Path, ids: Sequence[str], texts: Sequence[str], folder: str) -> Path:
    rows = [("flood", id, f"data_image/flood/{id}.jpg", "mild_damage") for id in ids]
    copy(root / ALL, "task_damage_{}.tsv", rows, header=OLD_DAMAGE_HEADER)
    known = [pair(id, f"text of {id}", "informative", sign="Negative") for id in texts]
    copy(root / folder, "task_informative_text_img_{}.tsv", known)
    return root


@pytest.mark.parametrize("folder", [ALL, "task_data"])
def test_older_damage_files_take_texts_by_image_id_and_one_may_be_missing(
    tmp_path: Path, folder: str
) -> None:
    root = old_damage(tmp_path, ["1_0", "2_0", "2_1"], ["2_1", "1_0"], folder)
    data = read(root, task="crisismmd_task3")
    assert summary(data) == [
        ("1_0", "text of 1_0", (1,)),
        ("2_0", "", (1,)),
        ("2_1", "text of 2_1", (1,)),
    ]
    assert data.notes == (
        f"Read {ALL}/task_damage_{{train,dev,test}}.tsv.",
        f"Took the texts from {folder}/task_informative_text_img_{{train,dev,test}}.tsv.",
        "1 of 5 pairs have no text in the files.",
    )


def test_older_damage_files_are_refused_without_texts(tmp_path: Path) -> None:
    root = old_damage(tmp_path, ["1_0", "2_0", "2_1"], ["2_1"], ALL)
    with pytest.raises(ValueError, match=r"At most 1 in 100 .* but 2 of 5 .* such as '1_0'"):
        read(root, task="crisismmd_task3")
    (root / ALL / "task_informative_text_img_dev.tsv").unlink()
    with pytest.raises(DataUnavailable, match=r"crisismmd_task3, whose files have no texts, need"):
        read(root, task="crisismmd_task3")


@pytest.mark.parametrize("text", ["NA", "null", '"', 'an "open quote', "a\rb", "c\u2028d", "'"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_are_kept_as_they_stand(tmp_path: Path, text: str, end: str) -> None:
    rows = [pair("1_0", text, "informative"), pair("2_0", "next", "informative")]
    data = read(task1(tmp_path, rows, end=end), task="crisismmd_task1", clean="none")
    assert summary(data) == [("1_0", text, (1,)), ("2_0", "next", (1,))]


def test_texts_are_cleaned_and_repaired_as_asked(tmp_path: Path) -> None:
    rows = [
        pair("1_0", "We\u00e2\u20ac\u2122re #ok https://t.co/x still", "informative"),
        pair("2_0", "https://t.co/x still", "informative"),
        pair("3_0", "https://t.co/x", "informative"),
    ]
    root = task1(tmp_path, rows, others=lambda split: pair(f"{split}_0", "x", "informative"))
    standard = read(root, task="crisismmd_task1")
    texts = [text for _, text, _ in summary(standard)]
    assert texts == ["We\u00e2\u20ac\u2122re ok still", "still", ""]
    assert standard.notes[1:] == ("1 of 5 texts are empty once cleaned (standard).",)
    data = read(root, task="crisismmd_task1", clean="abavisani", fix_mojibake=True)
    assert [text for _, text, _ in summary(data)] == ["We\u2019re ok ", "", ""]
    assert data.notes[1:] == (
        "2 of 5 texts are empty once cleaned (abavisani).",
        "Repaired 1 of 5 texts that were encoded twice.",
    )


@pytest.mark.parametrize("inner", ["", "crisismmd_datasplit_settingA"])
def test_other_splits_replace_the_official_ones(tmp_path: Path, inner: str) -> None:
    root = write_crisismmd(tmp_path)
    extra = ("final_text", "LLaVA_text", "event_category", "split")
    rows = [
        (*pair("1_0", "own", "vehicle_damage"), "f", "l", "e", "s"),
        (*pair("2_0", "own", "not_humanitarian", sign="Negative"), "f", "l", "e", "s"),
    ]
    folder = "crisismmd_datasplit_settingA"
    name = "task_humanitarian_text_img_{}.tsv"
    copy(root / folder / inner, name, rows, header=(*HEADER, *extra))
    data = read(root, task="crisismmd_task2", splits=folder)
    assert [example.id for example in data.examples] == ["1_0", "8_0", "9_0"]
    assert data.notes[1].endswith("same label: 1 of 2 in train, 1 of 1 in val, 1 of 1 in test.")
    with pytest.raises(
        DataUnavailable, match=r"crisismmd_task1 needs .*Looked in: [^,]*settingA,"
    ):
        read(root, task="crisismmd_task1", splits=folder)


def test_older_damage_files_of_other_splits_take_the_official_texts(tmp_path: Path) -> None:
    root = write_crisismmd(tmp_path)
    ids = [example.id for example in read(root, task="crisismmd_task1").split("train")][:3]
    for split, id in zip(FILE_SPLITS, ids, strict=True):
        rows = [("flood", id, f"data_image/{id}.jpg", "severe_damage")]
        write_tsv(root / "mine" / f"task_damage_{split}.tsv", OLD_DAMAGE_HEADER, rows)
    data = read(root, task="crisismmd_task3", splits="mine")
    assert all(example.text for example in data.examples)
    assert data.notes[:2] == (
        "Read mine/task_damage_{train,dev,test}.tsv.",
        f"Took the texts from {ALL}/task_informative_text_img_{{train,dev,test}}.tsv.",
    )


GOOD = pair("1_0", "a", "informative")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            pair("2_0", "b", "maybe"),
            r"of crisismmd_task1 must be one of not_informative, .*maybe'",
        ),
        (
            pair("2_0", "b", "vehicle_damage"),
            r"'vehicle_damage'\. It is a label of crisismmd_task2: is this a file of that task\?",
        ),
        (pair("1_0", "b", "informative"), r"but '1_0' stands in .*train\.tsv, line 2 too"),
        (pair("8_0", "b", "informative"), r"but '8_0' stands in .*train\.tsv, line 3 too"),
        (pair("", "b", "informative"), r"image_id must not be empty"),
        (pair("2_0", "b", "informative", sign="Negative"), r"must be Positive in .*'Negative'"),
        ((*GOOD[:2], "2_0", "b", "2_0.jpg", *GOOD[5:]), r"starts with data_image/.*'2_0\.jpg'"),
        (GOOD[:-1], r"every row must have 9 cells .* has 8"),
        ((*GOOD, "more"), r"every row must have 9 cells .* has 10"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, row: Cells, message: str) -> None:
    root = task1(tmp_path, [GOOD, row])
    with pytest.raises(ValueError, match=message) as caught:
        read(root, task="crisismmd_task1")
    # A row that stands twice is reported where it is met again, which may be in dev.
    place = r"agreed_lab_dev\.tsv, line 2: " if row[2] == "8_0" else r"_train\.tsv, line 3: "
    assert re.search(place, str(caught.value))


def test_an_unknown_sign_of_agreement_is_refused(tmp_path: Path) -> None:
    rows = [GOOD, pair("2_0", "b", "informative", sign="positive")]
    copy(tmp_path / ALL, "task_informative_text_img_{}.tsv", rows)
    with pytest.raises(ValueError, match=r"line 3: label_text_image must be Positive or Negative"):
        read(tmp_path, task="crisismmd_task1")


def test_a_label_that_its_text_and_image_do_not_have_is_told(tmp_path: Path) -> None:
    rows = [GOOD, pair("2_0", "b", "informative", "not_informative")]
    data = read(task1(tmp_path, rows), task="crisismmd_task1")
    assert data.notes[1:] == (
        "1 pairs have a label that is not that of their text and image, although these are said "
        "to agree; the first is 2_0.",
    )


@pytest.mark.parametrize(
    "column", ["image_id", "tweet_text", "image", "label", "label_text_image"]
)
def test_a_missing_column_is_refused(tmp_path: Path, column: str) -> None:
    header = [{column: "renamed"}.get(name, name) for name in HEADER]
    root = task1(tmp_path, [GOOD], header=header, others=lambda split: GOOD)
    message = rf"_train\.tsv must have the columns image_id, .* but {column} is missing .*renamed"
    with pytest.raises(ValueError, match=message):
        read(root, task="crisismmd_task1")


@pytest.mark.parametrize("content", ["", "\t".join(HEADER) + "\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    root = task1(tmp_path, [GOOD])
    (root / AGREED / "task_informative_text_img_agreed_lab_dev.tsv").write_text(content)
    with pytest.raises(ValueError, match=r"agreed_lab_dev\.tsv must have .*rows"):
        read(root, task="crisismmd_task1")


def test_a_split_with_nothing_left_is_refused(tmp_path: Path) -> None:
    def other(split: str) -> Cells:
        label = "not_humanitarian" if split == "dev" else "vehicle_damage"
        return pair(f"{split}_0", "x", label)

    rows = [pair("1_0", "a", "vehicle_damage")]
    name = "task_humanitarian_text_img_agreed_lab_{}.tsv"
    copy(tmp_path / AGREED, name, rows, others=other)
    message = r"Every split of crisismmd_task2 .* but val has none\. Read .* 1 in val, 0 in test\."
    with pytest.raises(ValueError, match=message):
        read(tmp_path, task="crisismmd_task2")


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="No CrisisMMD found"):
        read(tmp_path, task="crisismmd_task1")
    root = task1(tmp_path, [GOOD])
    with pytest.raises(DataUnavailable, match=r"crisismmd_task2 needs task_humanitarian_text_img"):
        read(root, task="crisismmd_task2")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    root = task1(tmp_path, [GOOD])
    with pytest.raises(ValueError, match=r"`task` must be one of crisismmd_task1, .*'task1'"):
        read(root, task="task1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`clean` must be one of standard"):
        read(root, task="crisismmd_task1", clean="all")  # type: ignore[arg-type]


def test_images_are_not_looked_for(tmp_path: Path) -> None:
    data = read(task1(tmp_path, [GOOD]), task="crisismmd_task1")
    assert not data.examples[0].image.exists()


def test_reading_the_largest_files_takes_well_under_a_second(tmp_path: Path) -> None:
    text = "RT @user: caf\u00e9 #flood &amp; more words of a usual length https://t.co/abcdef " * 2
    rows = [
        pair(f"9{n:017}_0", text, "informative", sign="Positive" if n % 4 else "Negative")
        for n in range(13_608)
    ]
    copy(tmp_path / ALL, "task_informative_text_img_{}.tsv", [GOOD, *rows])
    start = time.process_time()
    data = read(tmp_path, task="crisismmd_task1", fix_mojibake=True)
    assert time.process_time() - start < 1
    assert len(data.split("train")) == 1 + 13_608 * 3 // 4


def test_every_task_says_why_its_sizes_are_what_they_are() -> None:
    assert tuple(WHY) == tuple(LABELS) == TASKS
    assert all("Table 1" in why for why in WHY.values())
