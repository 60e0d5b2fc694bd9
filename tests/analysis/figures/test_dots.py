from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures import dots
from analysis.figures.rows import parts_of
from analysis.stats import study
from mi2p.plan import Plan
from tests.analysis.conftest import Lab
from tests.analysis.figures.conftest import Remember, answered, assert_readable, places, points

RIGHT = [[1, 1, 1, 0] * 10, [1, 1, 0, 0] * 10, [1, 1, 1, 1, 0] * 8]


def half_finished(lab: Lab) -> Plan:
    """Rows with three seeds, with one and a failed one, without predictions, and with none."""
    plan = lab.plan()
    answered(lab, plan.rows[0], RIGHT)
    lab.fill(replace(plan.rows[1], specs=plan.rows[1].specs[:1]), [0.6])
    lab.trial(plan.rows[1].specs[1], {}, status="error")
    lab.fill(plan.rows[2], [0.7, 0.72, 0.74])
    return plan


@pytest.fixture
def drawn(lab: Lab, remember: Remember) -> tuple[Figure, str]:
    kept = remember(dots)
    plan = half_finished(lab)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one,) = dots.draw(lab.results, plan)
    assert one.name == "table5-lab-dots"
    return kept[0], one.caption


def test_seeds_means_and_intervals_are_where_they_belong(
    drawn: tuple[Figure, str], lab: Lab
) -> None:
    accuracy, macro = drawn[0].axes
    assert points(accuracy, "|") == [
        (75, 0), (50, 0), (80, 0), (60, 1), (70, 2.5), (72, 2.5), (74, 2.5)
    ]  # fmt: skip
    assert np.allclose(points(accuracy, "o"), [(205 / 3, 0), (60, 1)])
    assert np.allclose(points(accuracy, "s"), [(72, 2.5)])
    rows = parts_of(lab.results, lab.plan())[0].rows
    told = study(lab.results, rows, ["accuracy"], multilabel=False, references={})
    found = told.intervals["cnn", "accuracy"]
    lines = [
        [x for x, _ in places(line)] for line in accuracy.lines if line.get_linewidth() == 1.6
    ]
    # One row alone has its predictions.
    assert lines == [[100 * found.low, 100 * found.high]]
    assert points(macro, "|")[3:] == [(50, 1), (60, 2.5), (62, 2.5), (64, 2.5)]


def test_what_is_missing_is_said_and_is_no_zero(drawn: tuple[Figure, str]) -> None:
    figure, caption = drawn
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["no finished trial"]
        # Between the groups is half a line.
        assert axes.texts[0].get_position()[1] == 3.5
        assert axes.get_xlim()[0] > 20
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[1] == "DenseNet-121 + MI2P{1-4} (1/3)"
    assert labels[3] == "MiniLM + MI2P{1-3} (0/3)"
    assert "Failed trials, which are left out: 1 of DenseNet-121 + MI2P{1-4}." in caption
    told = "Without an interval, as predictions are not kept: DenseNet-121 + MI2P{1-4}, MiniLM."
    assert told in caption
    assert "3 seeds" in caption and "need not begin at 0" in caption
    assert_readable(figure)


def test_the_papers_numbers_are_hollow(lab: Lab, remember: Remember) -> None:
    kept = remember(dots)
    there = lab.on("crisismmd_task2")
    plan = there.plan()
    there.fill(plan.rows[0], [0.8, 0.8, 0.8])
    (one,) = dots.draw(lab.results, plan)
    accuracy = kept[0].axes[0]
    assert points(accuracy, "v")[:2] == [(83.4, 0), (90.7, 1)]
    assert all(
        line.get_markerfacecolor() == "none" for line in accuracy.lines if line.get_marker() == "v"
    )
    assert "Hollow triangles are what the paper prints." in one.caption
    assert "interval" not in one.caption  # nothing has one


def test_nothing_finished_has_no_figure(lab: Lab) -> None:
    assert dots.draw(lab.results, lab.plan()) == []
