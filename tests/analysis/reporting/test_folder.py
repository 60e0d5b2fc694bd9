"""What is read of folders that are unfinished or damaged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.reporting.folder import read_folder, told
from mi2p.data.summary import Counts, Summary
from mi2p.plan import Plan

CNN, ME_CNN, BERT, ME_BERT = range(4)


def written(lab: Any) -> Plan:
    """One row is done, one has a failed seed, one has begun, one has nothing."""
    plan: Plan = lab.plan()
    plan.write(lab.results)
    lab.fill(plan.rows[CNN], [0.60, 0.64, 0.65])
    lab.fill(plan.rows[ME_CNN], [0.70])
    lab.trial(plan.rows[ME_CNN].specs[1], {}, status="error")
    first, second, _ = plan.rows[BERT].specs
    (lab.results / "checkpoints" / first.trial_id).mkdir(parents=True)
    (lab.results / "checkpoints" / f"{second.trial_id}.faults.json").write_text("[]")
    # A lock is left by every trial, and says nothing.
    (lab.results / "checkpoints" / f"{plan.rows[ME_BERT].specs[0].trial_id}.lock").touch()
    return plan


def test_states_of_trials(lab: Any) -> None:
    plan = written(lab)
    folder = read_folder(lab.results)
    assert folder.plans == (plan,)
    assert not folder.damaged
    assert [list(folder.states(row.specs).values()) for row in plan.rows] == [
        [3, 0, 0, 0],
        [1, 1, 0, 1],
        [0, 0, 2, 1],
        [0, 0, 0, 3],
    ]


def test_a_trial_of_a_search_does_not_finish_a_row(lab: Any) -> None:
    plan: Plan = lab.plan(seeds=(0,))
    spec = plan.rows[CNN].specs[0]
    lab.trial(replace(spec, stage="search"), {"accuracy": 0.5})
    # Rows of another stage have another id, unless somebody edits them.
    folder = read_folder(lab.results)
    edited = folder.trials.assign(trial_id=spec.trial_id)
    assert replace(folder, trials=edited).state(spec.trial_id) == "missing"


def test_predictions_that_are_not_kept(lab: Any) -> None:
    plan = written(lab)
    done = [spec.trial_id for spec in (*plan.rows[CNN].specs, plan.rows[ME_CNN].specs[0])]
    (lab.results / "predictions").mkdir()
    (lab.results / "predictions" / f"{done[1]}.parquet").touch()
    missing = sorted(set(done) - {done[1]})
    assert read_folder(lab.results).unpredicted(plan) == missing


def test_what_is_damaged_is_told_and_all_else_is_read(lab: Any) -> None:
    plan = written(lab)
    spec, other = plan.rows[CNN].specs[:2]
    for trial, size in ((spec, 100), (other, 0)):
        path = lab.results / "trials" / f"{trial.trial_id}.parquet"
        path.write_bytes(path.read_bytes()[:size])
    (lab.results / "plans" / "cut.json").write_text('{"name": "cut", "rows"')
    (lab.results / "plans" / "strange.json").write_text("[1]")
    (lab.results / "datasets").mkdir()
    (lab.results / "datasets" / "f00d.json").write_text("{}")
    folder = read_folder(lab.results)
    assert [one.file for one in folder.damaged] == [
        "plans/cut.json",
        "plans/strange.json",
        *sorted(f"trials/{trial.trial_id}.parquet" for trial in (spec, other)),
        "datasets/",
    ]
    assert folder.plans == (plan,)
    assert folder.states(plan.rows[CNN].specs)["done"] == 1
    assert folder.states(plan.rows[ME_CNN].specs)["done"] == 1
    assert all(str(lab.results) not in one.why for one in folder.damaged)


def test_nothing_but_a_plan(lab: Any) -> None:
    plan: Plan = lab.plan()
    plan.write(lab.results)
    folder = read_folder(lab.results)
    assert folder.trials.empty
    assert folder.rows == {}
    assert folder.states(list(plan.specs())) == {
        "done": 0,
        "failed": 0,
        "begun": 0,
        "missing": 12,
    }


def test_nothing_but_trials(lab: Any) -> None:
    written(lab)
    shutil.rmtree(lab.results / "plans")
    folder = read_folder(lab.results)
    assert folder.plans == ()
    assert len(folder.rows) == 5


def test_summaries_of_data(lab: Any) -> None:
    written(lab)
    counts = {split: Counts(examples=2, classes=(1, 1)) for split in ("train", "val", "test")}
    summary = Summary(
        name="x", fingerprint="f00d", multilabel=False, classes=("a", "b"), counts=counts
    )
    summary.write(lab.results)
    assert read_folder(lab.results).summaries == {"f00d": summary}


@pytest.mark.parametrize(
    ("made", "said"), [(False, "is not there"), (True, "has neither plans/ nor trials/")]
)
def test_no_results_folder(tmp_path: Path, made: bool, said: str) -> None:
    folder = tmp_path / "somewhere"
    if made:
        folder.mkdir()
    with pytest.raises(FileNotFoundError, match=said):
        read_folder(folder)


def test_errors_are_one_line_without_the_folders_path(tmp_path: Path) -> None:
    assert told(ValueError(f"{tmp_path}/trials/a\n is bad"), tmp_path) == "results/trials/a is bad"
    assert told(KeyError("lr"), tmp_path) == "KeyError: 'lr'"
    assert told(ValueError(), tmp_path) == "ValueError:"
