"""Limits of a data set, and the store of its decoded images."""

from __future__ import annotations

import csv
import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mi2p.data.cache import Stored, stored
from mi2p.data.example import Dataset, Example
from mi2p.data.images import (
    check_images,
    check_splits,
    image_recipe,
    limited,
    read_dataset,
    usable,
    view_of,
    without,
    write_report,
)
from mi2p.data.views import BadImages, View, decode
from mi2p.spec import DataSpec
from tests.planted import planted_xor, register

V32 = View(size=32)


def dataset_of(**counts: int) -> Dataset:
    """Examples `train0`, `train1`, ... with splits interleaved; no pictures."""
    examples = [
        Example(id=f"{split}{i}", image=Path("none.png"), text="", labels=(0,), split=split)
        for i in range(max(counts.values()))
        for split, count in counts.items()
        if i < count
    ]
    return Dataset(name="toy", classes=("x",), multilabel=False, examples=tuple(examples))


def ids(dataset: Dataset, split: str) -> list[str]:
    return [example.id for example in dataset.split(split)]


def test_a_limit_keeps_evenly_spaced_examples_of_each_split() -> None:
    small = limited(dataset_of(train=10, val=5, test=2), 3)
    assert ids(small, "train") == ["train0", "train4", "train9"]  # 0, 4.5, 9
    assert ids(small, "val") == ["val0", "val2", "val4"]
    assert ids(small, "test") == ["test0", "test1"]  # fewer than the limit: all


def test_a_limit_of_one_and_an_empty_split() -> None:
    small = limited(dataset_of(train=4, val=1), 1)
    assert [example.id for example in small.examples] == ["train0", "val0"]


def test_a_limit_keeps_the_order_and_the_rest_of_the_data_set() -> None:
    whole = dataset_of(train=6, val=3)
    small = limited(whole, 2)
    assert [example for example in whole.examples if example in small.examples] == list(
        small.examples
    )
    assert (small.name, small.classes) == (whole.name, whole.classes)


@pytest.mark.parametrize("limit", [0, 99])
def test_zero_and_more_than_there_is_mean_all(limit: int) -> None:
    whole = dataset_of(train=6, val=3)
    assert limited(whole, limit) == whole


def test_read_dataset_applies_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "planted", planted_xor(tmp_path, count=32))
    whole = read_dataset(DataSpec(name="planted"), None)
    small = read_dataset(DataSpec(name="planted", limit=2), None)
    assert (len(whole.examples), len(small.examples)) == (32, 6)
    # A smoke run must never be taken for the real thing.
    assert small.fingerprint != whole.fingerprint


def test_an_unknown_data_set_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"one of openclipart, openclipart-tags.* but got 'x'"):
        read_dataset(DataSpec(name="x"), None)


S32 = DataSpec(name="planted", image_size=32)


def image_store(dataset: Dataset, data: DataSpec, cache: Path) -> Stored:
    return stored(cache, image_recipe(data, dataset))


def everything(store: Stored) -> NDArray[np.uint8]:
    return store.take(np.arange(len(store)))


@pytest.mark.parametrize("data", [S32, replace(S32, view="crop", augment="crop_flip")])
def test_the_store_holds_what_decoding_gives_in_order(tmp_path: Path, data: DataSpec) -> None:
    dataset = planted_xor(tmp_path / "planted", count=80)  # more than one chunk
    images, view = image_store(dataset, data, tmp_path / "cache"), view_of(data)
    assert (len(images), images.cell) == (80, (3, view.side, view.side))
    assert images.dtype == np.uint8
    assert images.failures == {}
    for row, example in enumerate(dataset.examples):
        np.testing.assert_array_equal(images.take(np.array([row]))[0], decode(example.image, view))


def test_the_view_of_a_spec() -> None:
    assert view_of(DataSpec(image_size=128)) == View(size=128, kind="fit", border=0)
    photos = DataSpec(image_size=256, view="crop", augment="crop_flip")
    assert view_of(photos) == View(size=256, kind="crop", border=16)  # 288 px, as is usual
    assert view_of(DataSpec(image_size=32, augment="crop_flip")).side == 36


def test_decoded_once_per_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = planted_xor(tmp_path / "planted", count=16)
    first = image_store(dataset, S32, tmp_path / "cache")
    monkeypatch.setattr("mi2p.data.images.decode_all", never)
    second = image_store(dataset, S32, tmp_path / "cache")
    np.testing.assert_array_equal(everything(first), everything(second))
    # Labels, texts and splits are nothing to images.
    relabelled = tuple(replace(e, labels=(0,), text="", split="val") for e in dataset.examples)
    image_store(replace(dataset, examples=relabelled), S32, tmp_path / "cache")
    for change in ({"image_size": 64}, {"view": "crop"}, {"augment": "crop_flip"}):
        with pytest.raises(AssertionError, match="decoded again"):
            image_store(dataset, replace(S32, **change), tmp_path / "cache")


