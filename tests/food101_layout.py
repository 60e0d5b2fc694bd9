"""Small copies of UPMC Food-101 in its public layouts, with generated pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

Form = Literal["original", "kaggle", "both"]

CLASSES = ("apple_pie", "cup_cakes", "french_onion_soup")
SIZE = (96, 72)
LINE = "Ingredients and   method\n\n* [home](http://example.org/) cook, serve and enjoy\n"


def write_food101(
    folder: Path,
    *,
    form: Form = "original",
    classes: Sequence[str] = CLASSES,
    per_class: int = 12,
    seed: int = 0,
) -> Path:
    """Write a valid copy with `per_class` images of each class; return `folder`.

    The last third of each class (rounded down) is in the official test folder. Pictures are
    photos of one colour per class with a noisy disc; texts name the dish. Classes are to be told
    apart by either. The content depends on `seed`, not on the order of `classes`.
    """
    titles: dict[str, list[str]] = {"train": [], "test": []}
    for label in classes:
        for number in range(per_class):
            part = "test" if number >= per_class - per_class // 3 else "train"
            name = f"{label}_{number}"
            rng = random.Random(f"{seed}/{name}")
            image = folder / "images" / part / label / f"{name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            picture(label, rng).save(image)
            title = f"{label.replace('_', ' ').title()}, recipe {rng.randrange(1000)}"
            titles[part].append(f"{name}.jpg,{title},{label}")
            if form != "kaggle":
                page = folder / "texts_txt" / label / f"{name}.txt"
                page.parent.mkdir(parents=True, exist_ok=True)
                page.write_text(f"# {title}\n\n{LINE * rng.randrange(1, 4)}", encoding="utf-8")
    if form != "original":
        (folder / "texts").mkdir()
        for part, rows in titles.items():
            text = "".join(f"{row}\n" for row in rows)
            (folder / "texts" / f"{part}_titles.csv").write_text(text, encoding="utf-8")
    return folder


def picture(label: str, rng: random.Random) -> Image.Image:
    """A picture whose background has the colour of the label."""
    colour = random.Random(label)
    image = Image.new("RGB", SIZE, tuple(colour.randrange(256) for _ in range(3)))
    left, top = rng.randrange(SIZE[0] // 2), rng.randrange(SIZE[1] // 2)
    disc = (left, top, left + SIZE[0] // 3, top + SIZE[1] // 3)
    ImageDraw.Draw(image).ellipse(disc, fill=tuple(rng.randrange(256) for _ in range(3)))
    return image
