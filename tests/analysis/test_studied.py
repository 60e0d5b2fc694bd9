"""What is told of rows, on answers whose statistics can be seen with the eye."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.stats import study
from analysis.studied import Studied
from analysis.table5 import TABLE
from mi2p.plan import Plan

CNN, ME_CNN, BERT, ME_BERT = range(4)
NUM = 60


def right(share: float, shift: int = 0) -> list[bool]:
    """Of every ten examples so many tenths."""
    return [(i + shift) % 10 < 10 * share for i in range(NUM)]


def answered(lab: Any) -> Plan:
    """The CNN has 3 of 10 right, with units 9; BERT has 8 with and without."""
    plan: Plan = lab.plan()
    lab.answer(plan.rows[CNN], [right(0.3, shift) for shift in range(3)])
    lab.answer(plan.rows[ME_CNN], [right(0.9, shift) for shift in range(3)])
    lab.answer(plan.rows[BERT], [right(0.8, shift) for shift in range(3)])
    lab.answer(plan.rows[ME_BERT], [right(0.8, shift + 5) for shift in range(3)])
    return plan


def of(lab: Any, plan: Plan) -> Studied:
    (on,) = TABLE.studied(lab.results, plan)
    return on


def test_statistics_are_those_of_the_study_with_references_by_key(lab: Any) -> None:
    on = of(lab, answered(lab))
    rows = on.part.rows
    expected = study(
        lab.results,
        rows,
        ["accuracy", "macro_f1", "weighted_f1"],
        multilabel=False,
        references={"me_cnn-1-4": "cnn", "me_bert-1-3": "bert"},
    )
    assert on.study.intervals == expected.intervals
    assert on.study.not_worse == expected.not_worse
    assert on.study.against == expected.against
    assert {key: other and other.row.key for key, other in on.references.items()} == {
        "me_cnn-1-4": "cnn",
        "me_bert-1-3": "bert",
    }
    assert [on.differs(row) for row in rows] == [False, True, False, False]
    bold = {row.row.key for row in rows if on.is_bold(row, "accuracy")}
    assert bold == expected.not_worse["accuracy"]
    assert "me_cnn-1-4" in bold and "cnn" not in bold
    gain = on.gain(rows[ME_CNN])
    assert gain is not None and gain.mean == pytest.approx(0.6)
    assert on.gain(rows[CNN]) is None


def test_the_papers_number_has_a_place(lab: Any) -> None:
    on = of(lab.on("crisismmd_task2"), answered(lab.on("crisismmd_task2")))
    interval = on.interval(on.part.rows[BERT], "accuracy")
    assert interval is not None and interval.low < 0.8 < interval.high < 0.95
    printed = {
        "BERT": {"accuracy": 80.0, "macro_f1": 1.0, "weighted_f1": 99.0},
        "DenseNet": {},
    }
    on = replace(on, part=replace(on.part, printed=printed))
    assert on.verdict(on.part.rows[BERT], "accuracy") == "inside"
    assert on.verdict(on.part.rows[BERT], "macro_f1") == "below"
    assert on.verdict(on.part.rows[BERT], "weighted_f1") == "above"
    assert on.verdict(on.part.rows[CNN], "accuracy") is None
    assert on.verdict(on.part.rows[ME_BERT], "accuracy") is None


def test_without_predictions_there_is_no_verdict_and_nothing_bold(lab: Any) -> None:
    lab = lab.on("crisismmd_task2")
    plan = lab.plan()
    for row in plan.rows:
        lab.fill(row, [0.6, 0.7, 0.8])
    on = of(lab, plan)
    for row in on.part.rows:
        assert on.interval(row, "accuracy") is None
        assert on.printed(row, "accuracy") is not None
        assert on.verdict(row, "accuracy") is None
        assert not on.is_bold(row, "accuracy")
        assert not on.differs(row)
    assert not on.damaged


def test_damaged_predictions_lose_the_statistics_and_not_the_numbers(lab: Any) -> None:
    plan = answered(lab)
    path = lab.results / "predictions" / f"{plan.rows[BERT].specs[1].trial_id}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match=f"no intervals and tests: .*{path.name}"):
        on = of(lab, plan)
    assert on.damaged
    assert on.study.intervals == {}
    assert on.part.main_cell(on.part.rows[CNN]).mean == pytest.approx(0.3)


def test_a_damaged_summary_loses_the_rare_classes_and_not_the_table(lab: Any) -> None:
    plan = answered(lab)
    path = lab.results / "datasets" / "another.json"
    path.parent.mkdir()
    path.write_text("{")
    with pytest.warns(UserWarning, match=f"does not tell of rare classes: .*{path.name}"):
        on = of(lab, plan)
    assert on.rare == () and not on.damaged
    assert on.differs(on.part.rows[ME_CNN])


def test_p_is_adjusted_over_the_data_sets_of_the_plan_also_where_one_is_damaged(lab: Any) -> None:
    first, second = answered(lab), answered(lab.on("crisismmd_task2"))
    both = replace(first, rows=(*first.rows, *second.rows))
    alone = of(lab, first).study.against["me_cnn-1-4"].p_holm
    one, two = TABLE.studied(lab.results, both)
    # The largest of two, and the largest of four: both rows with units differ equally on both.
    p = one.study.against["me_cnn-1-4"].p_holm
    assert (one.study.compared, two.study.compared) == (4, 4)
    assert p == two.study.against["me_cnn-1-4"].p_holm == pytest.approx(2 * alone)
    path = lab.results / "predictions" / f"{second.rows[BERT].specs[0].trial_id}.parquet"
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match="no intervals and tests"):
        one, two = TABLE.studied(lab.results, both)
    assert (one.damaged, two.damaged) == (False, True)
    assert one.study.against["me_cnn-1-4"].p_holm == pytest.approx(2 * alone)


def test_a_reference_that_the_plan_has_not_is_none(lab: Any) -> None:
    plan = answered(lab)
    on = of(lab, replace(plan, rows=plan.rows[1:]))
    assert on.references["me_cnn-1-4"] is None
    assert on.gain(on.part.rows[0]) is None
