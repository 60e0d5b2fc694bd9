"""Tables of what searches found. Cells are worked by hand."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.configurations import find
from analysis.searched import main, tables, write
from analysis.table5 import TABLE
from mi2p.plan import Plan
from mi2p.store import load
from tests.a_search import SEARCHED, chosen, ids, keep, searched, tried, with_rows

CNN, ME_CNN = 0, 1
WINNER: Mapping[str, Any] = {
    "train.lr": 2.14e-4,
    "model.units.attach": (1, 2, 4),
    "model.units.heads": 4,
}


def plan_of(lab: Any, **changes: Any) -> Plan:
    """The CNN is best as declared; of ME CNN three of four wanted were tried."""
    plan: Plan = lab.plan()
    cnn, me_cnn = plan.rows[CNN], plan.rows[ME_CNN]
    keep(lab.results, tried(cnn, {}), {"val/accuracy": 0.5, "added_parameters": 0})
    specs = [tried(me_cnn, values) for values in ({}, WINNER, {"train.lr": 0.5})]
    keep(lab.results, specs[0], {"val/accuracy": 0.6, "added_parameters": 12345})
    keep(lab.results, specs[1], {"val/accuracy": 2 / 3, "added_parameters": 23456.0})
    keep(lab.results, specs[2], {}, "error")
    of_cnn = {"wanted": 1, "tried": 1, "best": 0.5, "trials": ids([tried(cnn, {})])}
    rows = {
        CNN: searched(cnn, **{**of_cnn, **changes}),
        ME_CNN: searched(
            chosen(me_cnn, WINNER),
            **{
                "study": "openclipart me_cnn",
                "wanted": 4,
                "tried": 3,
                "pruned": 1,
                "failed": 1,
                "best": 2 / 3,
                "first": 0.6,
                "trials": ids(specs),
                **changes,
            },
        ),
    }
    return with_rows(plan, rows)


def test_the_summary(lab: Any) -> None:
    plan = plan_of(lab)
    (table,) = tables(plan, find(plan, load(lab.results)))
    assert table.caption == (
        "What the searches of table5-lab found: accuracy on validation of each row as declared "
        "and of the best configuration tried, and what that has otherwise."
    )
    assert table.heads == ("Row", "tried", "declared (%)", "best (%)", "chosen")
    assert [row.cells for row in table.rows] == [
        ("DenseNet-121", "1", "50.0", "50.0", "as declared"),
        (
            "DenseNet-121 + MI2P{1-4}",
            "3 of 4 (1 pruned, 1 failed)",
            "60.0",
            "66.7",
            "lr 2.1e-4, layers 1-2,4, heads 4",
        ),
    ]
    assert table.titles == ()
    assert table.footnotes == (
        "Searched by TPE; every configuration was trained once, with seed 1000. The best is the "
        "largest of many values and therefore flatters: what it is worth with other seeds on the "
        "test split is in table5-lab. Numbers are rounded to two digits; those in full are in the "
        "CSV file.",
    )


def test_a_long_configuration_goes_on_below(lab: Any) -> None:
    plan = plan_of(lab)
    # "lr 2.1e-4," has 10 letters, "layers 1-2,4," 13, and 10 + 1 + 13 = 24.
    for line, expected in (
        (24, ["lr 2.1e-4, layers 1-2,4,", "heads 4"]),
        (23, ["lr 2.1e-4,", "layers 1-2,4, heads 4"]),
        (1, ["lr 2.1e-4,", "layers 1-2,4,", "heads 4"]),
    ):
        (table,) = tables(plan, find(plan, load(lab.results)), line)
        _, *rows = table.rows
        assert [row.cells[-1] for row in rows] == expected
        assert {row.cells[:-1] for row in rows[1:]} == {("", "", "", "")}


def test_a_declared_configuration_that_did_not_finish(lab: Any) -> None:
    plan = plan_of(lab, first=None)
    (table,) = tables(plan, find(plan, load(lab.results)))
    assert [row.cells[2] for row in table.rows] == ["--", "--"]
    assert table.footnotes[1:] == ("declared --: that trial did not finish.",)


def test_a_declared_configuration_that_left_no_trial(lab: Any) -> None:
    plan = plan_of(lab)
    row = plan.rows[ME_CNN]
    assert row.searched is not None
    # Ids that nothing has.
    row = replace(row, searched=replace(row.searched, trials=SEARCHED.trials))
    plan = with_rows(plan, {ME_CNN: row})
    (table,) = tables(plan, find(plan, load(lab.results)))
    assert [row.cells[-1] for row in table.rows] == ["as declared", "--"]
    assert table.footnotes[1:] == (
        "--: the row as declared left no trial to compare with (DenseNet-121 + MI2P{1-4}).",
    )


def test_two_objectives_have_fronts(lab: Any) -> None:
    plan = plan_of(lab, sampler="nsga2", against="added_parameters")
    summary, front = tables(plan, find(plan, load(lab.results)))
    assert summary.footnotes[0].startswith("Searched by NSGA-II against added parameters;")
    assert front.caption == (
        "The fronts of the searches of table5-lab: configurations that no other one tried is "
        "better than in accuracy on validation or in added parameters and no worse in the other. "
        "The first of each row was chosen."
    )
    assert front.heads == ("Row", "validation (%)", "added parameters", "otherwise than declared")
    assert [row.cells for row in front.rows] == [
        ("DenseNet-121", "50.0", "0", "as declared"),
        ("DenseNet-121 + MI2P{1-4}", "66.7", "23,456", "lr 2.1e-4, layers 1-2,4, heads 4"),
        ("", "60.0", "12,345", "as declared"),
    ]
    assert [len(group) for group in front.groups] == [1, 2]


def test_fronts_whose_trials_are_gone_are_empty(lab: Any) -> None:
    plan = plan_of(lab, against="seconds", trials=SEARCHED.trials)
    _, front = tables(plan, find(plan, load(lab.results)))
    assert front.rows == ()
    assert len(write(lab.results, plan)) == 4


def test_the_csv_file_has_everything_in_full(lab: Any) -> None:
    plan = plan_of(lab, sampler="nsga2", against="added_parameters")
    path = {path.suffix: path for path in write(lab.results, plan)}[".csv"]
    records = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(one["row"], one["what"]) for one in records] == [
        ("cnn", "best"),
        ("cnn", "front"),
        ("me_cnn-1-4", "best"),
        ("me_cnn-1-4", "front"),
        ("me_cnn-1-4", "front"),
    ]
    best, front, declared = records[2:]
    expected = {
        "dataset": "openclipart",
        "study": "openclipart me_cnn",
        "method": "NSGA-II against added parameters",
        "wanted": "4",
        "tried": "3",
        "pruned": "1",
        "failed": "1",
        "metric": "val/accuracy",
        "declared": "60.0",
        "value": "66.666666667",
        "changes": "train.lr=0.000214 model.units.attach=1-2,4 model.units.heads=4",
        "trial_id": "",
    }
    assert {name: best[name] for name in expected} == expected
    assert (front["value"], front["cost"]) == ("66.666666667", "23456.0")
    assert front["changes"] == expected["changes"] and front["tried"] == ""
    summary = plan.rows[ME_CNN].searched
    assert summary is not None
    assert [front["trial_id"], declared["trial_id"]] == [summary.trials[1], summary.trials[0]]
    assert declared["changes"] == ""


def test_several_data_sets_have_titles(lab: Any) -> None:
    other = plan_of(lab.on("crisismmd_task2"))
    both = Plan(name="table5-both", table=5, rows=(*plan_of(lab).rows, *other.rows))
    (table,) = tables(both, find(both, load(lab.results)))
    assert table.titles == ("openclipart", "CrisisMMD (Task 2)")
    assert [len(group) for group in table.groups] == [2, 2]


def test_each_file_is_written_beside_the_table(lab: Any) -> None:
    plan = plan_of(lab)
    lab.fill(plan.rows[CNN], [0.6, 0.7, 0.8])
    paths = TABLE.write(lab.results, plan)
    names = [f"table5-lab.{end}" for end in ("tex", "md", "html", "csv", "json")]
    names += [f"table5-lab-search.{end}" for end in ("tex", "md", "html", "csv")]
    assert [path.name for path in paths] == names
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in TABLE.write(lab.results, plan)] == before


def test_nothing_is_written_of_a_plan_that_was_not_searched(lab: Any) -> None:
    assert write(lab.results, lab.plan()) == []
    assert not lab.results.exists()


def test_the_command_line(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(lab)
    plan.write(lab.results)
    replace(lab.plan(), name="table5-declared").write(lab.results)
    main([str(lab.results)])
    told = capsys.readouterr().out
    folder = lab.results / "tables"
    assert told.startswith((folder / "table5-lab-search.md").read_text(encoding="utf-8"))
    assert told.split()[-4:] == [
        str(folder / f"table5-lab-search.{end}") for end in ("tex", "md", "html", "csv")
    ]
    with pytest.raises(SystemExit, match="error: plan 'table5-declared' must have searched rows"):
        main([str(lab.results), "--plan", "table5-declared"])
    with pytest.raises(
        SystemExit, match=r"error: no plan 'x' .*; there: table5-declared, table5-"
    ):
        main([str(lab.results), "--plan", "x"])
    shutil.rmtree(lab.results / "plans")
    with pytest.raises(SystemExit, match=r"error: a plan in .* must have searched rows"):
        main([str(lab.results)])


@pytest.mark.slow
def test_the_latex_of_the_longest_rows_fits_a_page_of_two_columns(
    lab: Any, compiles: Callable[[Path, str], None]
) -> None:
    values = {
        **WINNER,
        "train.head_lr_multiplier": 2.25,
        "train.weight_decay": 1.23e-5,
        "train.batch_size": 256,
        "model.units.d_k": 128,
        "model.units.query_kernel": 5,
        "model.units.init": "zero_value",
        "model.units.lr_multiplier": 14.2,
    }
    plan = plan_of(lab, sampler="nsga2", against="added_parameters")
    last = tried(lab.plan().rows[ME_CNN], values)
    keep(lab.results, last, {"val/accuracy": 0.9, "added_parameters": 123456789})
    row = plan.rows[ME_CNN]
    assert row.searched is not None
    trials = (*row.searched.trials, last.trial_id)
    summary = replace(row.searched, wanted=30, tried=20, pruned=12, failed=3, trials=trials)
    row = replace(chosen(row, values), label="EfficientNet-Lite0 + MI2P{1-4}", searched=summary)
    path = write(lab.results, with_rows(plan, {ME_CNN: row}))[0]
    text = path.read_text(encoding="utf-8")
    assert "query kernel" in text and "123456789" in text  # the summary, and the front
    compiles(path, r"\documentclass[twocolumn]{article}\textwidth 6.875in")
