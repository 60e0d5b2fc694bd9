"""Recipes of the stores that need a tokenizer or a frozen encoder: token ids, T' and Z'.

Legend: N examples, l = max_tokens, d width, c' channels, h' x w' cells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from mi2p.data.cache import Chunk, Recipe, Stored, open_store, stored
from mi2p.data.example import Dataset
from mi2p.data.images import image_recipe, label, read_dataset
from mi2p.models.frozen import FEATURE_TYPES, ROWS, Frozen
from mi2p.models.weights import (
    load_textual,
    load_tokenizer,
    load_visual,
    weights_fingerprint,
)
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, ModelSpec

FEATURE_VERSION = 2
"""Raised when features of the same weights and inputs would change."""
TEXTS_PER_CHUNK = 1024
FEATURES_PER_CHUNK = 64
PADDING = -1
"""What a store of token ids has behind the end of a text."""


def stored_features(data: DataSpec, model: ModelSpec) -> tuple[str, ...]:
    """The frozen features that `model` reads from a store: `words` (T'), `maps` (Z').

    Z' cannot be kept where images are augmented: each is another one in every epoch.
    """
    return tuple(kind for kind in model.frozen if kind != "maps" or data.augment == "none")


def reads_pictures(model: ModelSpec, stored: Collection[str]) -> bool:
    """Whether trials read the images themselves, be it for an encoder of what is not `stored`."""
    return model.reads_images or ("maps" in model.frozen and "maps" not in stored)


def recipes(data: DataSpec, model: ModelSpec, runtime: Runtime) -> list[Recipe]:
    """The stores that trials of `model` read, in the order in which they can be made.

    Raises what reading the data set and loading the encoders' weights raise.
    """
    found = []
    dataset = read_dataset(data, runtime.data)
    from_stores = stored_features(data, model)
    if reads_pictures(model, from_stores) or "maps" in model.frozen:
        found.append(image_recipe(data, dataset))
    if model.textual is not None:
        found.append(token_recipe(data, model.textual, runtime))
    if "words" in from_stores:
        found.append(word_recipe(data, model.textual or "", runtime))
    if "maps" in from_stores:
        found.append(map_recipe(data, model.visual or "", runtime))
    return found


def opened(runtime: Runtime, name: str, recipe: Callable[[], Recipe]) -> Stored:
    """The store labelled `name` that a sweep has prepared, or else that of `recipe`."""
    prepared = runtime.prepared.get(name)
    found = open_store(runtime.stores / prepared) if prepared else None
    return stored(runtime.stores, recipe()) if found is None else found


def open_images(data: DataSpec, dataset: Dataset, runtime: Runtime) -> Stored:
    """Decoded images, made here if they are not there."""
    return opened(runtime, label("images", data, dataset), lambda: image_recipe(data, dataset))


def open_features(
    kind: Literal["tokens", "words", "maps"], data: DataSpec, encoder: str, runtime: Runtime
) -> Stored:
    """Token ids, T' or Z' of the transformer or CNN called `encoder`, made if not there."""
    make = {"tokens": token_recipe, "words": word_recipe, "maps": map_recipe}[kind]
    name = label(kind, data, read_dataset(data, runtime.data), encoder)
    return opened(runtime, name, lambda: make(data, encoder, runtime))


def token_recipe(data: DataSpec, encoder: str, runtime: Runtime) -> Recipe:
    """Token ids (N, l) int32 as the encoder called `encoder` reads them, PADDING at the end."""
    dataset = read_dataset(data, runtime.data)
    return Recipe(
        kind="tokens",
        key={
            "data": dataset.name,
            "texts": dataset.texts_fingerprint,
            "max_tokens": data.max_tokens,
            "tokenizer": tokenizer_fingerprint(encoder, runtime.weights),
        },
        count=len(dataset.examples),
        step=TEXTS_PER_CHUNK,
        start=_Tokenize(data, encoder, runtime),
        label=label("tokens", data, dataset, encoder),
    )


def word_recipe(data: DataSpec, encoder: str, runtime: Runtime) -> Recipe:
    """T' of the frozen encoder called `encoder`: (words of all texts, d), padding left out."""
    tokens = token_recipe(data, encoder, runtime)
    return Recipe(
        kind="words",
        key={"tokens": dict(tokens.key), **_encoded(data, encoder, runtime)},
        count=tokens.count,
        step=FEATURES_PER_CHUNK,
        start=_EncodeWords(data, encoder, runtime),
        label=label("words", data, read_dataset(data, runtime.data), encoder),
    )


