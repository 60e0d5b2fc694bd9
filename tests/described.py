"""Made-up data sets with real picture files, for what describes data sets."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mi2p.data.example import Dataset, Example


def save_picture(path: Path, *, seed: int, size: tuple[int, int] = (40, 30)) -> Path:
    """A picture of 8 x 8 random colours, `size` wide and high; its seed decides its looks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(levels).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def made_up(
    folder: Path,
    rows: Sequence[tuple[str, str, tuple[int, ...]]],
    *,
    classes: Sequence[str],
    name: str = "toy",
    multilabel: bool = False,
) -> Dataset:
    """An example for each row of split, text and labels: `train0`, `val1`, ..., each a picture."""
    examples = []
    for i, (split, text, labels) in enumerate(rows):
        id = f"{split}{i}"
        image = save_picture(folder / f"{id}.png", seed=zlib.crc32(id.encode()))
        examples.append(Example(id=id, image=image, text=text, labels=labels, split=split))
    return Dataset(
        name=name, classes=tuple(classes), multilabel=multilabel, examples=tuple(examples)
    )
