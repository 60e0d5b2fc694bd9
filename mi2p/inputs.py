"""What the trials of one data set read, as stores in one order, and batches cut from them.

Whichever trial needs a store first makes it, every other trial on the machine reads it; a sweep
makes them all before its first trial.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mi2p.data.cache import Stored
from mi2p.data.example import Dataset
from mi2p.data.images import check_images, check_splits, read_dataset, usable, view_of
from mi2p.data.views import View
from mi2p.features import (
    PADDING,
    TEXTS_PER_CHUNK,
    open_features,
    open_images,
    reads_pictures,
    stored_features,
)
from mi2p.models import Batch
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, ModelSpec

logger = logging.getLogger(__name__)

EVERYTHING = slice(None)
NOT_CACHED = "augmentation is on: Z' is computed in every step and not cached"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Rows are the examples of `everything` in order; what the model does not read is None."""

    everything: Dataset
    """Examples with bad images, too; `rows` leaves them out."""
    usable: NDArray[np.bool_]
    """(N,) False for examples that are left out"""
    labels: Tensor
    """(N,) int64 class indices, or (N, K) float32 indicators when several labels may hold"""
    view: View
    images: Stored | None = None
    """(N, 3, S, S) uint8, with a border when they are augmented"""
    tokens: Stored | None = None
    """(N, l) int32, PADDING behind a text's end"""
    words: Stored | None = None
    """T' (words of all texts, d)"""
    first_words: NDArray[np.int64] | None = None
    """(N + 1,) where each text's words begin in `words`"""
    maps: Stored | None = None
    """Z' (N, c', h', w')"""

    @cached_property
    def dataset(self) -> Dataset:
        """The examples that are used."""
        if self.usable.all():
            return self.everything
        kept = zip(self.everything.examples, self.usable, strict=True)
        return replace(self.everything, examples=tuple(e for e, good in kept if good))

    @property
    def stored(self) -> frozenset[str]:
        """The frozen features that batches bring: `words`, `maps`."""
        return frozenset(kind for kind in ("words", "maps") if getattr(self, kind) is not None)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of a split's examples that are used."""
        examples = self.everything.examples
        return np.array(
            [i for i, e in enumerate(examples) if e.split == split and self.usable[i]], np.int64
        )

    def batch(
        self,
        rows: NDArray[np.int64],
        device: torch.device,
        augment: np.random.Generator | None = None,
        share: slice = EVERYTHING,
    ) -> Batch:
        """The examples at `rows` on `device`, padding beyond the longest text cut off.

        Images are shifted and flipped at random by `augment`, which must be given in training
        only; without it the middle is cut out of their border.

        Of a `share` of the rows, its examples are the same as in the whole batch.
        """
        own = rows[share]
        batch = Batch(labels=self.labels[torch.from_numpy(own)])
        if self.images is not None:
            places = _places(len(rows), self.view, augment)[share]
            batch.images = torch.from_numpy(_squares(self.images, own, self.view, places))
        if self.tokens is not None:
            ids = torch.from_numpy(self.tokens.take(rows)).long()
            is_word = ids != PADDING
            length = int(is_word.sum(1).max())
            ids, is_word = ids[share, :length], is_word[share, :length]
            batch.tokens, batch.is_word = ids * is_word, is_word
            if self.words is not None:
                batch.words = torch.from_numpy(self._words(own, length)).float()
        if self.maps is not None:
            batch.maps = torch.from_numpy(self.maps.take(own)).float()
        if device.type != "cuda":
            return batch
        return batch.map(lambda tensor: tensor.pin_memory().to(device, non_blocking=True))

    def _words(self, rows: NDArray[np.int64], length: int) -> NDArray[np.generic]:
        """T' (B, length, d), zeros behind a text's end."""
        assert self.words is not None and self.first_words is not None
        out = np.zeros((len(rows), length, *self.words.cell), self.words.dtype)
        for at, row in enumerate(rows.tolist()):
            first, end = self.first_words[row : row + 2].tolist()
            out[at, : end - first] = self.words.cells(first, end)
        return out


def prepare(data: DataSpec, model: ModelSpec, runtime: Runtime) -> Inputs:
    """The inputs that `model` reads: of what it trains, and features of its frozen encoders.

    Raises `BadImages` when images are read and some cannot be used, unless these are skipped.
    """
    dataset = read_dataset(data, runtime.data)
    inputs = Inputs(
        everything=dataset,
        usable=np.ones(len(dataset.examples), bool),
        labels=_labels(dataset),
        view=view_of(data),
    )
    # Skipped examples are the same for models that read no image: their rows are compared.
    from_stores = stored_features(data, model)
    pictures = reads_pictures(model, from_stores)
    if pictures or "maps" in model.frozen or data.on_bad_image == "skip":
        images = open_images(data, dataset, runtime)
        if data.on_bad_image == "fail":
            check_images(dataset, images)
        inputs = replace(
            inputs, usable=usable(dataset, images), images=images if pictures else None
        )
        check_splits(dataset, inputs.dataset)
    if model.textual is not None:
        inputs = replace(inputs, tokens=open_features("tokens", data, model.textual, runtime))
    if "words" in from_stores:
        words = open_features("words", data, model.textual or "", runtime)
        inputs = replace(inputs, words=words, first_words=_starts(inputs.tokens))
    if "maps" in from_stores:
        inputs = replace(inputs, maps=open_features("maps", data, model.visual or "", runtime))
    elif "maps" in model.frozen:
        logger.warning("%s", NOT_CACHED)
    return inputs


def _labels(dataset: Dataset) -> Tensor:
    if not dataset.multilabel:
        return torch.tensor([example.labels[0] for example in dataset.examples])
    indicators = torch.zeros(len(dataset.examples), len(dataset.classes))
    for row, example in enumerate(dataset.examples):
        indicators[row, list(example.labels)] = 1
    return indicators


def _starts(tokens: Stored | None) -> NDArray[np.int64]:
    """Where each text's words begin, and where the last one's end."""
    assert tokens is not None
    starts = np.zeros(len(tokens) + 1, np.int64)
    for first in range(0, len(tokens), TEXTS_PER_CHUNK):
        rows = np.arange(first, min(first + TEXTS_PER_CHUNK, len(tokens)))
        starts[rows + 1] = (tokens.take(rows) != PADDING).sum(1)
    return starts.cumsum()


def _places(
    count: int, view: View, augment: np.random.Generator | None
) -> list[tuple[int, int, bool]]:
    """Top, left and whether to flip for each image: the middle, or anywhere."""
    if augment is None:
        return [(view.border, view.border, False)] * count
    drawn = []
    for _ in range(count):
        top, left = augment.integers(0, 2 * view.border + 1, 2).tolist()
        drawn.append((top, left, bool(augment.integers(2))))
    return drawn


def _squares(
    images: Stored,
    rows: NDArray[np.int64],
    view: View,
    places: Sequence[tuple[int, int, bool]],
) -> NDArray[np.uint8]:
    """(B, 3, size, size) cut out of the images at their places."""
    size = view.size
    out = np.empty((len(rows), 3, size, size), np.uint8)
    for at, (row, (top, left, flipped)) in enumerate(zip(rows.tolist(), places, strict=True)):
        square = images.cells(row, row + 1)[0][:, top : top + size, left : left + size]
        out[at] = square[:, :, ::-1] if flipped else square
    return out
