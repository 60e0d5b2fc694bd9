from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.inference.significance import note_of_paper, notes, notes_of_differences, sentence
from analysis.stats import Interval
from analysis.studied import Studied
from analysis.table5 import TABLE
from tests.analysis.conftest import UNTESTED
from tests.analysis.test_studied import BERT, ME_CNN, answered

TEST = (
    "(paired test over test examples and seeds, level 0.05, Holm over the 2 rows with a reference)"
)


def made(lab: Any) -> Studied:
    (on,) = TABLE.studied(lab.results, answered(lab))
    return on


def test_what_bold_is(lab: Any) -> None:
    on = made(lab)
    assert sentence([on]) == (
        " Bold: not significantly worse than the best of its metric (paired test over test "
        "examples and seeds, level 0.05, Holm over all pairs of rows)."
    )
    assert "best of its metric and data set (" in sentence([on, on])
    untested = replace(on, study=replace(on.study, tested=frozenset()))
    assert sentence([untested]) == ""


def test_what_the_mark_of_a_difference_is(lab: Any) -> None:
    on = made(lab)
    assert notes_of_differences(on, reference="X") == [
        f"†: significantly differs from the row of X {TEST}."
    ]
    equal = replace(on, study=replace(on.study, against={"me_bert-1-3": vague(on)}))
    assert notes_of_differences(equal, reference="X") == [
        f"No row significantly differs from that of X {TEST}."
    ]
    none = replace(on, study=replace(on.study, against={}))
    assert notes_of_differences(none, reference="X") == []


def vague(on: Studied) -> Any:
    return replace(on.study.against["me_bert-1-3"], p_holm=0.05)


def test_rows_of_which_nothing_is_said_are_named(lab: Any) -> None:
    on = made(lab)
    assert notes(on) == []
    one = replace(on, study=replace(on.study, untested=frozenset({"bert"})))
    assert notes(one) == [
        "No interval, test and verdict, as not all their predictions are kept: MiniLM."
    ]
    every = frozenset(row.row.key for row in on.part.rows)
    assert notes(replace(on, study=replace(on.study, untested=every))) == [UNTESTED]
    intervals = {
        of: interval for of, interval in on.study.intervals.items() if of[0] != "me_cnn-1-4"
    }
    fixed = replace(on, study=replace(on.study, intervals=intervals))
    assert notes(fixed) == [
        "No interval, as nothing varies over resamples: DenseNet-121 + MI2P{1-4}."
    ]
    assert "damaged" in notes(replace(on, damaged=True))[0]


def test_the_marks_of_the_papers_numbers_are_explained_where_there_are_some(lab: Any) -> None:
    on = made(lab)
    assert note_of_paper([on], printed_for="") == []
    printed = {on.part.rows[BERT].row.paper: {"accuracy": 80.0}}
    beside = replace(on, part=replace(on.part, printed=printed))
    stands, marks = note_of_paper([beside], printed_for="DenseNet and BERT")
    assert stands.startswith("paper: as printed there for DenseNet and BERT, without deviation")
    assert marks.startswith("∈, ↑, ↓: the paper's number lies in, above or below the 95 %")
    other = {("me_cnn-1-4", "accuracy"): Interval(low=0, high=1)}
    unmarked = replace(beside, study=replace(on.study, intervals=other))
    assert len(note_of_paper([unmarked], printed_for="")) == 1
    assert unmarked.interval(on.part.rows[ME_CNN], "accuracy") is not None
