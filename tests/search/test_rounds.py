"""A search as a source of trials: rounds, seeds, deadlines, and kills at every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from mi2p.options import SEARCH_SEED
from mi2p.plan import PlanRow
from mi2p.search.rounds import Search
from mi2p.search.storage import open_storage
from mi2p.search.studies import RowStudy
from mi2p.source import Source
from mi2p.spec import TrialSpec
from mi2p.store import Store
from tests.toy_search import (
    DECLARED,
    Killed,
    Runner,
    ToySpace,
    done,
    failed,
    open_row,
    pruned,
    score,
    states_of,
    toy_plan,
    toy_row,
)  # fmt: skip

SPACES = {
    "a": ToySpace(),
    "b": ToySpace(replace(DECLARED, train=replace(DECLARED.train, batch_size=64))),
}
ROWS = [toy_row(key, space) for key, space in SPACES.items()]
BUDGET = 6


def searching(storage: Any, folder: Path, rows: list[PlanRow] = ROWS, **more: Any) -> Search:
    options = {name: more.pop(name) for name in ("sampler", "budget") if name in more}
    studies = {
        (row.key, row.dataset): open_row(
            storage, ToySpace(row.specs[0]), **({"budget": BUDGET} | options)
        )
        for row in rows
    }
    asked: dict[str, Any] = {"name": "found", "slots": 4} | more
    return Search(toy_plan(*rows), rows, studies, Store(folder), **asked)


def found(search: Search) -> dict[str, list[str]]:
    return {key: study.tally.ids for (key, _), study in search._studies.items()}


def test_the_best_of_each_row_is_trained_with_all_seeds(tmp_path: Path) -> None:
    search: Search = searching(InMemoryStorage(), tmp_path)
    source: Source = search
    assert source.total == 2 * BUDGET + 2 * 2
    runner = Runner(tmp_path)
    runner.run(search)
    assert len(runner.ran) == len(set(runner.ran)) == source.total
    plan = search.plan()
    assert plan.name == "found"
    for row, declared in zip(plan.rows, ROWS, strict=True):
        tried = [j.spec for j in runner.jobs if j.label.startswith(f"{row.label}, search ")]
        best = max(tried, key=score)
        assert row.specs == tuple(replace(best, stage="confirm", seed=s) for s in (0, 1))
        assert row.searched is not None and row.searched.tried == BUDGET
        assert row.searched.first == pytest.approx(score(declared.specs[0]))
    assert {job.spec.trial_id for job in runner.jobs[-4:]} >= {
        spec.trial_id for spec in plan.rows[1].specs
    }
    assert search.failed_rows() == [] and not search.is_cut


def test_names_and_labels(tmp_path: Path) -> None:
    def names(rows: list[PlanRow]) -> list[tuple[str, str]]:
        runner = Runner(tmp_path / str(len(rows)))
        runner.run(searching(InMemoryStorage(), runner.store.folder, rows, budget=1))
        return [(job.name, job.label) for job in runner.jobs if "a" in job.name.split("-")[0]]

    assert names(ROWS[:1]) == [
        ("a-search1", "Row a, search 1"), ("a-seed0", "Row a, seed 0"),
        ("a-seed1", "Row a, seed 1"),
    ]  # fmt: skip
    spec = replace(DECLARED, data=replace(DECLARED.data, name="food101"))
    several = [ROWS[0], toy_row("a", ToySpace(spec))]
    assert ("a-food101-search1", "food101: Row a, search 1") in names(several)


def test_rows_take_turns_and_none_is_ahead(tmp_path: Path) -> None:
    search = searching(InMemoryStorage(), tmp_path)
    runner = Runner(tmp_path, at_once=4)
    runner.run(search)
    begun = Counter[str]()
    for job in runner.jobs:
        if job.spec.stage == "search":
            begun[job.name[0]] += 1
            # A row may only fall back while it waits for its own trials in flight.
            assert abs(begun["a"] - begun["b"]) <= 3
    assert begun == {"a": BUDGET, "b": BUDGET}


def test_rows_with_one_study_share_its_trials(tmp_path: Path) -> None:
    study = open_row(InMemoryStorage(), budget=4)
    rows = [toy_row("a", ToySpace()), toy_row("c", ToySpace())]
    studies = {(row.key, row.dataset): study for row in rows}
    search = Search(toy_plan(*rows), rows, studies, Store(tmp_path), name="found", slots=2)
    assert search.total == 4 + 2
    runner = Runner(tmp_path)
    runner.run(search)
    assert len(runner.ran) == 6
    first, second = search.plan().rows
    assert first.specs == second.specs


def test_rows_that_come_to_the_same_configuration_train_it_once(tmp_path: Path) -> None:
    # Both are of one space, and differ in how it is searched.
    rows = [toy_row("a", ToySpace()), toy_row("c", ToySpace())]
    storage = InMemoryStorage()
    studies = {
        (row.key, row.dataset): open_row(storage, ToySpace(), budget=4, sampler=sampler)
        for row, sampler in zip(rows, ("random", "tpe"), strict=True)
    }
    search = Search(toy_plan(*rows), rows, studies, Store(tmp_path), name="found", slots=4)
    runner = Runner(tmp_path)
    runner.run(search)  # which asserts that nothing runs twice
    assert {s.tally.ids[0] for s in studies.values()} == {runner.jobs[0].spec.trial_id}
    assert all(set(states_of(s)) == {"COMPLETE"} for s in studies.values())


def test_rows_whose_every_configuration_failed_are_told(tmp_path: Path) -> None:
    def row_of(spec: TrialSpec) -> dict[str, Any]:
        return failed(spec, "no memory") if spec.train.batch_size == 64 else done(spec)

    search = searching(InMemoryStorage(), tmp_path)
    Runner(tmp_path).run(search, row_of=row_of)
    assert [(row.key, error) for row, error in search.failed_rows()] == [("b", "no memory")]
    a, b = search.plan().rows
    assert a.searched is not None
    assert (b.searched, b.specs) == (None, ROWS[1].specs)


def test_a_plan_takes_what_rows_that_do_not_run_have_found(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    Runner(tmp_path).run(searching(storage, tmp_path))
    studies = searching(storage, tmp_path)._studies
    search = Search(toy_plan(*ROWS), ROWS[:1], studies, Store(tmp_path), name="found", slots=1)
    assert search.over and all(row.searched for row in search.plan().rows)


def test_what_another_search_has_pruned_is_trained_to_its_end(tmp_path: Path) -> None:
    first = replace(DECLARED, stage="search", seed=SEARCH_SEED)
    Store(tmp_path).write_trial(pruned(first))
    search, runner = searching(InMemoryStorage(), tmp_path), Runner(tmp_path)
    runner.run(search)  # which asserts that what is handed out has no row: a worker would return
    assert runner.ran.count(first.trial_id) == 1
    searched = search.plan().rows[0].searched
    assert searched is not None and searched.first == pytest.approx(score(DECLARED))
    (kept,) = (tmp_path / "replaced").glob("*/trials/*.parquet")
    assert kept.stem == first.trial_id


STEPS = 3 * (2 * BUDGET + 2 * 2)
"""Of a whole run: each trial is started, leaves its row, and is told."""


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_a_search_that_is_killed_at_every_step_is_the_same(sampler: str, tmp_path: Path) -> None:
    whole = searching(InMemoryStorage(), tmp_path / "whole", sampler=sampler)
    Runner(tmp_path / "whole").run(whole)
    runner, kills = Runner(tmp_path / "killed", seed=1), 0
    while True:  # each life gets five steps: about one trial to its end
        storage = open_storage(None, tmp_path / "killed")
        search = searching(storage, tmp_path / "killed", sampler=sampler)
        assert not any("RUNNING" in states_of(study) for study in search._studies.values())
        try:
            runner.run(search, steps=5)
            break
        except Killed:
            kills += 1
    assert kills >= 5
    assert len(runner.ran) == len(set(runner.ran)) == 2 * BUDGET + 2 * 2
    assert found(search) == found(whole)
    assert search.plan().rows == whole.plan().rows


@pytest.mark.parametrize("steps", range(1, STEPS, 4))
def test_a_search_that_is_killed_once_is_the_same(steps: int, tmp_path: Path) -> None:
    whole = searching(InMemoryStorage(), tmp_path / "whole")
    Runner(tmp_path / "whole").run(whole)
    runner = Runner(tmp_path / "killed", seed=steps)
    with pytest.raises(Killed):
        runner.run(
            searching(open_storage(None, tmp_path / "killed"), tmp_path / "killed"), steps=steps
        )
    search = searching(open_storage(None, tmp_path / "killed"), tmp_path / "killed")
    runner.run(search)
    assert len(runner.ran) == len(set(runner.ran)) == 2 * BUDGET + 2 * 2
    assert search.plan().rows == whole.plan().rows
    states = [state for study in search._studies.values() for state in states_of(study)]
    assert states == ["COMPLETE"] * 2 * BUDGET


def test_what_is_released_waits_for_the_next_search(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    search = searching(storage, tmp_path)
    with pytest.raises(Killed):
        Runner(tmp_path).run(search, steps=6)
    search.release()
    studies: list[RowStudy] = list(search._studies.values())
    states = {state for study in studies for state in states_of(study)}
    assert "WAITING" in states and "RUNNING" not in states


class Clock:
    """A minute passes for each trial that ends."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def row_of(self, spec: TrialSpec) -> dict[str, Any]:
        self.now += 60
        return done(spec)


def test_configurations_stop_while_there_is_time_for_the_seeds(tmp_path: Path) -> None:
    clock = Clock()
    search = searching(
        InMemoryStorage(), tmp_path, slots=1, deadline=600.0, clock=clock, budget=50
    )
    runner = Runner(tmp_path, at_once=1)
    runner.run(search, row_of=clock.row_of)
    stages = [job.spec.stage for job in runner.jobs]
    assert stages[-4:] == ["confirm"] * 4  # two rows with two seeds
    assert 500 <= clock.now <= 600
    tried = [study.tally.over() for study in search._studies.values()]
    assert max(tried) - min(tried) <= 1 and search.total == len(runner.jobs)
    assert search.is_cut


def test_past_the_deadline_nothing_is_handed_out(tmp_path: Path) -> None:
    clock = Clock()
    search = searching(InMemoryStorage(), tmp_path, slots=1, deadline=30.0, clock=clock)
    assert search.next() is not None
    clock.now = 30
    assert search.next() is None and search.over and search.is_cut
