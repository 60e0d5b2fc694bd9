"""What a search chose. Fronts and texts are worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.configurations import Candidate, assignments, changes, find, front, told
from mi2p.overrides import parse_assignment
from mi2p.plan import Plan
from mi2p.store import load
from tests.a_search import chosen, ids, keep, searched, tried, with_rows

CNN, ME_CNN, BERT, ME_BERT = range(4)
WINNER = {"train.lr": 2.14e-4, "model.units.attach": (1, 2, 4), "model.units.heads": 4}


def point(value: float, cost: float, name: str = "") -> Candidate:
    return Candidate(trial_id=name, value=value, cost=cost, changes={})


def test_the_front_is_what_no_other_beats() -> None:
    best, middle, cheap = point(0.9, 30), point(0.8, 20), point(0.5, 10)
    dear = point(0.9, 31)  # as good as the best, and dearer
    poor = point(0.79, 20)  # as dear as the middle, and worse
    inside = point(0.4, 40)
    assert front([cheap, dear, poor, inside, best, middle]) == (best, middle, cheap)
    assert front([]) == ()


def test_of_equal_ones_all_are_on_the_front() -> None:
    assert {one.trial_id for one in front([point(0.9, 3, "a"), point(0.9, 3, "b")])} == {"a", "b"}


def test_changes_leave_out_what_is_as_declared_and_seed_and_stage(lab: Any) -> None:
    row = lab.plan().rows[ME_CNN]
    declared = tried(row, {})
    assert changes(declared, row.specs[0]) == {}
    # The row itself has units at 1 to 4 and 8 heads, at a rate of 1e-4.
    winner = chosen(row, WINNER).specs[2]
    assert list(changes(declared, winner).items()) == [  # type: ignore[union-attr]
        ("train.lr", 2.14e-4),
        ("model.units.attach", [1, 2, 4]),
        ("model.units.heads", 4),
    ]
    assert changes(None, winner) is None


def test_a_reader_sees_two_digits_and_short_names() -> None:
    assert told(
        {
            "train.lr": 2.14e-4,
            "train.head_lr_multiplier": 12.34,
            "train.weight_decay": 0.0,
            "train.batch_size": 128,
            "model.units.attach": [1, 2, 3, 6],
            "model.units.lr_multiplier": 0.123,
            "model.units.d_k": 64,
            "model.units.query_bias": False,
            "model.units.query_kernel": 5,
            "model.fusion.kind": "concat",
        },
        both=False,
    ) == [
        "lr 2.1e-4",
        "head lr multiplier 12",
        "weight decay 0",
        "batch size 128",
        "layers 1-3,6",
        "unit lr multiplier 0.12",
        "d_k 64",
        "query bias false",
        "query kernel 5",
        "fusion concat",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e-3, "0.001"), (9.96e-4, "0.001"), (9.94e-4, "9.9e-4"), (1e-5, "1e-5"), (3.0, "3")],
)
def test_rates_are_rounded_before_their_form_is_chosen(value: float, expected: str) -> None:
    assert told({"train.lr": value}, both=False) == [f"lr {expected}"]


def test_units_are_told_apart_where_both_backbones_have_some() -> None:
    found = {"model.units.heads": 4, "model.textual_units.heads": 2, "train.lr": 0.5}
    assert told(found, both=True) == ["visual heads 4", "textual heads 2", "lr 0.5"]


def test_assignments_are_in_full_and_can_be_set(lab: Any) -> None:
    row = lab.plan().rows[ME_CNN]
    values = {**WINNER, "train.lr": 2.1437862e-4, "model.units.query_bias": False}
    found = changes(tried(row, {}), chosen(row, values).specs[0])
    assert found is not None
    text = assignments(found)
    assert text == (
        "train.lr=0.00021437862 model.units.attach=1-2,4 model.units.heads=4 "
        "model.units.query_bias=false"
    )
    read = map(parse_assignment, text.split())
    assert {one.path: one.value for one in read} == values


def searched_plan(lab: Any, **summary: Any) -> Plan:
    """ME CNN was searched: four configurations, of which one failed and one was stopped."""
    plan: Plan = lab.plan()
    row = plan.rows[ME_CNN]
    specs = [tried(row, values) for values in ({}, WINNER, {"train.lr": 0.5}, {"train.lr": 0.25})]
    costs = {"val/accuracy": 0.5, "added_parameters": 1000}, {"val/accuracy": 0.75}
    keep(lab.results, specs[0], costs[0])
    keep(lab.results, specs[1], costs[1] | {"added_parameters": 2000})
    keep(lab.results, specs[2], {"val/accuracy": 0.99, "added_parameters": 1}, "error")
    keep(lab.results, specs[3], {"val/accuracy": 0.98, "added_parameters": 2}, "pruned")
    new = searched(chosen(row, WINNER), trials=ids(specs), **summary)
    return with_rows(plan, {ME_CNN: new})


def test_find_compares_with_the_first_trial_of_the_search(lab: Any) -> None:
    plan = searched_plan(lab)
    (found,) = find(plan, load(lab.results))
    assert found.row == plan.rows[ME_CNN]
    assert found.changes == {**WINNER, "model.units.attach": [1, 2, 4]}
    assert found.front == ()  # of one objective


def test_the_front_is_of_finished_trials_alone(lab: Any) -> None:
    (found,) = find(searched_plan(lab, against="added_parameters"), load(lab.results))
    assert [(one.value, one.cost) for one in found.front] == [(0.75, 2000), (0.5, 1000)]
    assert found.front[1].changes == {}
    assert found.front[0].changes == found.changes


def test_a_trial_without_the_second_objective_is_on_no_front(lab: Any) -> None:
    plan = searched_plan(lab, against="added_parameters")
    keep(lab.results, tried(lab.plan().rows[ME_CNN], {}), {"val/accuracy": 0.5})
    (found,) = find(plan, load(lab.results))
    assert [one.cost for one in found.front] == [2000]


def test_without_the_first_trial_nobody_knows_what_was_changed(lab: Any) -> None:
    plan = searched_plan(lab, against="added_parameters")
    summary = plan.rows[ME_CNN].searched
    assert summary is not None
    (lab.results / "trials" / f"{summary.trials[0]}.parquet").unlink()
    (found,) = find(plan, load(lab.results))
    assert found.changes is None
    assert [one.changes for one in found.front] == [None]


def test_rows_that_were_not_searched_are_not_found(lab: Any) -> None:
    plan = searched_plan(lab)
    assert find(replace(plan, rows=plan.rows[BERT:]), load(lab.results)) == []
