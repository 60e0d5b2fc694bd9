"""What the trials of one data set read, as arrays in one order, and batches cut from them.

Images, and the frozen encoders' features T' and Z', come from memory-mapped stores: whichever
trial needs them first makes them, every other trial on the machine reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mi2p.data.cache import stored
from mi2p.data.example import Dataset
from mi2p.data.images import image_store, read_dataset
from mi2p.data.views import VIEW_VERSION
from mi2p.models import Batch
from mi2p.models.weights import fingerprint, load_textual, load_tokenizer, load_visual
from mi2p.spec import DataSpec, ModelSpec

FEATURE_VERSION = 1
"""Raised when features of the same weights and images would change."""
ENCODE_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Rows are the data set's examples in order; arrays that the model does not read are None."""

    dataset: Dataset
    labels: Tensor
    """(N,) int64 class indices, or (N, K) float32 indicators when several labels may hold"""
    images: NDArray[np.uint8] | None = None
    """(N, 3, S, S)"""
    tokens: Tensor | None = None
    """(N, l) int64"""
    is_word: Tensor | None = None
    """(N, l) bool"""
    words: NDArray[np.float32] | None = None
    """T' (N, l, d)"""
    maps: NDArray[np.float32] | None = None
    """Z' (N, c', h', w')"""

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of a split's examples."""
        return np.array([i for i, e in enumerate(self.dataset.examples) if e.split == split])

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> Batch:
        """The examples at `rows` on `device`, padding beyond the longest text cut off."""
        length = None if self.is_word is None else int(self.is_word[rows].sum(1).max())

        def gathered(array: NDArray[np.generic] | Tensor | None, cut: int | None) -> Tensor | None:
            if array is None:
                return None
            chosen = array[rows] if cut is None else array[rows, :cut]
            return chosen if isinstance(chosen, Tensor) else torch.from_numpy(chosen)

        batch = Batch(
            images=gathered(self.images, None),
            tokens=gathered(self.tokens, length),
            is_word=gathered(self.is_word, length),
            words=gathered(self.words, length),
            maps=gathered(self.maps, None),
            labels=gathered(self.labels, None),
        )
        if device.type != "cuda":
            return batch
        return batch.map(lambda tensor: tensor.pin_memory().to(device, non_blocking=True))


def prepare(
    data: DataSpec,
    model: ModelSpec,
    *,
    root: Path | None,
    cache: Path,
    weights: Path | None,
    device: torch.device,
) -> Inputs:
    """The inputs that `model` reads: its own modality, and the frozen features of the other."""
    dataset = read_dataset(data, root)
    expanded = model.units is not None
    inputs = Inputs(dataset=dataset, labels=_labels(dataset))
    if model.reads == "visual":
        inputs = dataclasses.replace(inputs, images=image_store(dataset, data.image_size, cache))
    if model.textual is not None:
        tokenize = load_tokenizer(model.textual, weights)
        tokens, is_word = tokenize([e.text for e in dataset.examples], data.max_tokens)
        inputs = dataclasses.replace(inputs, tokens=tokens, is_word=is_word)
    if expanded and model.reads == "visual":
        words = _textual_features(inputs, data, model.textual or "", cache, weights, device)
        inputs = dataclasses.replace(inputs, words=words)
    if expanded and model.reads == "textual":
        images = image_store(dataset, data.image_size, cache)
        maps = _visual_features(inputs, images, data, model.visual or "", cache, weights, device)
        inputs = dataclasses.replace(inputs, maps=maps)
    return inputs


def _labels(dataset: Dataset) -> Tensor:
    if not dataset.multilabel:
        return torch.tensor([example.labels[0] for example in dataset.examples])
    indicators = torch.zeros(len(dataset.examples), len(dataset.classes))
    for row, example in enumerate(dataset.examples):
        indicators[row, list(example.labels)] = 1
    return indicators


def _textual_features(
    inputs: Inputs,
    data: DataSpec,
    name: str,
    cache: Path,
    weights: Path | None,
    device: torch.device,
) -> NDArray[np.float32]:
    """T' (N, l, d): the last hidden state of the frozen textual encoder, all word pieces."""
    tokens, is_word = inputs.tokens, inputs.is_word
    assert tokens is not None and is_word is not None
    encoder = load_textual(name, weights).eval().to(device)

    def encode(rows: slice) -> Tensor:
        features: Tensor = encoder(tokens[rows].to(device), is_word[rows].to(device))
        return features

    key = {
        "max_tokens": data.max_tokens,
        "encoder": name,
        "weights": fingerprint(encoder),
        "device": device.type,
    }
    return _features(inputs.dataset, "words", key, cache, encode)


def _visual_features(
    inputs: Inputs,
    images: NDArray[np.uint8],
    data: DataSpec,
    name: str,
    cache: Path,
    weights: Path | None,
    device: torch.device,
) -> NDArray[np.float32]:
    """Z' (N, c', h', w'): the last map of the frozen visual encoder before aggregation."""
    encoder = load_visual(name, weights).eval().to(device)

    def encode(rows: slice) -> Tensor:
        batch = torch.from_numpy(images[rows].copy()).to(device)
        maps: Tensor = encoder(batch.contiguous(memory_format=torch.channels_last))
        return maps

    key = {
        "size": data.image_size,
        "view": VIEW_VERSION,
        "encoder": name,
        "weights": fingerprint(encoder),
        "device": device.type,
    }
    return _features(inputs.dataset, "maps", key, cache, encode)


def _features(
    dataset: Dataset,
    kind: str,
    key: dict[str, object],
    cache: Path,
    encode: Callable[[slice], Tensor],
) -> NDArray[np.float32]:
    def make() -> NDArray[np.float32]:
        count = len(dataset.examples)
        with torch.no_grad():
            parts = [
                encode(slice(start, start + ENCODE_BATCH)).float().cpu().numpy()
                for start in range(0, count, ENCODE_BATCH)
            ]
        return np.concatenate(parts)

    key = {"data": dataset.fingerprint, "version": FEATURE_VERSION, **key}
    return stored(cache, kind, key, make).astype(np.float32, copy=False)
