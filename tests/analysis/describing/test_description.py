"""Facts of a made-up data set, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.describing.description import (
    ClassCount,
    Description,
    LabelNumbers,
    Majority,
    TextLengths,
    Unusable,
    facts,
)
from analysis.describing.pictures import Picture
from mi2p.data.example import Dataset
from tests.described import made_up

GOOD = Picture(size=(4, 3), format="PNG", digest="0", hash=0)


def describe(dataset: Dataset, pictures: list[Picture] | None = None) -> Description:
    return facts(dataset, pictures or [GOOD] * len(dataset.examples), max_tokens=6)


def test_class_counts_and_majority(tmp_path: Path) -> None:
    rows = [("train", "", (label,)) for label in (1, 1, 0, 2, 1)]
    rows += [("val", "", (0,))]
    rows += [("test", "", (label,)) for label in (0, 0, 0, 1)]
    made = made_up(tmp_path, rows, classes=("a", "b", "c", "d"))
    described = describe(made)
    assert described.classes == (
        ClassCount(name="a", train=1, val=1, test=3),
        ClassCount(name="b", train=3, val=0, test=1),
        ClassCount(name="c", train=1, val=0, test=0),
        ClassCount(name="d", train=0, val=0, test=0),
    )
    # b is the most frequent in train, and one of four in test; a, of three in test, is unknown
    # to whoever has seen only train.
    assert described.majority == Majority(name="b", test_accuracy=0.25)
    assert described.labels == ()
    assert [size.here for size in described.sizes] == [5, 1, 4]
    assert described.fingerprint == made.fingerprint


def test_multilabel_examples_have_numbers_of_labels(tmp_path: Path) -> None:
    rows = [("train", "", (0, 1)), ("train", "", ()), ("train", "", (1,)), ("val", "", ())]
    described = describe(made_up(tmp_path, rows, classes=("a", "b"), multilabel=True))
    assert described.majority is None
    assert described.labels == (
        LabelNumbers(split="train", mean=1.0, most=2, without=1),
        LabelNumbers(split="val", mean=0.0, most=0, without=1),
        LabelNumbers(split="test", mean=None, most=0, without=0),
    )
    assert described.classes[1] == ClassCount(name="b", train=2, val=0, test=0)


def test_text_lengths_in_words(tmp_path: Path) -> None:
    # 20 texts of 1 to 20 words: 19 of them (95 %) have at most 19; 16 have more than 4 = 6 - 2.
    rows = [("train", "w " * length, (0,)) for length in range(1, 21)]
    rows += [("val", " \n", (0,)), ("val", "two words", (0,))]
    train, val, test = describe(made_up(tmp_path, rows, classes=("a",))).texts
    assert train == TextLengths(
        split="train", empty=0, median=10.5, most_of_95=19, longest=20, cut=16
    )
    assert val == TextLengths(split="val", empty=1, median=1.0, most_of_95=2, longest=2, cut=0)
    assert test == TextLengths(
        split="test", empty=0, median=None, most_of_95=None, longest=None, cut=0
    )


def test_image_sizes_and_unusable_files(tmp_path: Path) -> None:
    made = made_up(tmp_path, [("train", "", (0,))] * 5, classes=("a",))
    bad = Picture(problem="the file does not exist")
    # A file with a header and a damaged body counts in both.
    damaged = Picture(size=(3, 4), format="JPEG", digest="1", problem="OSError: truncated")
    images = describe(
        made,
        [replace(GOOD, size=(10, 2)), bad, damaged, replace(GOOD, size=(100, 50)), GOOD],
    ).images
    assert (images.median_width, images.median_height) == (7.0, 3.5)  # 3 4 10 100; 2 3 4 50
    assert images.smallest == (3, 4)  # of the two with 12 pixels, the narrower
    assert images.largest == (100, 50)
    assert images.formats == (("PNG", 3), ("JPEG", 1))
    assert images.unusable == (
        Unusable(example="train1", problem="the file does not exist"),
        Unusable(example="train2", problem="OSError: truncated"),
    )


def test_nothing_usable_is_no_error(tmp_path: Path) -> None:
    described = describe(
        made_up(tmp_path, [("test", "", (0,))], classes=("a",)), [Picture(problem="x")]
    )
    assert described.majority is None
    assert described.images.smallest is None
    assert described.images.median_width is None
