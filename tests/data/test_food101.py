"""UPMC Food-101 on generated copies of both forms, with the defects that the real ones have."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from mi2p.data import food101
from mi2p.data.example import Dataset
from mi2p.data.places import VARIABLE, DataUnavailable
from tests.food101_layout import CLASSES, write_food101


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def sizes(dataset: Dataset) -> dict[tuple[str, str], int]:
    """Examples by split and class name."""
    return dict(Counter((e.split, dataset.classes[e.labels[0]]) for e in dataset.examples))


def ids(dataset: Dataset, split: str) -> list[str]:
    return [example.id for example in dataset.split(split)]


@pytest.mark.parametrize(
    "below", ["", "UPMC_Food101", "food101", "upmcfood101", "food101/UPMC_Food101"]
)
def test_the_folder_may_be_named_at_any_level(tmp_path: Path, below: str) -> None:
    made = write_food101(tmp_path / "root" / below, per_class=3)
    assert food101.locate(tmp_path / "root") == made
    assert len(food101.read(tmp_path / "root").examples) == 9


def test_the_usual_place_is_found_and_its_absence_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataUnavailable) as error:
        food101.locate(None)
    for part in (
        "images/train/",
        "texts_txt/<class>/*.txt",
        "texts/train_titles.csv",
        "kaggle.com/datasets/gianmarco96/upmcfood101",
        "UPMC_Food101.tar.gz",
        f"{VARIABLE}=DIR",
    ):
        assert part in str(error.value)
    made = write_food101(tmp_path / "data/food101", per_class=3)
    assert food101.locate(None) == made
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    mine = write_food101(tmp_path / "mine/upmcfood101", per_class=3)
    assert food101.locate(None) == mine


def test_the_original_form_gives_pages(tmp_path: Path) -> None:
    root = write_food101(tmp_path, form="original")
    dataset = food101.read(root)
    assert (dataset.name, dataset.classes, dataset.multilabel) == ("food101", CLASSES, False)
    # 12 of each class: the last 4 are test; of the other 8, a tenth, rounded, is 1.
    expected = {"train": 7, "val": 1, "test": 4}
    assert sizes(dataset) == {(s, c): n for s, n in expected.items() for c in CLASSES}
    example = next(e for e in dataset.examples if e.id == "french_onion_soup_11")
    assert example.split == "test"
    assert example.labels == (2,)
    assert example.image == root / "images/test/french_onion_soup/french_onion_soup_11.jpg"
    assert example.text.startswith("# French Onion Soup, recipe ")
    assert " Ingredients and method * [home](http://example.org/) cook, " in example.text
    assert [e.id for e in dataset.examples] == sorted(e.id for e in dataset.examples)
    assert dataset.notes == (
        "3 classes found instead of 101",
        "texts: 36 web pages of texts_txt/",
    )


def test_the_kaggle_form_gives_titles_for_the_same_examples(tmp_path: Path) -> None:
    pages = food101.read(write_food101(tmp_path / "a", form="original"))
    titles = food101.read(write_food101(tmp_path / "b", form="kaggle"))
    assert [(e.id, e.split, e.labels) for e in titles.examples] == [
        (e.id, e.split, e.labels) for e in pages.examples
    ]
    for title, page in zip(titles.examples, pages.examples, strict=True):
        assert page.text.startswith(f"# {title.text} Ingredients")
    assert titles.notes[1:] == (
        "texts: 24 page titles of train_titles.csv",
        "texts: 12 page titles of test_titles.csv",
    )


def test_pages_win_over_titles_and_the_notes_say_so(tmp_path: Path) -> None:
    dataset = food101.read(write_food101(tmp_path, form="both"))
    assert all(example.text.startswith("# ") for example in dataset.examples)
    assert dataset.notes[-1] == "texts/: titles are there too, but not used"


def test_validation_is_a_rounded_tenth_of_each_class(tmp_path: Path) -> None:
    # A third of each class, rounded down, is test; so these leave 1, 2, 14, 15, 24 and 25.
    for label, count in {"a": 1, "b": 3, "c": 21, "d": 22, "e": 36, "f": 37}.items():
        write_food101(tmp_path, classes=[label], per_class=count)
    found = sizes(food101.read(tmp_path))
    validation = {"b": 1, "c": 1, "d": 2, "e": 2, "f": 3}
    train = {"a": 1, "b": 1, "c": 13, "d": 13, "e": 22, "f": 22}
    test = {"b": 1, "c": 7, "d": 7, "e": 12, "f": 12}
    expected = {"train": train, "val": validation, "test": test}
    assert found == {(s, c): n for s, counts in expected.items() for c, n in counts.items()}


def test_the_order_of_creation_changes_nothing(tmp_path: Path) -> None:
    original = write_food101(tmp_path / "one", per_class=30)
    files = [path for path in original.rglob("*") if path.is_file()]
    random.Random(1).shuffle(files)
    for file in files:
        copy = tmp_path / "two" / file.relative_to(original)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    first, second = food101.read(original), food101.read(tmp_path / "two")
    assert [(e.id, e.split, e.labels, e.text) for e in first.examples] == [
        (e.id, e.split, e.labels, e.text) for e in second.examples
    ]
    assert first.fingerprint == second.fingerprint


def test_the_validation_images_are_these_on_every_machine(tmp_path: Path) -> None:
    # The first of each class by `printf mi2p/food101/0/NAME | sha256sum`, found in a shell.
    dataset = food101.read(write_food101(tmp_path))
    assert ids(dataset, "val") == ["apple_pie_3", "cup_cakes_3", "french_onion_soup_1"]


def test_another_sample_missing_moves_few_others(tmp_path: Path) -> None:
    before = set(ids(food101.read(write_food101(tmp_path, per_class=60)), "val"))
    (tmp_path / "images/train/apple_pie/apple_pie_0.jpg").unlink()
    assert len(before ^ set(ids(food101.read(tmp_path), "val"))) <= 2


def test_samples_without_image_or_text_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write_food101(tmp_path, form="original")
    pages, images = root / "texts_txt", root / "images"
    (pages / "apple_pie/apple_pie_0.txt").unlink()
    (pages / "apple_pie/apple_pie_11.txt").write_text(" \n\t ")
    (images / "train/cup_cakes/cup_cakes_2.jpg").unlink()
    (images / "train/cup_cakes/cup_cakes_3.jpg").unlink()
    (images / "train/cup_cakes/._cup_cakes_4.jpg").touch()
    (images / "train/.DS_Store").touch()
    (images / "train/cup_cakes/list.html").touch()
    dataset = food101.read(root)
    assert sizes(dataset) == {
        ("train", "apple_pie"): 6,
        ("val", "apple_pie"): 1,
        ("test", "apple_pie"): 3,
        ("train", "cup_cakes"): 5,
        ("val", "cup_cakes"): 1,
        ("test", "cup_cakes"): 4,
        ("train", "french_onion_soup"): 7,
        ("val", "french_onion_soup"): 1,
        ("test", "french_onion_soup"): 4,
    }
    assert dataset.notes == (
        "1 files in images/ are not .jpg; ignored",
        "3 classes found instead of 101",
        "texts: 35 web pages of texts_txt/",
        "2 web pages without image; left out",
        "1 images without a text; left out",
        "1 images with an empty text; left out",
    )


def test_rows_of_the_kaggle_form_are_matched_to_images(tmp_path: Path) -> None:
    root = write_food101(tmp_path, form="kaggle")
    table = root / "texts/train_titles.csv"
    rows = table.read_text().splitlines()
    assert rows[1].startswith("apple_pie_1.jpg,Apple Pie, recipe ")
    rows[0] = 'apple_pie_0.jpg,"Pie,apple_pie'
    rows[1] = rows[1].replace(".jpg", ".txt")
    rows[2] = "apple_pie_2.jpg,  ,apple_pie"
    del rows[3]
    table.write_text("\n".join([*rows, "sushi_1.jpg,Sushi,sushi"]))
    dataset = food101.read(root)
    texts = {example.id: example.text for example in dataset.examples}
    assert texts["apple_pie_0"] == "Pie"
    assert texts["apple_pie_1"].startswith("Apple Pie, recipe ")
    assert not {"apple_pie_2", "apple_pie_3", "sushi_1"} & texts.keys()
    assert len(texts) == 34
    assert dataset.notes == (
        "3 classes found instead of 101",
        "texts: 24 page titles of train_titles.csv",
        "train_titles.csv: 1 rows name .txt instead of .jpg; repaired",
        "train_titles.csv: 1 rows open a quote that is never closed; the rows after it are kept",
        "texts: 12 page titles of test_titles.csv",
        "1 images without a text; left out",
        "1 images with an empty text; left out",
        "1 titles without image; left out",
    )


def test_numbers_with_a_dash_belong_to_their_class(tmp_path: Path) -> None:
    # 139 of the real names are like this.
    root = write_food101(tmp_path, form="kaggle")
    image = root / "images/train/cup_cakes/cup_cakes_0.jpg"
    image.rename(image.with_name("cup_cakes_717-12.jpg"))
    with (root / "texts/train_titles.csv").open("a") as file:
        file.write("cup_cakes_717-12.jpg,Twelfth,cup_cakes\n")
    example = next(e for e in food101.read(root).examples if e.id == "cup_cakes_717-12")
    assert (example.labels, example.text) == ((1,), "Twelfth")


def test_a_misplaced_image_is_an_error(tmp_path: Path) -> None:
    root = write_food101(tmp_path)
    image = root / "images/train/cup_cakes/cup_cakes_0.jpg"
    shutil.copy(image, root / "images/train/apple_pie/cup_cakes_0.jpg")
    with pytest.raises(ValueError, match=r"but 1 are not: train/apple_pie/cup_cakes_0\.jpg\."):
        food101.read(root)


def test_an_image_in_both_folders_is_an_error(tmp_path: Path) -> None:
    root = write_food101(tmp_path)
    for number in range(7):
        name = f"cup_cakes/cup_cakes_{number}.jpg"
        shutil.copy(root / "images/train" / name, root / "images/test" / name)
    with pytest.raises(
        ValueError, match=r"7 are in both .*: cup_cakes_0, .*_4, \.\.\. and 2 more"
    ):
        food101.read(root)


def test_missing_texts_are_explained(tmp_path: Path) -> None:
    root = write_food101(tmp_path, form="kaggle")
    (root / "texts/test_titles.csv").unlink()
    with pytest.raises(DataUnavailable, match="neither texts_txt/ nor both of ") as error:
        food101.read(root)
    assert str(root) in error.value.reason
    assert "kaggle.com" in error.value.how


def test_a_split_without_samples_is_an_error(tmp_path: Path) -> None:
    root = write_food101(tmp_path)
    shutil.rmtree(root / "images/test")
    (root / "images/test").mkdir()
    with pytest.raises(
        ValueError, match=r"none for test\. What was found: .*12 web pages without"
    ):
        food101.read(root)


def test_images_are_not_opened(tmp_path: Path) -> None:
    root = write_food101(tmp_path)
    (root / "images/train/apple_pie/apple_pie_0.jpg").write_bytes(b"no picture")
    assert len(food101.read(root).examples) == 36


def test_lists_of_names_replace_the_splits(tmp_path: Path) -> None:
    root = write_food101(tmp_path, form="kaggle")
    lists = {
        "train": ["cup_cakes_9.jpg", "apple_pie_1.jpg", "gone_1.jpg"],
        "val": ["apple_pie_2.jpg"],
        "test": ["apple_pie_11.jpg", "cup_cakes_11.jpg"],
    }
    (root / "split.json").write_text(json.dumps(lists))
    dataset = food101.read(root, splits="split.json")
    assert [(e.id, e.split) for e in dataset.examples] == [
        ("apple_pie_1", "train"),
        ("apple_pie_11", "test"),
        ("apple_pie_2", "val"),
        ("cup_cakes_11", "test"),
        ("cup_cakes_9", "train"),
    ]
    # Labels keep their numbers, whatever the lists contain.
    assert dataset.classes == CLASSES
    assert dataset.notes[-2:] == (
        "1 listed samples without image; left out",
        "31 images that the split file does not list; left out",
    )


def write_jsonl(root: Path, label: str = "cup_cakes", text: str = "From  the list") -> None:
    for split, part, number in (("train", "train", 3), ("dev", "train", 1), ("test", "test", 11)):
        image = f"images/{part}/cup_cakes/cup_cakes_{number}.jpg"
        row = {"id": f"cup_cakes_cup_cakes_{number}.jpg", "label": label, "text": text}
        (root / f"{split}.jsonl").write_text(json.dumps(row | {"img": image}) + "\n")


def test_jsonl_files_replace_splits_and_texts(tmp_path: Path) -> None:
    root = write_food101(tmp_path)
    # Those who have MMBT's files need no others.
    shutil.rmtree(root / "texts_txt")
    write_jsonl(root)
    dataset = food101.read(root, splits=".")
    assert [(e.id, e.split, e.text, e.labels) for e in dataset.examples] == [
        ("cup_cakes_1", "val", "From the list", (1,)),
        ("cup_cakes_11", "test", "From the list", (1,)),
        ("cup_cakes_3", "train", "From the list", (1,)),
    ]
    assert dataset.notes[1:] == (
        "texts: those of .",
        "33 images that the split file does not list; left out",
    )


def test_a_class_that_contradicts_the_folder_is_an_error(tmp_path: Path) -> None:
    root = write_food101(tmp_path)
    write_jsonl(root, label="cupcakes")
    with pytest.raises(
        ValueError, match=r"3 are not: dev\.jsonl, line 1: cupcakes for cup_cakes_1"
    ):
        food101.read(root, splits=".")
    write_jsonl(root, text=" ")
    with pytest.raises(ValueError, match=r"none for test, train, val\..*3 images with an empty"):
        food101.read(root, splits=".")


def test_the_generator_makes_readable_pictures_that_depend_on_the_seed(tmp_path: Path) -> None:
    one, two = (write_food101(tmp_path / str(seed), per_class=3, seed=seed) for seed in (0, 1))
    name = "images/train/cup_cakes/cup_cakes_0.jpg"
    with Image.open(one / name) as image:
        assert (image.format, image.size) == ("JPEG", (96, 72))
    assert (one / name).read_bytes() != (two / name).read_bytes()
    again = write_food101(tmp_path / "again", per_class=3, classes=CLASSES[::-1])
    assert food101.read(one).fingerprint == food101.read(again).fingerprint


def test_the_paper_is_compared_in_words() -> None:
    assert 58_131 + 6_452 + 21_519 == 86_102
    for number in ("58,131", "6,452", "21,519", "86,102", "67,988", "22,716"):
        assert number in food101.WHY


def test_images_that_titles_name_and_that_are_gone_stay_for_the_check_of_images(
    tmp_path: Path,
) -> None:
    # An interrupted download must not quietly become a smaller data set.
    root = write_food101(tmp_path, form="kaggle")
    whole = food101.read(root)
    gone = [e.image for e in whole.examples if e.split == "test"][:3]
    for image in gone:
        image.unlink()
    found = food101.read(root)
    assert found == whole
    assert "3 images that are listed are not there" in found.notes
    # Pages name no images: there are more of them than images in the public archive.
    pages = write_food101(tmp_path / "pages", form="original")
    count = len(food101.read(pages).examples)
    next((pages / "images" / "test").rglob("*.jpg")).unlink()
    assert len(food101.read(pages).examples) == count - 1


def test_images_that_a_split_file_names_and_that_are_gone_stay_too(tmp_path: Path) -> None:
    root = write_food101(tmp_path, form="original")
    whole = food101.read(root)
    names = {
        split: [e.image.name for e in whole.split(split)] for split in ("train", "val", "test")
    }
    (root / "mine.json").write_text(json.dumps(names))
    listed = food101.read(root, splits="mine.json")
    listed.split("val")[0].image.unlink()
    assert food101.read(root, splits="mine.json") == listed
