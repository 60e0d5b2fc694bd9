"""Small copies of MM-IMDB in its two layouts, with generated posters."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

Layout = Literal["dataset", "images"]

LOOKS = {
    "Drama": ((120, 40, 40), "a family breaks apart over an old letter"),
    "Comedy": ((230, 210, 60), "two friends bet that nobody will laugh"),
    "Horror": ((20, 20, 25), "something scratches behind the cellar door"),
    "Sci-Fi": ((40, 90, 200), "a crew wakes in orbit around a silent planet"),
}
"""Genres in use, with the colour of their stripe on a poster and a sentence of a plot."""
SIZE = (64, 96)


def write_mmimdb(
    folder: Path, *, layout: Layout = "dataset", movies: int = 24, seed: int = 0
) -> Path:
    """Write a valid copy of at least 12 movies; return `folder`, which contains split.json.

    A quarter of the movies (rounded down) is for dev and another for test. The genres of `LOOKS`
    take turns, and every third movie has the next one too; with 16 movies or more each split has
    all four. Posters and plots show the genres.
    """
    if movies < 12:
        raise ValueError(f"`movies` must be at least 12, but got {movies=}.")
    labels, posters = ("dataset", "dataset") if layout == "dataset" else ("labels", "images")
    for name in (labels, posters):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = list(LOOKS)
    ids = [f"{100_000 + 17 * number:07}" for number in range(movies)]
    for number, movie in enumerate(ids):
        rng = random.Random(f"{seed}/{movie}")
        genres = [names[number % 4], *([names[(number + 1) % 4]] if number % 3 == 0 else [])]
        content = {
            "title": f"Movie {movie}",
            "genres": genres,
            "plot": ["Short summary.", ", while ".join(LOOKS[name][1] for name in genres) + "."],
            "plot outline": f"In {rng.randrange(1920, 2015)}, {LOOKS[genres[0]][1]}.",
            "year": 1999,
        }
        (folder / labels / f"{movie}.json").write_text(json.dumps(content), encoding="utf-8")
        _poster(genres, rng).save(folder / posters / f"{movie}.jpeg")
    quarter = movies // 4
    splits = {
        "train": ids[: movies - 2 * quarter],
        "dev": ids[movies - 2 * quarter : movies - quarter],
        "test": ids[movies - quarter :],
    }
    (folder / "split.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder


def _poster(genres: list[str], rng: random.Random) -> Image.Image:
    """A stripe in the colour of each genre, under dots of any colour."""
    image = Image.new("RGB", SIZE)
    draw = ImageDraw.Draw(image)
    height = SIZE[1] // len(genres)
    for row, genre in enumerate(genres):
        draw.rectangle((0, row * height, SIZE[0], (row + 1) * height), fill=LOOKS[genre][0])
    for _ in range(4):
        x, y = rng.randrange(SIZE[0]), rng.randrange(SIZE[1])
        draw.ellipse((x, y, x + 6, y + 6), fill=tuple(rng.randrange(256) for _ in range(3)))
    return image
