from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from analysis.figures import curves
from analysis.figures.rows import parts_of
from mi2p.plan import Plan, PlanRow
from mi2p.spec import FusionSpec, ModelSpec
from mi2p.store import load_epochs
from tests.analysis.conftest import Lab
from tests.analysis.figures.conftest import Remember, assert_readable, points, trained


@pytest.fixture
def plan(lab: Lab) -> Plan:
    """A row with two seeds of other lengths, a row of one epoch, a failed one, and none."""
    made = lab.plan(seeds=(0, 1))
    first, second, third, _ = made.rows
    trained(lab, first.specs[0], [0.4, 0.6, 0.5], losses=[2, 1, 0.05])
    trained(lab, first.specs[1], [0.5, 0.8], losses=[4, 3])
    trained(lab, second.specs[0], [0.3], losses=[1.5])
    trained(lab, third.specs[0], [0.2, 0.9], status="error")
    return made


def test_epochs_of_finished_trials_by_row(plan: Plan, lab: Lab) -> None:
    (part,) = parts_of(lab.results, plan)
    first, second, third, fourth = curves.curves(part, load_epochs(lab.results))
    assert first.epochs.tolist() == [1, 2, 3]
    nan = float("nan")
    assert np.array_equal(first.losses, [[2, 1, 0.05], [4, 3, nan]], equal_nan=True)
    assert np.array_equal(first.metrics, [[0.4, 0.6, 0.5], [0.5, 0.8, nan]], equal_nan=True)
    assert first.best == ((2, 0.6), (2, 0.8))
    assert second.best == ((1, 0.3),)
    assert third.losses.shape == fourth.losses.shape == (0, 0)


def test_lines_are_means_and_bands_ranges(plan: Plan, lab: Lab, remember: Remember) -> None:
    kept = remember(curves)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one,) = curves.draw(lab.results, plan)
    loss, metric, *_ = kept[0].axes
    assert np.allclose(loss.lines[0].get_ydata(), [3, 2, 0.05])
    assert np.allclose(metric.lines[0].get_ydata(), [45, 70, 50])
    (band,) = metric.collections
    edges = {(round(x), round(y)) for x, y in np.asarray(band.get_paths()[0].vertices)}
    assert edges == {(1, 40), (1, 50), (2, 60), (2, 80), (3, 50)}
    assert np.allclose(points(metric, "o"), [(2, 60), (2, 80)])
    # The largest loss is eighty times the smallest.
    assert {axes.get_yscale() for axes in kept[0].axes[::2]} == {"log"}
    assert {axes.get_yscale() for axes in kept[0].axes[1::2]} == {"linear"}
    assert points(kept[0].axes[3], ".") == [(1, 30)]
    told = [[text.get_text() for text in axes.texts] for axes in kept[0].axes]
    assert told == [[]] * 4 + [["no finished trial"]] * 4
    assert "MiniLM (0/2)" in kept[0].axes[4].get_title()
    assert "1 of MiniLM." in one.caption and "2 seeds" in one.caption
    assert_readable(kept[0])


def test_averages_have_no_curve(lab: Lab, remember: Remember) -> None:
    remember(curves)
    plan = lab.plan(seeds=(0,))
    first, second = (row.specs[0] for row in plan.rows[:2])
    trained(lab, first, [0.5])
    model = ModelSpec(
        name="fusion", visual="densenet121", textual="minilm", fusion=FusionSpec(kind="score")
    )
    spec = replace(first, model=model, averages=(first.trial_id, second.trial_id))
    rows = (plan.rows[0], PlanRow(key="mean", label="Mean", paper="", specs=(spec,)))
    lab.trial(spec, {"accuracy": 0.5, "macro_f1": 0.5, "weighted_f1": 0.5})
    (one,) = curves.draw(lab.results, Plan(name="table5-lab", table=5, rows=rows))
    assert "averages of other rows, and not shown: Mean." in one.caption
    assert one.alternative.startswith("Training loss and validation metric of 1 rows over 1 epoch")


def test_without_epochs_there_is_no_figure(lab: Lab) -> None:
    plan = lab.plan()
    assert curves.draw(lab.results, plan) == []
    lab.fill(plan.rows[0], [0.5])
    assert curves.draw(lab.results, plan) == []
