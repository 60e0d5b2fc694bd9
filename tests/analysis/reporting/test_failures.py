"""What is told of trials that failed or were disturbed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from analysis.reporting.failures import disturbed, failures
from analysis.reporting.folder import read_folder
from mi2p.plan import Plan

CNN, ME_CNN = 0, 1


def test_failures_have_their_names_errors_and_tracebacks(lab: Any) -> None:
    plan: Plan = lab.plan()
    plan.write(lab.results)
    other = replace(plan, name="table5-other", rows=plan.rows[:1])
    other.write(lab.results)
    first, second = plan.rows[ME_CNN].specs[1], plan.rows[CNN].specs[0]
    fault = [{"kind": "node", "what": "node 10.0.0.7 was lost", "epoch": 3}]
    lab.trial(first, {}, status="error", faults=json.dumps(fault))
    lab.trial(second, {}, status="error")
    (lab.results / "errors").mkdir()
    (lab.results / "errors" / f"{first.trial_id}.txt").write_bytes(
        b"Traceback:\r\n  \x1b[31mboom\x1b[0m \x00\xff\n"
    )
    found = failures(read_folder(lab.results))
    assert [one.trial_id for one in found] == [second.trial_id, first.trial_id]
    assert [one.name for one in found] == [
        "table5-lab: DenseNet-121, seed 0; table5-other: DenseNet-121, seed 0",
        "table5-lab: DenseNet-121 + MI2P{1-4}, seed 1",
    ]
    assert [one.error for one in found] == ["boom", "boom"]
    assert [one.befell for one in found] == [(), ("node 10.0.0.7 was lost after epoch 3",)]
    # Colours are gone, and what is no text shows that it was there.
    assert [one.traceback for one in found] == [None, "Traceback:\n  boom ��\n"]


def test_a_trial_of_no_plan(lab: Any) -> None:
    spec = replace(lab.spec(lab.plan().rows[CNN].specs[0].model, seed=4), stage="search")
    lab.trial(spec, {}, status="error")
    (found,) = failures(read_folder(lab.results))
    assert found.name == "cnn on openclipart, seed 4, stage search"


def test_a_plan_on_several_data_sets_names_them(lab: Any) -> None:
    here, there = lab.plan().rows[CNN], lab.on("food101").plan().rows[CNN]
    Plan(name="both", table=4, rows=(here, there)).write(lab.results)
    lab.trial(there.specs[2], {}, status="error")
    (found,) = failures(read_folder(lab.results))
    assert found.name == "both: DenseNet-121 on food101, seed 2"


def test_disturbed_trials(lab: Any) -> None:
    plan: Plan = lab.plan()
    lab.trial(plan.rows[CNN].specs[0], {"accuracy": 0.5})
    assert disturbed(read_folder(lab.results)) == ""
    faults = [{"kind": "node", "what": "x"}, {"kind": "node", "what": "y"}]
    lab.trial(plan.rows[CNN].specs[1], {"accuracy": 0.5}, faults=json.dumps(faults))
    assert disturbed(read_folder(lab.results)) == (
        "1 trial was disturbed and went on from the last checkpoint; faults: 2 of kind node."
    )
    one = [{"kind": "driver", "what": "the sweep stopped"}]
    lab.trial(plan.rows[CNN].specs[2], {"accuracy": 0.5}, faults=json.dumps(one))
    assert disturbed(read_folder(lab.results)) == (
        "2 trials were disturbed and went on from the last checkpoint; "
        "faults: 1 of kind driver and 2 of kind node."
    )
