"""Limits of a data set, and the store of its decoded images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mi2p.data.example import Dataset, Example
from mi2p.data.images import image_store, limited, read_dataset
from mi2p.data.views import BadImages, decode
from mi2p.spec import DataSpec
from tests.planted import planted_xor, register


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


def test_the_store_holds_what_decoding_gives_in_order(tmp_path: Path) -> None:
    dataset = planted_xor(tmp_path / "planted", count=16)
    images = image_store(dataset, 32, tmp_path / "cache")
    assert images.shape == (16, 3, 32, 32)
    assert images.dtype == np.uint8
    for row, example in enumerate(dataset.examples):
        np.testing.assert_array_equal(images[row], decode(example.image, 32))


def test_decoded_once_per_size(tmp_path: Path) -> None:
    dataset = planted_xor(tmp_path / "planted", count=16)
    seen: list[int] = []
    first = image_store(dataset, 32, tmp_path / "cache", seen.append)
    assert seen == list(range(1, 17))
    for example in dataset.examples:
        example.image.touch()  # a time is no content
    second = image_store(dataset, 32, tmp_path / "cache", seen.append)
    assert len(seen) == 16  # not decoded, not even reported
    np.testing.assert_array_equal(first, second)
    assert image_store(dataset, 64, tmp_path / "cache", seen.append).shape[-1] == 64
    assert len(seen) == 32


def test_other_pictures_are_decoded_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = image_store(planted_xor(tmp_path / "one", count=16, seed=0), 32, cache)
    other = image_store(planted_xor(tmp_path / "other", count=16, seed=1), 32, cache)
    assert not np.array_equal(one, other)


def test_all_bad_pictures_are_named_and_nothing_is_stored(tmp_path: Path) -> None:
    dataset = planted_xor(tmp_path / "planted", count=16)
    bad = [dataset.examples[3].image, dataset.examples[9].image]
    for path in bad:
        path.write_bytes(b"no picture")
    with pytest.raises(BadImages) as refused:
        image_store(dataset, 32, tmp_path / "cache")
    assert all(str(path) in str(refused.value) for path in bad)
    assert not list((tmp_path / "cache").glob("*.arrow"))
