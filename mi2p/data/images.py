"""A spec's data set, and the store of its decoded images. No torch: a driver can prepare both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mi2p.data import read
from mi2p.data.cache import stored
from mi2p.data.example import SPLITS, Dataset
from mi2p.data.views import VIEW_VERSION, decode_all
from mi2p.spec import DataSpec

DECODE_WORKERS = 2


def read_dataset(data: DataSpec, root: Path | None) -> Dataset:
    """The data set of `data`, cut to its limit."""
    return limited(read(data, root), data.limit)


def limited(dataset: Dataset, limit: int) -> Dataset:
    """At most `limit` examples of each split, evenly spaced in the data set's order; 0 is all."""
    if limit == 0:
        return dataset
    kept: set[str] = set()
    for split in SPLITS:
        ids = [example.id for example in dataset.split(split)]
        spaced = np.linspace(0, len(ids) - 1, min(limit, len(ids))).astype(int)
        kept.update(ids[i] for i in spaced)
    return dataclasses.replace(
        dataset, examples=tuple(e for e in dataset.examples if e.id in kept)
    )


def image_store(
    dataset: Dataset, size: int, cache: Path, progress: Callable[[int], None] = lambda done: None
) -> NDArray[np.uint8]:
    """Decoded images (N, 3, size, size); raises `BadImages` naming every file that is not one.

    `progress` is called with the number of images decoded, and not at all when they are stored.
    """

    def make() -> NDArray[np.uint8]:
        images = np.empty((len(dataset.examples), 3, size, size), np.uint8)
        paths = [example.image for example in dataset.examples]
        decode_all(paths, size, images, DECODE_WORKERS, progress)
        return images

    key = {"data": dataset.fingerprint, "size": size, "view": VIEW_VERSION}
    return stored(cache, "images", key, make).astype(np.uint8, copy=False)
