from __future__ import annotations

import itertools
import math

import pytest

from analysis.figures.labels import DOT, GAP, HEIGHT, LETTER, Box, Label, spread

INSIDE = (0.0, 0.0, 400.0, 300.0)


def box(x: float, y: float, text: str) -> Box:
    wide = LETTER * len(text) / 2 + GAP
    return x - wide, y - HEIGHT / 2, x + wide, y + HEIGHT / 2


def area(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)


def test_a_dot_alone_has_its_label_on_the_right() -> None:
    ((x, y),) = spread([Label(text="1", x=100, y=100)], INSIDE, scale=1)
    assert x > 100 + DOT and y == pytest.approx(100)


def test_at_the_right_edge_it_is_elsewhere() -> None:
    ((x, y),) = spread([Label(text="12", x=398, y=100)], INSIDE, scale=1)
    assert box(x, y, "12")[2] <= 400
    assert math.dist((x, y), (398, 100)) < 20


@pytest.mark.parametrize("apart", [0.0, 3.0, 40.0])
def test_neither_labels_nor_dots_are_covered(apart: float) -> None:
    labels = [
        Label(text=str(i + 1), x=150 + apart * (i % 4), y=150 + apart * (i // 4))
        for i in range(12)
    ]
    places = spread(labels, INSIDE, scale=1)
    assert places == spread(labels, INSIDE, scale=1)
    boxes = [box(x, y, label.text) for (x, y), label in zip(places, labels, strict=True)]
    dots = [(label.x - DOT, label.y - DOT, label.x + DOT, label.y + DOT) for label in labels]
    assert all(area(one, other) == 0 for one, other in itertools.combinations(boxes, 2))
    assert all(area(one, dot) == 0 for one in boxes for dot in dots)


def test_where_nothing_is_free_every_label_still_has_a_place() -> None:
    labels = [Label(text="9", x=20, y=20)] * 40
    assert len(spread(labels, (0, 0, 40, 40), scale=1)) == 40
