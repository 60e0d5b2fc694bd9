"""One row's search: what it tries, in what order, and what it chooses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from mi2p.backbones import visual_card
from mi2p.options import SEARCH_SEED
from mi2p.search.opening import spec_of
from mi2p.search.spaces import space_of
from mi2p.search.storage import open_storage
from mi2p.search.studies import REPEATS
from mi2p.spec import ModelSpec, UnitSpec
from mi2p.store import Store
from tests.toy_search import (
    DECLARED,
    METRIC,
    ToySpace,
    done,
    few,
    is_search,
    open_row,
    params_of,
    pruned,
    run_study,
    score,
    states_of,
)  # fmt: skip

DECLARED_IN_SEARCH = replace(DECLARED, stage="search", seed=SEARCH_SEED)


def at(epoch: int, value: float) -> dict[str, Any]:
    return {"epoch": float(epoch), METRIC: value}


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_suggestions_do_not_depend_on_timing_or_reopening(sampler: str, tmp_path: Path) -> None:
    whole = open_row(InMemoryStorage(), sampler=sampler, budget=20)
    run_study(whole, Store(tmp_path / "a"))
    for seed, at_once in ((1, 3), (2, 1)):
        folder = tmp_path / str(seed)
        for budget in (7, 20):  # a larger budget goes on with the same study
            other = open_row(open_storage(None, folder), sampler=sampler, budget=budget)
            run_study(other, Store(folder), at_once=at_once, seed=seed)
        assert params_of(other) == params_of(whole)


def test_no_more_run_than_are_to_be_in_flight(tmp_path: Path) -> None:
    study, store, out = open_row(InMemoryStorage(), in_flight=3), Store(tmp_path), list[str]()
    while (found := study.next(store, out)) is not None:
        assert is_search(found[1]) and found[0] == len(out) + 1
        out.append(found[1].trial_id)
    assert len(out) == 3 and not study.is_over
    study.ended(out[1], pruned(DECLARED))
    assert study.next(store, out) is None  # the first is to be known, too
    study.ended(out[0], pruned(DECLARED))
    assert study.next(store, out) is not None


def test_the_declared_row_is_first_and_the_best_wins(tmp_path: Path) -> None:
    study = open_row(InMemoryStorage(), sampler="tpe", budget=15)
    specs = run_study(study, Store(tmp_path))
    found, winner = study.summary(), study.winner()
    assert found is not None and winner is not None
    assert study.tally.ids[0] == ToySpace(study.space.base).base.trial_id
    assert found.first == pytest.approx(score(DECLARED))
    assert found.best == max(map(score, specs)) == score(winner)
    assert (found.wanted, found.tried, found.pruned, found.failed) == (15, 15, 0, 0)
    assert found.trials == tuple(study.tally.ids) and len(set(found.trials)) == 15


def test_a_smaller_budget_sees_the_beginning_of_a_study(tmp_path: Path) -> None:
    storage, store = InMemoryStorage(), Store(tmp_path)
    run_study(open_row(storage, budget=12), store)
    study = open_row(storage, budget=4)
    assert study.is_over and study.next(store, ()) is None
    found = study.summary()
    assert found is not None and (found.tried, found.wanted) == (4, 4)
    assert found.best == max(trial.values[0] for trial in study._trials[:4])


def test_what_is_in_the_store_is_answered_without_training(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_study(open_row(InMemoryStorage(), budget=5), store)  # another table's
    study = open_row(InMemoryStorage(), budget=5)
    assert study.next(store, ()) is None and study.is_over
    assert states_of(study) == ["COMPLETE"] * 5
    assert {trial.user_attrs["answered"] for trial in study._trials} == {"store"}


def test_what_another_study_has_pruned_is_trained_again(tmp_path: Path) -> None:
    store, storage = Store(tmp_path), InMemoryStorage()
    store.write_trial(pruned(DECLARED_IN_SEARCH))  # beside trials of another scheduler
    study = open_row(storage, in_flight=1)
    found = study.next(store, ())
    assert found == (1, DECLARED_IN_SEARCH)
    study.settle(store)  # killed before the row was moved away
    assert states_of(study) == ["WAITING"]


def test_what_a_study_has_pruned_stays_so(tmp_path: Path) -> None:
    store, study = Store(tmp_path), open_row(InMemoryStorage(), scheduler="asha", in_flight=9)
    out = [found[1].trial_id for _ in range(9) if (found := study.next(store, ())) is not None]
    stopped = [study.reported(trial_id, at(1, 0.9 - i / 10)) for i, trial_id in enumerate(out)]
    assert stopped[-1]
    last = next(spec_of(study.space, t) for t in study.tally.of(out[-1]))
    store.write_trial(pruned(last))
    study.settle(store)  # killed before the study was told
    assert states_of(study) == ["WAITING"] * 8 + ["PRUNED"]


def test_duplicates_do_not_count_and_a_small_space_is_given_up(tmp_path: Path) -> None:
    study = open_row(InMemoryStorage(), few(1e-4, 1e-3, 1e-2), budget=5)
    ran = run_study(study, Store(tmp_path))
    assert len({spec.trial_id for spec in ran}) == len(ran) == 3
    found = study.summary()
    assert found is not None and (found.tried, found.wanted) == (3, 5)
    assert len(study._trials) == 3 + REPEATS * 5
    assert set(states_of(study)) == {"COMPLETE"}


def test_a_trial_that_runs_for_another_row_is_not_started_again(tmp_path: Path) -> None:
    store, study = Store(tmp_path), open_row(InMemoryStorage(), in_flight=1)
    elsewhere = study.space.base.trial_id
    assert study.next(store, {elsewhere}) is None
    study.ended(elsewhere, done(study.space.base, 0.6))
    assert states_of(study) == ["COMPLETE"] and study.next(store, ()) is not None


def test_two_objectives(tmp_path: Path) -> None:
    study, store = (
        open_row(InMemoryStorage(), against="added_parameters", budget=3),
        Store(tmp_path),
    )
    for value, parameters in ((0.5, 9), (0.5, 3), (0.2, 5)):
        found = study.next(store, ())
        assert found is not None
        study.ended(found[1].trial_id, done(found[1], value, added_parameters=parameters))
    winner = study.winner()
    assert winner is not None and winner.trial_id == study.tally.ids[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [({"metric": "test/accuracy"}, "metric"), ({"against": "loss"}, "against"),
     ({"budget": 0}, "budget"), ({"sampler": "grid"}, "sampler"), ({"scheduler": "pbt"}, "sched")],
)  # fmt: skip
def test_options_that_are_not_legal(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_row(InMemoryStorage(), **change)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_the_space_of_a_row_with_units_is_searched(sampler: str, tmp_path: Path) -> None:
    units = UnitSpec(attach=tuple(range(1, visual_card("tiny_densenet").num_taps + 1)), heads=4)
    model = ModelSpec(name="me_cnn", visual="tiny_densenet", textual="tiny_bert", units=units)
    space = space_of(replace(DECLARED, model=model))
    study = open_row(InMemoryStorage(), space, sampler=sampler, budget=12)
    ran = run_study(study, Store(tmp_path))
    assert len(ran) == 12 and study.tally.ids[0] == study.space.base.trial_id
    assert study.space.base.model == model
    assert all(spec.seed == SEARCH_SEED for spec in ran)
