"""Made-up data sets whose label needs both modalities, for tests that train or encode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mi2p import data
from mi2p.data.example import Dataset, Example

BITS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The visual and the textual bit of the four examples that always come together."""
WORDS = ("crimson", "turquoise")
"""The word that says the textual bit."""
FILLER = ("a", "drawing", "of", "some", "thing", "with", "lines", "and", "paper")
SIDE = 64


def planted_xor(folder: Path, count: int, seed: int = 0) -> Dataset:
    """`count` pictures and texts; the label is the XOR of a bit in each.

    One modality alone says nothing about the label, and neither does any sum of what each says.
    """
    return _planted(folder, count, seed, ("equal", "different"), lambda v, t: v ^ t)


def planted_pair(folder: Path, count: int, seed: int = 0) -> Dataset:
    """`count` pictures and texts; the label, one of four, is the pair of a bit in each.

    One modality alone is right for half of the examples at best; the sum of what each says is
    enough for all of them, so that fusions of scores can learn it.
    """
    classes = tuple(f"{visual}{textual}" for visual, textual in BITS)
    return _planted(folder, count, seed, classes, lambda v, t: 2 * v + t)


def _planted(
    folder: Path,
    count: int,
    seed: int,
    classes: tuple[str, ...],
    label: Callable[[int, int], int],
) -> Dataset:
    """The visual bit is which half is bright, the textual one which of two words stands among
    fillers. All four combinations are equally frequent in each split (a half, a quarter and a
    quarter of the examples)."""
    if count < 16 or count % 16:
        raise ValueError(f"`count` must be a positive multiple of 16, but got {count=}.")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    quarter = count // 16  # groups of four in a quarter of the examples
    splits = ["train"] * (2 * quarter) + ["val"] * quarter + ["test"] * quarter
    examples = []
    for group, split in enumerate(splits):
        for visual, textual in rng.permutation(BITS):
            name = f"xor-{group:04}-{visual}{textual}"
            path = folder / f"{name}.png"
            _picture(rng, bright_right=bool(visual)).save(path)
            text = _text(rng, WORDS[textual])
            labels = (label(int(visual), int(textual)),)
            examples.append(Example(id=name, image=path, text=text, labels=labels, split=split))
    return Dataset(name="planted", classes=classes, multilabel=False, examples=tuple(examples))


def register(monkeypatch: pytest.MonkeyPatch, name: str, dataset: Dataset) -> None:
    """Let `mi2p.data.read(name)` give `dataset` until the test ends."""
    source = data.Source(locate=lambda root: root or Path(), read=lambda root, spec: dataset)
    monkeypatch.setitem(data.DATASETS, name, source)


def _picture(rng: np.random.Generator, *, bright_right: bool) -> Image.Image:
    pixels = rng.normal(70, 15, (SIDE, SIDE, 3))
    half = slice(SIDE // 2, None) if bright_right else slice(None, SIDE // 2)
    pixels[:, half] += 110
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _text(rng: np.random.Generator, word: str) -> str:
    words = [str(filler) for filler in rng.choice(FILLER, rng.integers(2, 8))]
    words.insert(int(rng.integers(len(words) + 1)), word)
    return " ".join(words)
