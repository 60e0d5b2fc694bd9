"""What is to be run of a plan, and where its data is found."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mi2p import training
from mi2p.data import DataUnavailable
from mi2p.options import SweepOptions
from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row
from mi2p.training import (
    agreed,
    forced_trials,
    forget,
    jobs,
    states_to_run,
    trial_states,
)
from sweeps import compare_crisismmd, compare_food101_mmimdb
from tests.test_source import SPEC


def small_plan(rate: float) -> Plan:
    specs = [replace(SPEC, train=replace(SPEC.train, lr=lr)) for lr in (1e-3, rate)]
    rows = tuple(
        PlanRow(key=key, label=key, paper="", specs=(spec,))
        for key, spec in zip(("good", "other"), specs, strict=True)
    )
    return Plan(name="small", table=5, rows=rows)


def test_states_come_from_rows(tmp_path: Path) -> None:
    plan, store = small_plan(2e-3), Store(tmp_path)
    good, other = plan.specs()
    assert trial_states(store, plan) == dict.fromkeys((good.trial_id, other.trial_id), "to run")
    store.write_trial(trial_row(good, status="done", metrics={}))
    store.write_trial(trial_row(other, status="error", metrics={}, error="x"))
    assert trial_states(store, plan) == {good.trial_id: "done", other.trial_id: "failed"}


def test_what_is_to_be_run_again(tmp_path: Path) -> None:
    plan, store = small_plan(2e-3), Store(tmp_path)
    good, other = plan.specs()
    store.write_trial(trial_row(good, status="done", metrics={}))
    store.write_trial(trial_row(other, status="error", metrics={}, error="x"))
    wanted = {spec.trial_id: spec for spec in plan.specs()}

    def states(forced: list[TrialSpec], **options: Any) -> list[str]:
        found = states_to_run(store, SweepOptions(**options), plan, wanted, forced)
        return [found[spec.trial_id] for spec in (good, other)]

    assert states([]) == ["done", "failed"]
    assert states([], retry_failed=True) == ["done", "to run"]
    assert states([good]) == ["to run", "failed"]


def test_what_a_trial_left_is_moved_away_before_it_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_trial(trial_row(SPEC, status="done", metrics={}))
    store.write_predictions(SPEC.trial_id, [])
    checkpoint = tmp_path / "checkpoints" / SPEC.trial_id / "last.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    forget(store, [SPEC])
    assert store.trial(SPEC.trial_id) is None and not checkpoint.exists()
    (moved,) = (tmp_path / "replaced").iterdir()
    name = f"{SPEC.trial_id}.parquet"
    assert (moved / "trials" / name).exists() and (moved / "predictions" / name).exists()


def test_forced_trials_are_of_the_rows_that_are_run() -> None:
    plan = small_plan(2e-3)
    good, other = plan.specs()
    both = {spec.trial_id for spec in (good, other)}
    assert forced_trials(plan, SweepOptions(force=("good",)), both) == [good]
    assert forced_trials(plan, SweepOptions(), {good.trial_id}) == []
    options = SweepOptions(force=("other",), rows=("good",))
    with pytest.raises(ValueError, match=r"--force other must choose .* none is of --rows good"):
        forced_trials(plan, options, {good.trial_id})


def test_nobody_is_asked_who_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def answered(text: str, **options: Any) -> bool:
        console = Console(file=io.StringIO())
        monkeypatch.setattr(console, "input", lambda question: text)
        return agreed(console, SweepOptions(**options), "Run 2 trials?")

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert answered("n")
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert answered("") and answered("Y") and answered("n", yes=True)
    assert not answered("n") and not answered("what")


def test_jobs_are_called_by_their_row_and_seed() -> None:
    plan = compare_crisismmd.plan(compare_crisismmd.Options(smoke=True))
    specs = [plan.methods["gmu"][1].specs[0], plan.methods["cnn"][0].specs[0]]
    found = list(jobs(plan, specs))
    assert [job.spec for job in found] == specs
    assert [job.label for job in found] == [
        "crisismmd_task2: GMU, seed 0",
        "crisismmd_task1: Unimodal tiny random DenseNet, seed 0",
    ]
    assert [job.name for job in found] == [
        "gmu-crisismmd_task2-seed0",
        "cnn-crisismmd_task1-seed0",
    ]


def test_the_folder_of_each_data_set_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[str, Path | None]] = []

    def find(console: Console, name: str, **given: Any) -> tuple[Path, Path | None]:
        looked.append((name, given["data"]))
        if name == "mmimdb":
            raise DataUnavailable("No MM-IMDB found.", "Get it.")
        return tmp_path / name, None

    monkeypatch.setattr(training, "find_inputs", find)
    options = compare_food101_mmimdb.Options(smoke=True, data=tmp_path)
    plan = compare_food101_mmimdb.plan(options)
    food = [spec for spec in plan.specs() if spec.data.name == "food101"]
    found = training.find_folders(Console(quiet=True), options, food)
    assert found == {"food101": (tmp_path / "food101", None)}
    assert looked == [("food101", tmp_path)]
    with pytest.raises(DataUnavailable, match="No MM-IMDB") as missing:
        training.find_folders(Console(quiet=True), options, plan.specs())
    assert missing.value.__notes__ == ["--dataset food101 does without mmimdb."]
