"""What trials come to: configurations, not suggestions, are counted."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from mi2p.search.tally import Tally, told_by
from tests.toy_search import DECLARED, METRIC, done, failed, pruned


def trials(*told: tuple[str, str, Any], **attrs: Any) -> list[FrozenTrial]:
    """Trials by id, state and values, with their numbers."""
    found = []
    for number, (trial_id, state, values) in enumerate(told):
        trial = create_trial(
            state=TrialState[state], values=values, user_attrs={"trial_id": trial_id, **attrs}
        )
        trial.number = number
        found.append(trial)
    return found


def test_configurations_are_counted_once_and_up_to_the_budget() -> None:
    history = trials(
        ("a", "COMPLETE", [0.5]), ("b", "PRUNED", None), ("a", "COMPLETE", [0.5]),
        ("c", "FAIL", None), ("d", "RUNNING", None), ("e", "WAITING", None),
        ("f", "COMPLETE", [0.9]),
    )  # fmt: skip
    tally = Tally(history, 5)
    assert tally.ids == ["a", "b", "c", "d", "e"]
    assert (tally.repeats, tally.begun(), tally.over()) == (1, 4, 3)
    assert [tally.ended(TrialState[s]) for s in ("COMPLETE", "PRUNED", "FAIL")] == [
        ["a"], ["b"], ["c"]
    ]  # fmt: skip
    waiting, best = tally.waiting(), tally.best()
    assert waiting is not None and waiting.number == 5
    assert best is not None and best.number == 0  # "f" is beyond the budget
    assert tally.first() == 0.5


def test_one_that_is_tried_again_is_not_over_and_then_is_what_it_became() -> None:
    again = trials(("a", "FAIL", None), ("a", "WAITING", None))
    assert (Tally(again, 3).over(), Tally(again, 3).ended(TrialState.FAIL)) == (0, [])
    again[1].user_attrs["retry"] = True
    assert Tally(again, 3).repeats == 0
    ended = trials(("a", "FAIL", None), ("a", "COMPLETE", [0.1]))
    assert Tally(ended, 3).ended(TrialState.COMPLETE) == ["a"]


def test_ties_go_to_the_smaller_second_objective_and_then_to_the_earlier() -> None:
    two = trials(("a", "COMPLETE", [0.5, 9]), ("b", "COMPLETE", [0.5, 3]),
                 ("c", "COMPLETE", [0.5, 3]), ("d", "COMPLETE", [0.1, 1]),
                 ("e", "COMPLETE", [0.1, 2]))  # fmt: skip
    tally = Tally(two, 9)
    best = tally.best()
    assert best is not None and best.number == 1


def test_an_error_is_told_if_all_failed() -> None:
    assert Tally(trials(("a", "FAIL", None), error="boom"), 3).error() == "boom"
    assert Tally(trials(("a", "FAIL", None), ("b", "PRUNED", None), error="x"), 3).error() is None
    assert Tally([], 3).error() is None


def test_of_a_row_only_what_is_optimised_is_told() -> None:
    row = done(DECLARED, 0.25)
    assert row["test/accuracy"] is not None
    assert told_by(row, (METRIC, "added_parameters")) == (TrialState.COMPLETE, [0.25, 7], None)
    read: set[str] = set()

    class Spy(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return super().__getitem__(name)

        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return super().get(name, default)

    told_by(Spy(row), (METRIC,))
    assert read == {"status", METRIC}


@pytest.mark.parametrize("value", [float("nan"), None])
def test_no_number_is_a_failure(value: Any) -> None:
    row = done(DECLARED) | {METRIC: value}
    state, values, error = told_by(row, (METRIC,))
    assert (state, values) == (TrialState.FAIL, None)
    assert error is not None and METRIC in error


def test_pruned_and_failed_rows() -> None:
    assert told_by(pruned(DECLARED), (METRIC,)) == (TrialState.PRUNED, None, None)
    assert told_by(failed(DECLARED), (METRIC,)) == (TrialState.FAIL, None, "boom")
