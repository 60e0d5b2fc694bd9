"""Where labels of dots go, so that they cover neither dots nor each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LETTER, HEIGHT = 4.8, 7.5
"""Points: of a digit of seven points, and of a line."""
GAP = 1.5
"""Points at either side of a label, or 7 and 6 would be 76."""
DOT = 3.5
"""Points from the middle of a dot to its edge."""
DISTANCES = (8.0, 11.0, 15.0, 20.0, 26.0, 33.0, 41.0)
"""Points from a dot to the middle of its label, the nearest first."""
DIRECTIONS = 16

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text and the dot that it belongs to, in pixels."""

    text: str
    x: float
    y: float


def spread(labels: Sequence[Label], inside: Box, *, scale: float) -> list[tuple[float, float]]:
    """The middle of each label: the nearest free place around its dot, the first one right of it.

    `scale` is pixels per point. Where no place is free it is the one with least in the way.
    """
    dots = [_around(label.x, label.y, DOT * scale, DOT * scale) for label in labels]
    taken: list[Box] = []
    places = []
    for label in labels:
        wide, high = (LETTER * len(label.text) / 2 + GAP) * scale, HEIGHT * scale / 2
        best, least = (label.x, label.y), math.inf
        for x, y in _candidates(label, scale):
            box = _around(x, y, wide, high)
            if (
                box[0] < inside[0]
                or box[1] < inside[1]
                or box[2] > inside[2]
                or box[3] > inside[3]
            ):
                continue
            covered = sum(_overlap(box, other) for other in (*dots, *taken))
            if covered < least:
                best, least = (x, y), covered
            if not covered:
                break
        places.append(best)
        taken.append(_around(*best, wide, high))
    return places


def _candidates(label: Label, scale: float) -> list[tuple[float, float]]:
    """Around the dot in rings, from the right: above and below are the ends of an interval."""
    turns = sorted(range(DIRECTIONS), key=lambda i: (min(i, DIRECTIONS - i), i))
    return [
        (
            label.x + distance * scale * math.cos(2 * math.pi * turn / DIRECTIONS),
            label.y + distance * scale * math.sin(2 * math.pi * turn / DIRECTIONS),
        )
        for distance in DISTANCES
        for turn in turns
    ]


def _around(x: float, y: float, wide: float, high: float) -> Box:
    return x - wide, y - high, x + wide, y + high


def _overlap(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)
