"""A spec's data set, and the store of its decoded images. No torch: a driver can prepare both."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from mi2p.data import DATASETS, Source, read
from mi2p.data.cache import Chunk, Recipe, Stored
from mi2p.data.example import SPLITS, Dataset
from mi2p.data.views import VIEW_VERSION, BadImage, BadImages, View, decode_all
from mi2p.files import write_whole
from mi2p.spec import OPTION_TAKERS, DataSpec

IMAGES_PER_CHUNK = 64
DECODE_WORKERS = 2
BORDER = 16
"""An augmented image is shifted by up to size / BORDER pixels each way."""


def read_dataset(data: DataSpec, root: Path | None) -> Dataset:
    """The data set of `data`, cut to its limit; remembered by the process that read it.

    A worker runs many trials on one data set, whose reading and fingerprint take seconds.
    """
    # What specs differ in beside this is nothing to readers: they share one copy of the texts.
    read_by = {name: getattr(data, name) for name in ("name", "limit", *OPTION_TAKERS)}
    return _remembered(DataSpec(**read_by), root, DATASETS.get(data.name))


@lru_cache(maxsize=1)
def _remembered(data: DataSpec, root: Path | None, source: Source | None) -> Dataset:
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


def view_of(data: DataSpec) -> View:
    """How `data` wants its images decoded; with augmentation there is a border to shift into."""
    border = data.image_size // BORDER if data.augment != "none" else 0
    return View(size=data.image_size, kind=data.view, border=border)


def label(kind: str, data: DataSpec, dataset: Dataset, encoder: str = "") -> str:
    """The label of a store of `kind` for trials on `data`: no paths, times or versions in it."""
    return json.dumps([kind, encoder, dataset.fingerprint, data.to_dict()], sort_keys=True)


def image_recipe(data: DataSpec, dataset: Dataset) -> Recipe:
    """The store of decoded images (N, 3, S, S), S that of `view_of(data)`.

    Images that cannot be used are white and noted as failures.
    """
    view = view_of(data)
    return Recipe(
        kind="images",
        key={
            "data": dataset.name,
            "images": dataset.images_fingerprint,
            "view": dataclasses.asdict(view),
            "version": VIEW_VERSION,
            "pillow": PIL.__version__,
        },
        count=len(dataset.examples),
        step=IMAGES_PER_CHUNK,
        start=_Decode(tuple(example.image for example in dataset.examples), view),
        label=label("images", data, dataset),
    )


@dataclass(frozen=True)
class _Decode:
    paths: tuple[Path, ...]
    view: View

    def __call__(self) -> Callable[[slice], Chunk]:
        return self.chunk

    def chunk(self, rows: slice) -> Chunk:
        paths, side = self.paths[rows], self.view.side
        images = np.full((len(paths), 3, side, side), 255, np.uint8)
        failures: dict[int, str] = {}
        try:
            decode_all(paths, self.view, images, DECODE_WORKERS, lambda done: None)
        except BadImages as found:
            failures = {rows.start + row: bad.reason for row, bad in found.failures.items()}
        return Chunk(values=images, failures=failures)


def check_images(dataset: Dataset, images: Stored) -> None:
    """`BadImages`, naming every image of the store that cannot be used, if there is any."""
    if images.failures:
        raise BadImages(
            {
                row: BadImage(dataset.examples[row].image, reason)
                for row, reason in sorted(images.failures.items())
            },
            len(dataset.examples),
        )


def without(dataset: Dataset, images: Stored) -> Dataset:
    """The data set without the examples whose image cannot be used."""
    kept = tuple(e for row, e in enumerate(dataset.examples) if row not in images.failures)
    return dataclasses.replace(dataset, examples=kept)


def check_splits(dataset: Dataset, rest: Dataset) -> None:
    """ValueError if a split of `dataset` has nothing left in `rest`."""
    for split in SPLITS:
        if dataset.split(split) and not rest.split(split):
            raise ValueError(
                "every split must have an image that can be used, but none of the "
                f"{len(dataset.split(split))} of {split} can"
            )


def usable(dataset: Dataset, images: Stored) -> NDArray[np.bool_]:
    """(N,) False for examples whose image cannot be used."""
    found = np.ones(len(dataset.examples), bool)
    found[list(images.failures)] = False
    return found


def write_report(dataset: Dataset, images: Stored, rest: Dataset, folder: Path) -> Path:
    """A CSV in `folder` with id, split, path and reason of every image that cannot be used.

    Its name is the fingerprint of `rest`, the data set without them, which trial rows name.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "split", "path", "reason"])
    for row, reason in sorted(images.failures.items()):
        example = dataset.examples[row]
        writer.writerow([example.id, example.split, example.image, reason])
    path = folder / f"{rest.fingerprint}.csv"
    return write_whole(path, text.getvalue())
