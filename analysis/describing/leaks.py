"""What of the validation and test splits can be known from the splits that models learn from.

Three kinds, from sure to suspected: the same text, the same image file, images that look alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.describing.pictures import Picture
from mi2p.data.example import Dataset, Example

MAX_DISTANCE = 4
"""Bits of 64 in which the average hashes of look-alikes differ at most."""
PAIRS = (("val", "train"), ("test", "train"), ("test", "val"))
BLOCK_BYTES = 64_000_000
MEANING = (
    "Looking alike: the average hashes of two images (8 x 8 cells of grey, one bit for lighter "
    f"than the mean) differ in at most {MAX_DISTANCE} of 64 bits. This finds copies that were "
    "resized or encoded again, but also different images of one composition: it counts suspects, "
    "most of them by chance if few have a label in common with the image most like theirs. "
    f"Flat images, whose hash has at most {MAX_DISTANCE} bits set or unset, are left out: at that "
    "distance each would match a blank page, and most of them each other."
)


@dataclass(frozen=True, kw_only=True)
class Alike:
    """An example and that of the other split whose image looks most like it."""

    example: str
    other: str
    distance: int
    """Bits in which the hashes differ."""
    same_label: bool
    """Whether they have a label in common."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Ids of examples of split `of` that have something in common with split `other`."""

    of: str
    other: str
    same_text: tuple[str, ...]
    same_file: tuple[str, ...]
    alike: tuple[Alike, ...]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How many examples of a split entered the comparisons."""

    split: str
    texts: int
    """Those that are not empty."""
    files: int
    """Those whose image was read."""
    images: int
    """Those whose image was decoded and is not flat."""
    flat: int
    unusable: int
    """Those whose image cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Overlaps of the splits, and what they were found among."""

    compared: tuple[Compared, ...]
    overlaps: tuple[Overlap, ...]
    max_distance: int = MAX_DISTANCE


def find_leaks(dataset: Dataset, pictures: Sequence[Picture]) -> Leaks:
    """Compare texts and images of the splits; `pictures[i]` is the image of `examples[i]`."""
    picture_of = dict(zip([e.id for e in dataset.examples], pictures, strict=True))
    splits = {name: dataset.split(name) for name in ("train", "val", "test")}
    return Leaks(
        compared=tuple(_compared(name, splits[name], picture_of) for name in splits),
        overlaps=tuple(
            _overlap(of, other, splits[of], splits[other], picture_of) for of, other in PAIRS
        ),
    )


def normalised(text: str) -> str:
    """The text in lower case with single spaces: what two copies of it share."""
    return " ".join(text.lower().split())


def is_flat(look: int) -> bool:
    """Whether a hash is within `MAX_DISTANCE` of that of a blank page or of its inverse."""
    return min(look.bit_count(), 64 - look.bit_count()) <= MAX_DISTANCE


def nearest(
    queries: NDArray[np.uint64], references: NDArray[np.uint64]
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Hamming distance to the nearest reference, and its index (the first), of each query.

    Shapes: (Q,) and (R,) to (Q,) and (Q,); R >= 1. Works in blocks of about `BLOCK_BYTES`.
    """
    distances = np.empty(len(queries), np.uint8)
    indices = np.empty(len(queries), np.intp)
    # 8 bytes of differing bits and 1 of their number for each pair.
    rows = max(1, BLOCK_BYTES // (9 * len(references)))
    for start in range(0, len(queries), rows):
        block = slice(start, start + rows)
        apart = np.bitwise_count(queries[block, None] ^ references[None, :])  # (rows, R)
        indices[block] = apart.argmin(axis=1)
        distances[block] = apart.min(axis=1)
    return distances, indices


def _compared(
    name: str, examples: Sequence[Example], picture_of: Mapping[str, Picture]
) -> Compared:
    pictures = [picture_of[example.id] for example in examples]
    looks = [picture.hash for picture in pictures if picture.hash is not None]
    flat = sum(map(is_flat, looks))
    return Compared(
        split=name,
        texts=sum(bool(normalised(example.text)) for example in examples),
        files=sum(picture.digest is not None for picture in pictures),
        images=len(looks) - flat,
        flat=flat,
        unusable=sum(picture.problem is not None for picture in pictures),
    )


def _overlap(
    of: str,
    other: str,
    ours: Sequence[Example],
    theirs: Sequence[Example],
    picture_of: Mapping[str, Picture],
) -> Overlap:
    texts = {normalised(example.text) for example in theirs} - {""}
    files = {picture_of[example.id].digest for example in theirs} - {None}
    return Overlap(
        of=of,
        other=other,
        same_text=tuple(e.id for e in ours if normalised(e.text) in texts),
        same_file=tuple(e.id for e in ours if picture_of[e.id].digest in files),
        alike=tuple(_alike(_comparable(ours, picture_of), _comparable(theirs, picture_of))),
    )


def _comparable(
    examples: Sequence[Example], picture_of: Mapping[str, Picture]
) -> list[tuple[Example, int]]:
    """Examples with a hash that says something, and the hash."""
    looks = [(example, picture_of[example.id].hash) for example in examples]
    return [(example, look) for example, look in looks if look is not None and not is_flat(look)]


def _alike(
    ours: Sequence[tuple[Example, int]], theirs: Sequence[tuple[Example, int]]
) -> Iterator[Alike]:
    if not ours or not theirs:
        return
    queries, references = (
        np.array([look for _, look in side], np.uint64) for side in (ours, theirs)
    )
    for (example, _), distance, index in zip(ours, *nearest(queries, references), strict=True):
        if distance <= MAX_DISTANCE:
            other = theirs[index][0]
            yield Alike(
                example=example.id,
                other=other.id,
                distance=int(distance),
                same_label=not set(example.labels).isdisjoint(other.labels),
            )