def never(*_: object) -> None:
    raise AssertionError("decoded again")


def test_a_picture_that_was_replaced_is_seen_even_at_the_same_size(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "planted"
    dataset = planted_xor(folder, count=16)
    one = image_store(dataset, S32, cache)
    path = dataset.examples[0].image
    content, times = path.read_bytes(), path.stat()
    Image.new("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes().ljust(len(content), b"\0"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert path.stat().st_size == len(content)
    other = image_store(replace(dataset), S32, cache)
    assert other.path != one.path
    assert other.take(np.array([0])).max() == 255 and other.take(np.array([0]))[0, 0, 16, 16] == 0
    # A result row's data does not depend on when files were copied.
    assert replace(dataset).fingerprint == dataset.fingerprint


def spoiled(folder: Path) -> Dataset:
    """48 examples of which row 3 is no picture and row 9 is missing."""
    dataset = planted_xor(folder, count=48)
    dataset.examples[3].image.write_bytes(b"no picture")
    dataset.examples[9].image.unlink()
    return dataset


def test_bad_pictures_are_kept_in_mind_and_the_others_stored(tmp_path: Path) -> None:
    dataset = spoiled(tmp_path / "planted")
    images = image_store(dataset, S32, tmp_path / "cache")
    assert list(images.failures) == [3, 9]
    assert "none of the formats" in images.failures[3]
    assert images.failures[9] == "the file does not exist"
    np.testing.assert_array_equal(
        images.take(np.array([4]))[0], decode(dataset.examples[4].image, V32)
    )
    with pytest.raises(BadImages, match=r"^2 of 48 images cannot be used:") as refused:
        check_images(dataset, images)
    assert all(str(dataset.examples[row].image) in str(refused.value) for row in (3, 9))


def test_what_is_left_without_bad_pictures(tmp_path: Path) -> None:
    dataset = spoiled(tmp_path / "planted")
    images = image_store(dataset, S32, tmp_path / "cache")
    rest = without(dataset, images)
    assert rest.examples == tuple(e for i, e in enumerate(dataset.examples) if i not in (3, 9))
    assert np.flatnonzero(~usable(dataset, images)).tolist() == [3, 9]
    path = write_report(dataset, images, rest, tmp_path / "reports")
    assert path.name == f"{rest.fingerprint}.csv"  # what trial rows say they were trained on
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [dataset.examples[i].id for i in (3, 9)]
    assert rows[1]["reason"] == "the file does not exist"
    assert rows[1]["path"] == str(dataset.examples[9].image)


def test_good_pictures_need_no_report(tmp_path: Path) -> None:
    dataset = planted_xor(tmp_path / "planted", count=16)
    images = image_store(dataset, S32, tmp_path / "cache")
    check_images(dataset, images)
    assert usable(dataset, images).all()
    assert without(dataset, images) == dataset


def test_a_process_reads_a_data_set_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "planted", planted_xor(tmp_path, count=16))
    first = read_dataset(DataSpec(name="planted", limit=2), tmp_path)
    assert read_dataset(DataSpec(name="planted", limit=2), tmp_path) is first
    assert read_dataset(DataSpec(name="planted", limit=3), tmp_path) is not first
    register(monkeypatch, "planted", planted_xor(tmp_path, count=32))
    assert read_dataset(DataSpec(name="planted", limit=2), tmp_path) is not first


def test_what_specs_differ_in_beside_the_data_shares_one_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "planted", planted_xor(tmp_path, count=16))
    first = read_dataset(DataSpec(name="planted"), tmp_path)
    for change in ({"max_tokens": 9}, {"image_size": 64}, {"on_bad_image": "skip"}):
        assert read_dataset(DataSpec(name="planted", **change), tmp_path) is first


def test_a_split_without_any_usable_image_is_refused(tmp_path: Path) -> None:
    dataset = planted_xor(tmp_path / "planted", count=16)
    for example in dataset.split("test"):
        example.image.unlink()
    images = image_store(dataset, S32, tmp_path / "cache")
    with pytest.raises(ValueError, match="none of the 4 of test can"):
        check_splits(dataset, without(dataset, images))


def test_a_file_that_cannot_be_read_now_is_not_remembered_as_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lock, a full table of open files, a disk that is gone for a moment.
    dataset = planted_xor(tmp_path / "planted", count=16)
    size = os.path.getsize

    def failing(path: Path) -> int:
        if path == dataset.examples[5].image:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return size(path)

    with monkeypatch.context() as patch:
        patch.setattr(os.path, "getsize", failing)
        with pytest.raises(PermissionError, match=dataset.examples[5].image.name):
            image_store(dataset, S32, tmp_path / "cache")
    assert image_store(dataset, S32, tmp_path / "cache").failures == {}
