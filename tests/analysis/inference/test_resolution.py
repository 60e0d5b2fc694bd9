from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from analysis.cells import Cell, select
from analysis.inference.resolution import (
    half_width,
    of_classes,
    rare_classes,
    resolution,
    resolutions,
    told_apart,
)
from mi2p.data.summary import Counts, Summary
from mi2p.store import load


def summary(sizes: Mapping[str, int], fingerprint: str = "f00d") -> Summary:
    """With so many test examples of each class."""
    counts = Counts(examples=sum(sizes.values()), classes=tuple(sizes.values()))
    return Summary(
        name="made up",
        fingerprint=fingerprint,
        multilabel=False,
        classes=tuple(sizes),
        counts={"test": counts},
    )


def test_half_width() -> None:
    # Wald at p = 0.91, n = 451: 1.96 * sqrt(0.91 * 0.09 / 451) = 0.0264; Wilson is near it.
    assert half_width(0.91, 451) == pytest.approx(0.0264, abs=2e-4)
    # At p = 1 Wilson's interval is (n / (n + z^2), 1), half of z^2 / (n + z^2) = 3.84 / 103.84.
    assert half_width(1.0, 100) == pytest.approx(0.0185, abs=1e-4)


def test_resolution_is_of_the_best_cell() -> None:
    cells = [
        Cell(seeds=(0,), values=(value,), trial_ids=("a",), want=1) for value in (0.5, 0.8, 0.6)
    ]
    empty = Cell(seeds=(), values=(), trial_ids=(), want=1)
    # One of 400 is 0.25 points; Wilson at 0.8: 1.96 * sqrt(0.0004 + 0.000006) / 1.0096 = 0.0391.
    note = resolution([*cells, empty], 400)
    assert "One of 400 test examples is 0.25 points" in note
    assert "(80.0)" in note
    assert "3.9 points" in note


def test_resolutions_in_short() -> None:
    # As above: 0.0391; 1.96 * sqrt(0.25 / 10000) = 0.0098.
    assert resolutions({"A": (0.8, 400), "B": (0.5, 10000)}).startswith(
        "Binomial 95 % half-widths at the best accuracy, in points (Wilson): A 3.9, B 1.0: "
    )


def test_the_smallest_difference() -> None:
    note = told_apart((0.0291, 0.0521), "accuracy", num_test=451, seeds=[3, 3])
    assert note.startswith(
        "With 451 test examples and 3 seeds, differences of accuracy under 5.2 points by the "
        "median pair of rows, and under 2.9 points by the finest, cannot be told apart (95 %; "
    )
    alike = told_apart((0.1, 0.1001), "F1", num_test=9, seeds=[3, 1])
    assert "9 test examples and 1 to 3 seeds, differences of F1 under 10.0 points cannot" in alike


def test_classes_with_few_examples_are_told_with_what_they_move() -> None:
    assert rare_classes(summary({"a": 10, "b": 300, "c": 55, "d": 10})) == []
    (note,) = rare_classes(summary({"rescue": 50, "vehicle_damage": 3, "b": 60, "lost": 1}))
    assert note == (
        "lost has 1 test example, which moves macro-F1 by up to 25.0 points; vehicle_damage has 3 "
        "test examples and moves macro-F1 by up to 25.0 points through its own F1, a single one "
        "of them by up to 12.5."
    )
    many = summary({f"c{i}": 9 - i for i in range(5)} | {"d": 20, "e": 0})
    few, none = rare_classes(many)
    assert few.startswith("c4 has 5 test") and few.endswith(
        "; 2 more of 7 classes have fewer than 10."
    )
    assert none == (
        "No test example has e: an F1 that counts as 0, so that macro-F1 is at most 85.7."
    )


def test_no_single_example_moves_its_class_by_more_than_is_told() -> None:
    size = 3
    labels = np.array([1] * size + [0] * 2)
    moved = []
    for pattern in range(2 ** len(labels)):  # all answers of a classifier of two classes
        said = (pattern >> np.arange(len(labels))) & 1
        for i in range(size):
            ends = [np.where(np.arange(len(labels)) == i, guess, said) for guess in (0, 1)]
            lost, won = (f1_score(labels, end, zero_division=0) for end in ends)
            moved.append(won - lost)
    assert max(moved) == pytest.approx(2 / (1 + size))
    (note,) = rare_classes(summary({"a": 60, "b": size}))
    assert note.endswith(f"by up to {100 / 2 * max(moved):.1f}.")


def test_the_summary_is_found_by_the_fingerprint_of_the_trials(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for row in plan.rows:
        lab.fill(row, [0.6])
    rows = select(plan, load(lab.results))
    assert of_classes(lab.results, rows) == []
    summary({"other": 2, "a": 50}, "beef").write(lab.results)
    assert of_classes(lab.results, rows) == []
    summary({"mine": 2, "a": 50}).write(lab.results)
    (note,) = of_classes(lab.results, rows)
    assert note.startswith("mine has 2 test examples")
