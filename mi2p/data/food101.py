"""Read UPMC Food-101: photos of dishes with the web page they came from, or only its title.

Two forms of the data are in use, with the same images/{train,test}/<class>/<class>_<n>.jpg. The
original has the pages, as texts_txt/<class>/<class>_<n>.txt; the copy on Kaggle their titles, as
texts/{train,test}_titles.csv. Test is the official test folder. Without a split file, validation
is a tenth of each class of the train folder, chosen by a hash of the image's name and so the same
on every machine.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mi2p.data.example import SPLITS, Dataset, Example
from mi2p.data.food101_files import read_pages, read_titles
from mi2p.data.places import VARIABLE, DataUnavailable, find_folder
from mi2p.data.split_files import Listed, first, read_split_file

NAMES = ("UPMC_Food101", "food101", "upmcfood101")
USUAL = Path("data/food101")
CLASSES = 101
VALIDATION_SEED = "mi2p/food101/0"
TITLES = ("train_titles.csv", "test_titles.csv")

WHY = (
    "The paper's sizes (58,131 / 6,452 / 21,519, so 86,102 samples with a tenth of train for "
    "validation) follow from neither public form: the Kaggle copy has 67,988 and 22,716 images, "
    "and the paper does not say which samples it left out. Here every sample with an image and a "
    "text is kept, test is the official folder, and validation is a tenth of each train class."
)
HOW_TO_GET_IT = f"""\
To get UPMC Food-101 (which is not ETH's food-101, a data set without texts), put one of these
into a folder DIR:
  - The original with web pages, as in the paper: UPMC_Food101.tar.gz, formerly from
    http://visiir.lip6.fr/data/public/UPMC_Food101.tar.gz (often offline). Expected:
    DIR/images/train/<class>/*.jpg, DIR/images/test/<class>/*.jpg, DIR/texts_txt/<class>/*.txt.
  - The copy with page titles: https://www.kaggle.com/datasets/gianmarco96/upmcfood101. Expected:
    the same images, DIR/texts/train_titles.csv and DIR/texts/test_titles.csv.
Point to it: `--data DIR` of the sweep scripts, or the environment variable {VARIABLE}=DIR; DIR may
also be the folder that contains it as {", ".join(NAMES)}."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image file with its class and official folder (train or test)."""

    path: Path
    label: str
    part: str


def locate(data_root: Path | None) -> Path:
    """The absolute folder that contains images/train/ and images/test/.

    Looks only in `data_root` if given, else in $MI2P_DATA, then in ./data/food101.

    Raises DataUnavailable, naming every place looked at.
    """
    return find_folder(
        data_root,
        _food_folder,
        usual=(USUAL,),
        expected="No UPMC Food-101 found. Expected folders images/train/ and images/test/ in the "
        f"folder itself or below it in {', '.join(f'{name}/' for name in NAMES)}.",
        how=HOW_TO_GET_IT,
    )


def read(root: Path, *, splits: str = "") -> Dataset:
    """Every image that has a text, in the order of their names; the notes say what was left out.

    `splits` is a path below `root` of other splits: a folder with MMBT's train.jsonl, dev.jsonl
    and test.jsonl, whose texts are used, or a .json file with a list of file names for each split.

    Raises DataUnavailable when images or texts are not there, and ValueError for damaged files,
    files that contradict each other, or a split without samples.
    """
    folder = _food_folder(root) or locate(root)  # locate raises, and says what was expected
    pictures, notes = _list_images(folder)
    classes = tuple(sorted({picture.label for picture in pictures.values()}))
    if len(classes) != CLASSES:
        notes.append(f"{len(classes)} classes found instead of {CLASSES}")
    listed = read_split_file(folder, splits) if splits else None
    if listed:
        parts = {s.id: "test" if s.split == "test" else "train" for s in listed}
        notes += _expect(folder, pictures, parts)
    if listed and listed[0].text is not None:
        _check_labels(listed, pictures)
        texts = {sample.id: sample.text or "" for sample in listed}
        notes.append(f"texts: those of {splits}")
    else:
        texts, parts, more = _read_texts(folder, pictures)
        notes += more + (_expect(folder, pictures, parts) if listed is None else [])
    usable = [name for name in sorted(pictures) if texts.get(name)]
    if listed is None:
        split_of = _official_splits(usable, pictures)
        notes += _left_out(pictures, texts)
    else:
        split_of = {sample.id: sample.split for sample in listed}
        notes += _left_out(pictures, texts, split_of)
    examples = tuple(
        Example(
            id=name,
            image=pictures[name].path,
            text=texts[name],
            labels=(classes.index(pictures[name].label),),
            split=split_of[name],
        )
        for name in usable
        if name in split_of
    )
    empty = set(SPLITS) - {example.split for example in examples}
    if empty:
        raise ValueError(
            f"Every split must have samples, but with the files of {folder} there are none for "
            f"{', '.join(sorted(empty))}. What was found: {'; '.join(notes)}."
        )
    return Dataset(
        name="food101", classes=classes, multilabel=False, examples=examples, notes=tuple(notes)
    )


def _food_folder(folder: Path) -> Path | None:
    below = [folder / name for name in NAMES]
    for base in (folder, *below, *(outer / name for outer in below for name in NAMES)):
        if (base / "images/train").is_dir() and (base / "images/test").is_dir():
            return base.absolute()
    return None


def _list_images(folder: Path) -> tuple[dict[str, Picture], list[str]]:
    """The images by id (the file name without suffix), and what is to tell."""
    pictures: dict[str, Picture] = {}
    misplaced: list[str] = []
    twice: list[str] = []
    others = 0
    for part in ("train", "test"):
        for group in os.scandir(folder / "images" / part):
            if group.name.startswith(".") or not group.is_dir():
                continue
            for file in os.scandir(group):
                name, suffix = os.path.splitext(file.name)
                if file.name.startswith(".") or suffix.lower() != ".jpg":
                    # Hidden are the files that macOS leaves beside every file of an archive.
                    others += not file.name.startswith(".")
                elif name.rpartition("_")[0] != group.name:
                    misplaced.append(f"{part}/{group.name}/{file.name}")
                elif name in pictures:
                    twice.append(name)
                else:
                    pictures[name] = Picture(path=Path(file.path), label=group.name, part=part)
    if misplaced:
        raise ValueError(
            f"Every image in {folder}/images must be named <class>_<n>.jpg after its folder, the "
            f"class, but {len(misplaced)} are not: {first(misplaced)}."
        )
    if twice:
        raise ValueError(
            f"An image of {folder}/images must be in train/ or in test/, but {len(twice)} are in "
            f"both (or there with two suffixes): {first(twice)}."
        )
    return pictures, [f"{others} files in images/ are not .jpg; ignored"] if others else []


def _expect(folder: Path, pictures: dict[str, Picture], parts: Mapping[str, str]) -> list[str]:
    """Add the images that lists name but that are not there, and tell how many.

    They are reported with every other bad image when they are decoded. A class without any image
    is not in the data set: a part of the classes may be all that a user has.
    """
    classes = {picture.label for picture in pictures.values()}
    missing = {
        name: part
        for name, part in parts.items()
        if name not in pictures and name.rpartition("_")[0] in classes
    }
    for name, part in missing.items():
        label = name.rpartition("_")[0]
        path = folder / "images" / part / label / f"{name}.jpg"
        pictures[name] = Picture(path=path, label=label, part=part)
    return [f"{len(missing)} images that are listed are not there"] if missing else []


def _read_texts(
    folder: Path, pictures: Mapping[str, Picture]
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The texts by id: the pages if they are there, as the paper's, else the titles.

    Also the folder, train or test, of each image that titles name, and what is to tell. (Pages
    name no images: there are more of them.)
    """
    pages, tables = folder / "texts_txt", [folder / "texts" / name for name in TITLES]
    titled = all(table.is_file() for table in tables)
    if pages.is_dir():
        texts, notes = read_pages(pages, pictures)
        unused = ["texts/: titles are there too, but not used"] if titled else []
        return texts, {}, notes + unused
    if not titled:
        raise DataUnavailable(
            f"{folder} has images, but neither texts_txt/ nor both of texts/{TITLES[0]} and "
            f"texts/{TITLES[1]}; only a split folder with texts works without.",
            HOW_TO_GET_IT,
        )
    train, notes = read_titles(tables[0])
    test, more = read_titles(tables[1])
    parts = dict.fromkeys(test, "test") | dict.fromkeys(train, "train")
    return test | train, parts, notes + more


def _official_splits(usable: Sequence[str], pictures: Mapping[str, Picture]) -> dict[str, str]:
    """The split of each id: by folder, with a tenth of each class of train for validation.

    The tenth is rounded, but at least one image, and never all.
    """
    split_of = {name: pictures[name].part for name in usable}
    of_class = defaultdict(list)
    for name in usable:
        if pictures[name].part == "train":
            of_class[pictures[name].label].append(name)
    for names in of_class.values():
        count = min(max(1, (len(names) + 5) // 10), len(names) - 1)
        split_of.update(dict.fromkeys(sorted(names, key=_rank)[:count], "val"))
    return split_of


def _rank(name: str) -> str:
    return hashlib.sha256(f"{VALIDATION_SEED}/{name}".encode()).hexdigest()


def _check_labels(listed: Iterable[Listed], pictures: Mapping[str, Picture]) -> None:
    wrong = [
        f"{sample.where}: {', '.join(sample.labels or ())} for {sample.id}"
        for sample in listed
        if sample.id in pictures and sample.labels != (pictures[sample.id].label,)
    ]
    if wrong:
        raise ValueError(
            "The label in a split file must be the class of the image's folder, but "
            f"{len(wrong)} are not: {first(wrong)}."
        )


def _left_out(
    pictures: Mapping[str, Picture],
    texts: Mapping[str, str],
    listed: Mapping[str, str] | None = None,
) -> list[str]:
    """What is missing in one place or the other, counted."""
    asked = pictures.keys() if listed is None else pictures.keys() & listed.keys()
    named, what = (texts, "titles") if listed is None else (listed, "listed samples")
    counts = [
        (len(asked - texts.keys()), "images without a text; left out"),
        (sum(texts.get(name) == "" for name in asked), "images with an empty text; left out"),
        (len(named.keys() - pictures.keys()), f"{what} without image; left out"),
        (len(pictures) - len(asked), "images that the split file does not list; left out"),
    ]
    return [f"{count} {remark}" for count, remark in counts if count]
