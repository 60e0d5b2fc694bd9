"""Tables about a folder. All numbers are worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.reporting import facts
from analysis.reporting.folder import Folder, read_folder
from analysis.typesetting.tabular import Table
from mi2p.data.summary import Counts, Summary
from mi2p.plan import Plan
from tests.a_search import ids, keep, searched, tried, with_rows

CNN, ME_CNN, BERT, ME_BERT = range(4)


def lines(table: Table | None) -> list[tuple[str, ...]]:
    assert table is not None
    return [row.cells for row in table.rows]


def read(lab: Any, *plans: Plan) -> Folder:
    for plan in plans:
        plan.write(lab.results)
    return read_folder(lab.results)


def test_the_summary_counts_each_trial_of_a_plan_once(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[CNN], [0.6, 0.7])
    lab.trial(plan.rows[BERT].specs[0], {}, status="error")
    both = (*lab.plan(name="both").rows, *lab.on("crisismmd_task2").plan().rows)
    two = Plan(name="two-data-sets", table=0, rows=both)
    assert lines(facts.summary(read(lab, plan, two))) == [
        ("table5-lab", "5", "openclipart", "4", "12", "2", "1", "0", "9"),
        ("two-data-sets", "--", "2 sets", "4", "24", "2", "1", "0", "21"),
    ]


def test_rows_and_their_states(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[ME_CNN], [0.6, 0.7, 0.7])
    assert lines(facts.trials(read(lab, plan), plan))[:2] == [
        ("DenseNet-121", "cnn", "0, 1, 2", "0", "0", "0", "3"),
        ("DenseNet-121 + MI2P{1-4}", "me_cnn-1-4", "0, 1, 2", "3", "0", "0", "0"),
    ]


def test_the_rows_of_data_sets_stand_apart(lab: Any) -> None:
    rows = (*lab.plan().rows[:1], *lab.on("crisismmd_task2").plan().rows[:2])
    plan = Plan(name="two", table=3, rows=rows)
    table = facts.trials(read(lab, plan), plan)
    assert table.titles == ("openclipart", "CrisisMMD (Task 2)")
    assert [len(group) for group in table.groups] == [1, 2]


def test_every_trial(lab: Any) -> None:
    plan = lab.plan(seeds=(0, 1))
    first, second = plan.rows[CNN].specs
    lab.trial(first, {"accuracy": 0.5}, code="c0de", device="NVIDIA A10G")
    assert lines(facts.each(read(lab, plan), plan))[:2] == [
        ("DenseNet-121", "0", first.trial_id, "done", "--", "NVIDIA A10G", "c0de", "f00d"),
        ("DenseNet-121", "1", second.trial_id, "missing", "--", "--", "--", "--"),
    ]


def test_seconds_are_those_of_all_processes_on_each_device(lab: Any) -> None:
    plan = lab.plan()
    first, second, third = plan.rows[CNN].specs
    lab.trial(first, {"accuracy": 0.5}, seconds=1000.25, processes=2)
    lab.trial(second, {"accuracy": 0.5}, seconds=100.0, processes=1)
    lab.trial(third, {"accuracy": 0.5}, seconds=7.0, device="NVIDIA A10G")
    lab.trial(plan.rows[BERT].specs[0], {"accuracy": 0.5})  # of a version without seconds
    lab.trial(plan.rows[BERT].specs[1], {}, status="error", device=None)
    folder = read(lab, plan)
    assert lines(facts.budget(folder, plan)) == [
        ("DenseNet-121", "NVIDIA A10G", "1", "1", "7.0", "7.0"),
        ("DenseNet-121", "cpu", "2", "1, 2", "2,100.5", "1,050.2"),
        ("DenseNet-121 + MI2P{1-4}", "--", "--", "--", "--", "--"),
        ("MiniLM", "cpu", "1", "1", "--", "--"),
        ("MiniLM + MI2P{1-3}", "--", "--", "--", "--", "--"),
    ]
    assert lines(facts.total(folder)) == [
        ("NVIDIA A10G", "confirm", "1", "0", "0", "7", "0.00"),
        ("cpu", "confirm", "3", "0", "0", "2,100", "0.58"),
        ("not told by failed trials", "confirm", "0", "0", "1", "--", "--"),
    ]


def test_searches_cost_what_their_trials_took(lab: Any) -> None:
    plan = lab.plan()
    cnn = plan.rows[CNN]
    assert facts.searches(read(lab, plan), plan) is None
    specs = [tried(cnn, {}), tried(cnn, {"train.lr": 0.5})]
    for spec, seconds in zip(specs, (10.0, 2.5), strict=True):
        keep(lab.results, spec, {"val/accuracy": 0.5})
        lab.trial(spec, {}, seconds=seconds)
    trials = (*ids(specs), "notyetthere0")
    found = searched(cnn, study="s", wanted=4, tried=3, pruned=1, failed=0, trials=trials)
    plan = with_rows(plan, {CNN: found})
    method = lines(facts.searches(read(lab, plan), plan))[0][1]
    assert lines(facts.searches(read(lab, plan), plan))[:2] == [
        ("DenseNet-121", method, "4", "3", "1", "0", "12.5"),
        ("DenseNet-121 + MI2P{1-4}", "none, as declared", *["--"] * 5),
    ]


def test_environments_and_weights(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[CNN], [0.5, 0.5, 0.5], code="c0de", weights="b a")
    lab.fill(plan.rows[ME_CNN], [0.5], code=None, weights="a b")
    lab.trial(plan.rows[BERT].specs[0], {}, status="error", device=None, precision=None)
    folder = read(lab, plan)
    assert lines(facts.environment(folder)) == [
        ("cpu", "float32", "2.9.0", "0.1.0", "c0de", "3"),
        ("cpu", "float32", "2.9.0", "0.1.0", "unknown", "1"),
    ]
    assert lines(facts.weights(folder)) == [
        ("densenet121", "minilm", "a, b", "1"),
        ("densenet121", "--", "a, b", "3"),
    ]


def test_data_with_and_without_a_summary(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[CNN], [0.5, 0.5])
    lab.fill(plan.rows[BERT], [0.5], data_fingerprint="older")
    counts = {
        split: Counts(examples=n, classes=(n, 0)) for split, n in zip(
            ("train", "val", "test"), (1200, 30, 4), strict=True
        )
    }  # fmt: skip
    summary = Summary(
        name="openclipart", fingerprint="f00d", multilabel=False, classes=("a", "b"), counts=counts
    )
    summary.write(lab.results)
    replace(summary, name="crisismmd_task1", fingerprint="unused").write(lab.results)
    assert lines(facts.datasets(read(lab, plan))) == [
        ("CrisisMMD (Task 1)", "unused", "2", "1,200", "30", "4", "0"),
        ("openclipart", "f00d", "2", "1,200", "30", "4", "2"),
        ("openclipart", "older", "--", "--", "--", "--", "1"),
    ]