def map_recipe(data: DataSpec, encoder: str, runtime: Runtime) -> Recipe:
    """Z' (N, c', h', w') of the frozen encoder called `encoder`."""
    dataset = read_dataset(data, runtime.data)
    images = image_recipe(data, dataset)
    return Recipe(
        kind="maps",
        key={"images": dict(images.key), **_encoded(data, encoder, runtime)},
        count=images.count,
        step=FEATURES_PER_CHUNK,
        start=_EncodeMaps(data, encoder, runtime),
        label=label("maps", data, dataset, encoder),
    )


def _encoded(data: DataSpec, encoder: str, runtime: Runtime) -> dict[str, object]:
    return {
        "encoder": encoder,
        "weights": weights_fingerprint(encoder, runtime.weights),
        "dtype": data.features,
        "device": runtime.torch_device().type,
        "rows": ROWS,
        "torch": torch.__version__,
        "version": FEATURE_VERSION,
    }


@cache
def tokenizer_fingerprint(name: str, folder: Path | None) -> str:
    """16 hex digits over the vocabulary of the tokenizer of the transformer called `name`."""
    return load_tokenizer(name, folder).fingerprint


@dataclass(frozen=True)
class _Make:
    """What chunks of features are made from; `__call__` does the set-up."""

    data: DataSpec
    encoder: str
    runtime: Runtime

    def _frozen(self, load: Callable[[str, Path | None], nn.Module]) -> Frozen:
        device = self.runtime.make_deterministic()
        dtype = FEATURE_TYPES[self.data.features]
        longest = self.data.max_tokens
        encoder = Frozen(load(self.encoder, self.runtime.weights), dtype, max_tokens=longest)
        return encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class _Tokenize(_Make):
    def __call__(self) -> Callable[[slice], Chunk]:
        examples = read_dataset(self.data, self.runtime.data).examples
        tokenize = load_tokenizer(self.encoder, self.runtime.weights)

        def chunk(rows: slice) -> Chunk:
            texts = [example.text for example in examples[rows]]
            tokens, is_word = tokenize(texts, self.data.max_tokens)
            return Chunk(values=torch.where(is_word, tokens, PADDING).int().numpy())

        return chunk


class _EncodeWords(_Make):
    def __call__(self) -> Callable[[slice], Chunk]:
        store = open_features("tokens", self.data, self.encoder, self.runtime)
        encoder = self._frozen(load_textual)

        def chunk(rows: slice) -> Chunk:
            ids = torch.from_numpy(store.take(np.arange(rows.start, rows.stop)))
            ids = ids.to(self.runtime.torch_device()).long()
            is_word = ids != PADDING
            words = encoder.words(ids * is_word, is_word)
            return Chunk(values=words[is_word].cpu().numpy())

        return chunk


class _EncodeMaps(_Make):
    def __call__(self) -> Callable[[slice], Chunk]:
        dataset = read_dataset(self.data, self.runtime.data)
        store = open_images(self.data, dataset, self.runtime)
        encoder = self._frozen(load_visual)

        def chunk(rows: slice) -> Chunk:
            images = torch.from_numpy(store.take(np.arange(rows.start, rows.stop)))
            maps = encoder.maps(images.to(self.runtime.torch_device()))
            return Chunk(values=maps.cpu().numpy())

        return chunk
