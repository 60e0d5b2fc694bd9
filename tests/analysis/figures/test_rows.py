from __future__ import annotations

import pytest

from analysis.figures.rows import group_of, lacking, looks, marked, of_intervals, parts_of, stem
from mi2p.plan import Plan
from tests.analysis.conftest import CNN, Lab


def test_nothing_is_there_before_a_trial_is_finished(lab: Lab) -> None:
    plan = lab.plan()
    assert parts_of(lab.results, plan) == ()
    lab.trial(plan.rows[0].specs[0], {}, status="error")
    assert parts_of(lab.results, plan) == ()
    other = lab.plan(seeds=(7,), name="other")
    lab.fill(other.rows[0], [0.5])
    assert parts_of(lab.results, plan) == ()
    assert len(parts_of(lab.results, other)) == 1


def test_a_data_set_without_finished_trials_has_no_part(lab: Lab) -> None:
    rows = tuple(
        lab.on(name).row("cnn", "CNN", CNN, seeds=(0,)) for name in ("openclipart", "food101")
    )
    plan = Plan(name="table4-lab", table=4, rows=rows)
    lab.on("food101").fill(rows[1], [0.5])
    (part,) = parts_of(lab.results, plan)
    assert part.dataset == "food101"
    assert part.printed["Unimodal DenseNet"]["accuracy"] > 0
    assert stem(plan, "dots", "food101") == "table4-lab-dots-food101"
    assert stem(lab.plan(), "curves", "openclipart", rows[0]) == "table5-lab-curves-cnn"


def test_what_is_lacking_is_said(lab: Lab) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.5, 0.6, 0.7])
    lab.fill(plan.rows[1], [0.5])
    lab.trial(plan.rows[1].specs[1], {}, status="error")
    (part,) = parts_of(lab.results, plan)
    assert [marked(row) for row in part.rows] == [
        "DenseNet-121",
        "DenseNet-121 + MI2P{1-4} (1/3)",
        "MiniLM (0/3)",
        "MiniLM + MI2P{1-3} (0/3)",
    ]
    assert lacking(part.rows) == (
        " (n/want): only n of the wanted seeds are finished. Failed trials, which are left out: "
        "1 of DenseNet-121 + MI2P{1-4}."
    )
    assert lacking(part.rows[:1]) == ""


def test_over_what_intervals_are(lab: Lab) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.5])
    lab.fill(plan.rows[1], [0.5])
    (part,) = parts_of(lab.results, plan)
    assert of_intervals(part.rows, part) == "over test examples only, of these trained models"
    lab.fill(plan.rows[0], [0.5, 0.6])
    (part,) = parts_of(lab.results, plan)
    # As `inference/seeds.py` has it: the usual variance is that of other rows, too.
    for rows in (part.rows, part.rows[1:]):
        assert of_intervals(rows, part) == (
            "over test examples and seeds (of a row with one seed: with the variance between "
            "seeds that is usual among the rows)"
        )
    assert of_intervals(part.rows[:1], part) == "over test examples and seeds"


@pytest.mark.parametrize("table", [5, 0])
def test_a_group_has_a_colour_and_a_mark(table: int, lab: Lab) -> None:
    plan = Plan(name="lab", table=table, rows=lab.plan().rows)
    lab.fill(plan.rows[0], [0.5])
    (part,) = parts_of(lab.results, plan)
    visual, expanded, textual, _ = looks(plan, part.rows).values()
    assert visual == expanded
    assert visual[0] != textual[0] and visual[1] != textual[1]
    assert group_of(plan)(part.rows[0]) == "visual"
