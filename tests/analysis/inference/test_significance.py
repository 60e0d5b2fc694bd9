from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.inference.significance import note_of_paper, notes, notes_of_differences, sentence
from analysis.stats import Interval
from analysis.studied import Studied
from analysis.table5 import TABLE
from tests.analysis.conftest import UNTESTED
from tests.analysis.test_studied import BERT, ME_CNN, answered, right

TEST = (
    "(paired test over test examples and seeds, level 0.05, Holm over the 2 rows with a reference)"
)

NOT_TESTED = (
    "Not tested against the row of X, as not all predictions of both are there, or no seed is "
    "common:"
)


def made(lab: Any) -> Studied:
    (on,) = TABLE.studied(lab.results, answered(lab))
    return on


def test_what_bold_is(lab: Any) -> None:
    on = made(lab)
    assert sentence([on]) == (
        " Bold: not significantly worse than the best of its metric (paired test over test "
        "examples and seeds, level 0.05, Holm over all pairs of rows, for each "
        "metric)."
    )
    assert "best of its metric and data set (" in sentence([on, on])
    untested = replace(on, study=replace(on.study, not_worse={}))
    assert sentence([untested]) == ""


def test_what_the_mark_of_a_difference_is(lab: Any) -> None:
    on = made(lab)
    assert notes_of_differences(on, reference="X") == [
        f"†: significantly differs from the row of X {TEST}."
    ]
    equal = replace(on, study=replace(on.study, against={"me_bert-1-3": vague(on)}))
    assert notes_of_differences(equal, reference="X") == [
        f"No row significantly differs from that of X {TEST}.",
        f"{NOT_TESTED} DenseNet-121 + MI2P{{1-4}}.",
    ]
    none = replace(on, study=replace(on.study, against={}))
    assert notes_of_differences(none, reference="X") == [
        f"{NOT_TESTED} DenseNet-121 + MI2P{{1-4}}, MiniLM + MI2P{{1-3}}."
    ]
    nothing = replace(none, study=replace(none.study, not_worse={}))
    assert notes_of_differences(nothing, reference="X") == []


def test_tests_of_several_data_sets_say_that_p_is_adjusted_over_all(lab: Any) -> None:
    first, second = answered(lab), answered(lab.on("crisismmd_task2"))
    both = replace(first, rows=(*first.rows, *second.rows))
    found = TABLE.studied(lab.results, both)
    assert "Holm over all pairs of rows of all data sets, for each metric)." in sentence(found)
    assert "pairs of rows of all data sets, for each metric)." in sentence(found[:1])
    (note,) = notes_of_differences(found[0], reference="X")
    assert note.endswith("Holm over the 4 rows with a reference of all data sets).")


def test_with_one_seed_nothing_is_said_of_methods(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for row, share in zip(plan.rows, (0.3, 0.9, 0.8, 0.7), strict=True):
        lab.answer(row, [right(share)])
    (on,) = TABLE.studied(lab.results, plan)
    assert sentence([on]) == "" and notes_of_differences(on, reference="X") == []
    assert notes(on) == [
        "With one seed per row nothing is said of methods: no tests. Intervals are over test "
        "examples only, of these trained models."
    ]
    assert not any(on.is_bold(row, "accuracy") or on.differs(row) for row in on.part.rows)
    printed = {on.part.rows[BERT].row.paper: {"accuracy": 80.0}}
    beside = replace(on, part=replace(on.part, printed=printed))
    assert note_of_paper([beside], printed_for="")[1].endswith(
        "interval of our number (over test examples only, of these trained models)."
    )


def test_what_bold_does_not_say_is_told(lab: Any) -> None:
    on = made(lab)
    path = lab.results / "predictions" / f"{answered(lab).rows[ME_CNN].specs[0].trial_id}.parquet"
    path.unlink()
    (lost,) = TABLE.studied(lab.results, on.plan)
    assert notes(lost) == [
        "No interval, test and verdict, as not all their predictions are kept: "
        "DenseNet-121 + MI2P{1-4}.",
        "Nothing is bold in Acc, M-F1 and W-F1: a row that is not tested has the highest mean.",
    ]
    assert not any(lost.is_bold(row, "accuracy") for row in on.part.rows)
    apart = {"accuracy": frozenset({"bert"}), "macro_f1": frozenset({"bert"})}
    alone = replace(on, study=replace(on.study, apart=apart))
    assert notes(alone) == [
        "Not compared with the best of Acc and M-F1, and so not bold, as no seed is common: "
        "MiniLM."
    ]


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
