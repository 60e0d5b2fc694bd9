from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.lines import entries, line, line_of_paper
from analysis.studied import Studied
from analysis.table5 import TABLE
from tests.analysis.test_studied import BERT, CNN, ME_BERT, ME_CNN, answered


@pytest.fixture
def on(lab: Any) -> Studied:
    lab = lab.on("crisismmd_task2")
    (found,) = TABLE.studied(lab.results, answered(lab))
    printed = {"DenseNet + MI2P{1-4}": {"accuracy": 90.0, "macro_f1": 50.0, "weighted_f1": 99.0}}
    return replace(found, part=replace(found.part, printed=printed))


def test_marks_and_bold_letters(on: Studied) -> None:
    rows = [line(row, on, beside=True) for row in on.part.rows]
    # Every seed has 54 of 60 right; the mean of both classes' F1 is near that.
    cells = rows[ME_CNN].cells
    assert cells[:3] == ("DenseNet-121 + MI2P{1-4}", "90.0 ± 0.0", "90.0 ∈")
    assert (cells[4], cells[6]) == ("50.0 ↓", "99.0 ↑")
    assert cells[7] == "+60.0 ± 0.0 †"
    assert rows[ME_CNN].bold == {1, 3, 5}
    assert rows[CNN].bold == frozenset()
    assert rows[CNN].cells[2] == "--"
    assert rows[CNN].cells[-1] == ""
    assert rows[ME_BERT].cells[-1] == "+0.0 ± 0.0"

    apart = line(on.part.rows[ME_CNN], on, beside=False)
    assert apart.cells[2].startswith("89.9 ±") and len(apart.cells) == 5
    assert apart.bold == {1, 2, 3}


def test_the_papers_numbers_beside_intervals(on: Studied) -> None:
    interval = on.interval(on.part.rows[ME_CNN], "accuracy")
    assert interval is not None
    made = line_of_paper(on.part.rows[ME_CNN], on)
    span = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    assert made.cells[1] == f"90.0 ∈ {span}"
    assert line_of_paper(on.part.rows[CNN], on).cells[1:] == ("--",) * 3


def test_the_record_has_all_numbers(on: Studied) -> None:
    row = on.part.rows[ME_CNN]
    record = line(row, on, beside=True).record
    interval, against = on.interval(row, "accuracy"), on.versus(row)
    assert interval is not None and against is not None
    assert record["accuracy_low"] == pytest.approx(100 * interval.low)
    assert record["accuracy_high"] == pytest.approx(100 * interval.high)
    assert (record["accuracy_bold"], record["accuracy_verdict"]) == (1, "inside")
    assert record["macro_f1_verdict"] == "below"
    low, high = against.difference.interval
    assert record["delta_accuracy_low"] == pytest.approx(100 * low)
    assert record["delta_accuracy_high"] == pytest.approx(100 * high)
    assert record["delta_accuracy_p"] == pytest.approx(against.difference.p, rel=1e-5)
    assert record["delta_accuracy_p_holm"] == pytest.approx(against.p_holm, rel=1e-5)
    assert record["delta_accuracy_mcnemar"] == pytest.approx(against.mcnemar, rel=1e-5)
    other = line(on.part.rows[CNN], on, beside=True).record
    assert list(other) == list(record)
    assert (other["accuracy_bold"], other["accuracy_verdict"]) == (0, None)
    assert other["delta_accuracy_p"] is None


def test_details_tell_intervals_tests_and_origin(on: Studied) -> None:
    spans, tests, trials, *_ = line(on.part.rows[ME_CNN], on, beside=True).details
    assert spans.startswith("95 % intervals: Acc ") and " to " in spans
    assert tests.startswith("Δ Acc to DenseNet-121: 95 % interval +")
    assert "McNemar's p " in tests and tests.endswith("(of these trained models)")
    assert trials.startswith("trials: ")
    spans, trials, *_ = line(on.part.rows[BERT], on, beside=True).details
    assert trials.startswith("trials: ")


def test_every_cell_says_what_it_is_made_of(on: Studied) -> None:
    *own, delta = entries(on.part.rows[ME_CNN], on)
    assert [entry.column for entry in own] == ["accuracy", "macro_f1", "weighted_f1"]
    ids = tuple(spec.trial_id for spec in on.part.rows[ME_CNN].row.specs)
    assert all(entry.provenance.trials == ids for entry in own)
    assert (own[0].row, own[0].dataset, own[0].text) == (
        "me_cnn-1-4",
        "crisismmd_task2",
        "90.0 ± 0.0",
    )
    assert (delta.column, delta.text) == ("delta_accuracy", "+60.0 ± 0.0 †")
    assert delta.provenance.reference is not None
    theirs = tuple(spec.trial_id for spec in on.part.rows[CNN].row.specs)
    assert delta.provenance.reference.trials == theirs
    assert len(list(entries(on.part.rows[CNN], on))) == 3
