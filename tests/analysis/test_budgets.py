"""What tables say of searches. Sentences and counts are written out by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import budgets
from analysis.cells import RowTrials, select
from analysis.table5 import TABLE
from mi2p.plan import Plan
from mi2p.spec import FusionSpec, ModelSpec
from mi2p.store import load
from tests.a_search import SEARCHED, searched, with_rows

CNN, ME_CNN, BERT, ME_BERT = range(4)
ALIKE = (
    "Hyper-parameters of each row: the best of 20 configurations on validation (TPE, search seed "
    "1000); only the best was trained with the seeds of the table. "
)
UNLIKE = (
    "Hyper-parameters of each row: the best on validation of those tried (search seed 1000), "
    "which were not equally many for all rows; only the best was trained with the seeds of the "
    "table. "
)


def filled(lab: Any, rows: range = range(4)) -> Plan:
    plan: Plan = lab.plan()
    for row in rows:
        lab.fill(plan.rows[row], [0.6, 0.7, 0.8])
    return plan


def found(lab: Any, plan: Plan) -> list[RowTrials]:
    return select(plan, load(lab.results))


def all_searched(plan: Plan, **changes: Any) -> Plan:
    return replace(plan, rows=tuple(searched(row, **changes) for row in plan.rows))


def test_a_plan_that_was_not_searched_says_nothing_of_searches(lab: Any) -> None:
    rows = found(lab, filled(lab))
    assert budgets.sentence(rows) == ""
    assert budgets.equal(rows)
    assert budgets.notes(rows, are_equal=True) == []
    assert set(budgets.columns(rows[0]).values()) == {None}


def test_the_table_of_a_plan_that_was_not_searched_has_no_columns_or_files_of_one(
    lab: Any,
) -> None:
    paths = TABLE.write(lab.results, filled(lab))
    assert [path.name for path in paths] == [
        f"table5-lab.{end}" for end in ("tex", "md", "html", "csv", "json")
    ]
    columns = paths[3].read_text(encoding="utf-8").splitlines()[0].split(",")
    assert columns[:5] == ["row", "label", "n", "want", "failed"]
    assert not set(columns) & set(budgets.COLUMNS)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert "Hyper-parameters" not in text and "earch" not in text


def test_equal_budgets_are_told_in_the_caption_alone(lab: Any) -> None:
    rows = found(lab, all_searched(filled(lab)))
    assert budgets.equal(rows)
    assert budgets.sentence(rows) == ALIKE
    assert budgets.notes(rows, are_equal=True) == []


def test_a_budget_that_is_not_used_up_says_what_was_wanted(lab: Any) -> None:
    rows = found(lab, all_searched(filled(lab), tried=12))
    assert "the best of 12 configurations (20 wanted) on validation" in budgets.sentence(rows)
    rows = found(lab, all_searched(filled(lab), tried=1, wanted=1))
    assert "the best of 1 configuration on validation" in budgets.sentence(rows)


def test_unequal_budgets_are_told_in_the_caption_and_listed(lab: Any) -> None:
    plan = filled(lab)
    new = {CNN: searched(plan.rows[CNN]), BERT: searched(plan.rows[BERT])}
    new[ME_CNN] = searched(plan.rows[ME_CNN], tried=7)
    rows = found(lab, with_rows(plan, new))
    assert not budgets.equal(rows)
    assert budgets.sentence(rows) == UNLIKE
    assert budgets.notes(rows, are_equal=False) == [
        "The budgets of rows are not equal. 20 configurations by TPE: DenseNet-121, MiniLM; "
        "7 configurations (20 wanted) by TPE: DenseNet-121 + MI2P{1-4}; "
        "none, as declared: MiniLM + MI2P{1-3}."
    ]


def test_as_many_in_another_way_is_not_equal(lab: Any) -> None:
    plan = all_searched(filled(lab))
    other = searched(plan.rows[BERT], scheduler="asha")
    assert not budgets.equal(found(lab, with_rows(plan, {BERT: other})))


def test_rows_without_any_number_are_not_compared(lab: Any) -> None:
    plan = filled(lab, range(2))
    new = {CNN: searched(plan.rows[CNN]), ME_CNN: searched(plan.rows[ME_CNN])}
    rows = found(lab, with_rows(plan, new))
    assert budgets.equal(rows)
    assert budgets.sentence(rows) == ALIKE

    # A search whose winner has not been trained yet was a search all the same.
    new[BERT] = searched(plan.rows[BERT], tried=3)
    assert not budgets.equal(found(lab, with_rows(plan, new)))


def test_what_was_pruned_and_what_failed_is_counted(lab: Any) -> None:
    plan = all_searched(filled(lab))
    new = {
        CNN: searched(plan.rows[CNN], pruned=6, failed=1),
        BERT: searched(plan.rows[BERT], pruned=5),
    }
    rows = found(lab, with_rows(plan, new))
    assert budgets.equal(rows)  # they count as tried
    assert budgets.notes(rows, are_equal=True) == [
        "Configurations that were stopped early, which count as tried and cannot be the best: 11 "
        "(6 of DenseNet-121, 5 of MiniLM).",
        "Configurations that failed, which count as tried and cannot be the best: 1 (1 of "
        "DenseNet-121).",
    ]


def averaging(lab: Any, plan: Plan) -> Plan:
    """The plan with a row that averages the CNN and the transformer without units."""
    model = ModelSpec(
        name="fusion",
        visual="densenet121",
        textual="minilm",
        fusion=FusionSpec(kind="score"),
    )
    pairs = zip(plan.rows[CNN].specs, plan.rows[BERT].specs, strict=True)
    specs = tuple(
        replace(one, model=model, averages=(one.trial_id, other.trial_id)) for one, other in pairs
    )
    row = replace(plan.rows[CNN], key="score", label="Score Fusion", specs=specs, searched=None)
    lab.fill(row, [0.7, 0.7, 0.7])
    return replace(plan, rows=(*plan.rows, row))


def test_an_average_has_the_budgets_of_its_parts(lab: Any) -> None:
    plan = filled(lab)
    assert budgets.notes(found(lab, averaging(lab, plan)), are_equal=True) == []
    rows = found(lab, averaging(lab, all_searched(plan)))
    assert budgets.equal(rows)
    assert budgets.notes(rows, are_equal=True) == [
        "Score Fusion has the budgets of DenseNet-121 and MiniLM, which it averages."
    ]


def test_a_data_set_that_was_not_searched_says_so_beside_one_that_was(lab: Any) -> None:
    plan = filled(lab)
    tags = filled(lab.on("crisismmd_task1"))
    both = Plan(name="table5-both", table=5, rows=(*all_searched(plan).rows, *tags.rows))
    rows = found(lab, both)
    assert budgets.sentence(rows) == UNLIKE
    notes = [budgets.notes(part, are_equal=False) for part in (rows[:4], rows[4:])]
    assert notes == [
        ["The budgets of rows are not equal. 20 configurations by TPE: all rows."],
        ["The budgets of rows are not equal. none, as declared: all rows."],
    ]
    unknown = filled(lab.on("crisismmd_task2"), range(0))
    rows = found(lab, replace(both, rows=(*both.rows, *unknown.rows)))
    assert budgets.notes(rows[8:], are_equal=False) == []  # nothing there to compare


def test_the_csv_file_has_the_search_of_each_row(lab: Any) -> None:
    plan = filled(lab)
    one = searched(plan.rows[CNN], tried=19, pruned=4, failed=2, best=2 / 3, first=None)
    path = Path(TABLE.write(lab.results, with_rows(plan, {CNN: one}))[3])
    first, second, *_ = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    assert {name: first[name] for name in budgets.COLUMNS} == {
        "study": SEARCHED.study,
        "search_wanted": "20",
        "search_tried": "19",
        "search_pruned": "4",
        "search_failed": "2",
        "search_metric": "val/accuracy",
        "search_best": "66.666666667",
        "search_declared": "",
    }
    assert {second[name] for name in budgets.COLUMNS} == {""}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "TPE"),
        ({"sampler": "random"}, "random"),
        ({"sampler": "gp", "scheduler": "median"}, "GP with median stopping"),
        ({"scheduler": "asha"}, "TPE with ASHA"),
        ({"sampler": "nsga2", "against": "added_parameters"}, "NSGA-II against added parameters"),
    ],
)
def test_the_method(changes: dict[str, Any], expected: str) -> None:
    assert budgets.method(replace(SEARCHED, **changes)) == expected
