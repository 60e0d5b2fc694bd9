"""Against scipy's bootstrap and binomial test, and tables worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import f1_score

from analysis.cells import RowTrials, select
from analysis.compared import Compared, compare
from analysis.inference.mcnemar import mcnemar
from analysis.inference.pairs import holm, measured
from analysis.inference.resampling import Answers, answers
from analysis.stats import Interval, Study, studies, study
from mi2p.plan import Plan
from mi2p.store import Store, load
from sweeps.compare_crisismmd import Options, plan
from sweeps.compare_food101_mmimdb import Options as Others
from sweeps.compare_food101_mmimdb import plan as others
from tests.simulated import Simulated

KEYS = ("cnn", "bert", "me_cnn", "me_bert")
REFERENCES = {"me_cnn": "cnn", "me_bert": "bert"}
METRICS = ("accuracy", "macro_f1", "weighted_f1")


def right(*by_seed: Sequence[int]) -> Answers:
    """Of two classes: a list of 0 and 1 for each seed from 0."""
    given = [np.eye(2)[1 - np.array(of)] for of in by_seed]
    labels = np.zeros(len(given[0]), np.int64)
    return answers(range(len(given)), given, labels, multilabel=False)


def drawn(skill: float, seed: int, *, seeds: int = 3, size: int = 400) -> Answers:
    """Answers that are right by chance alone."""
    return right(*(np.random.default_rng(seed).random((seeds, size)) < skill))


def pairs_of(methods: dict[str, Answers], **references: str) -> Compared:
    """By accuracy."""
    made = measured(methods, ["accuracy"])["accuracy"]
    means = {"accuracy": {key: made.mean(key) for key in methods}}
    return compare(methods, means, "accuracy", references=references)


def of(methods: dict[str, Answers], **references: str) -> Study:
    """Of accuracy, as a table of one data set."""
    (found,) = studies([pairs_of(methods, **references)])
    return found


def test_where_a_value_lies() -> None:
    interval = Interval(low=0.5, high=0.6)
    found = [interval.place(value) for value in (0.49, 0.5, 0.55, 0.6, 0.61)]
    assert found == ["below", "inside", "inside", "inside", "above"]


def test_an_interval_of_one_seed_is_the_bootstraps() -> None:
    # Of three classes, of which the macro-F1 is no mean over examples.
    random = np.random.default_rng(2)
    labels = random.integers(3, size=300)
    said = np.where(random.random(300) < 0.7, labels, random.integers(3, size=300))
    methods = {"a": answers([0], [np.eye(3)[said]], labels, multilabel=False)}
    means = {"accuracy": {"a": 0.5}, "macro_f1": {"a": 0.5}}
    (made,) = studies([compare(methods, means, "accuracy", references={})])
    found = made.intervals

    def macro(truth: Any, guess: Any) -> float:
        return float(f1_score(truth, guess, average="macro"))

    def accuracy(truth: Any, guess: Any) -> float:
        return float((truth == guess).mean())

    for metric, score in (("accuracy", accuracy), ("macro_f1", macro)):
        expected = scipy_stats.bootstrap(
            (labels, said),
            score,
            paired=True,
            vectorized=False,
            n_resamples=500,
            method="basic",
            rng=np.random.default_rng(1),
        )
        interval = found["a", metric]
        low, high = expected.confidence_interval
        half = scipy_stats.t.isf(0.025, 299) * expected.standard_error
        assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.09)
        assert (interval.low + interval.high) / 2 == pytest.approx(score(labels, said))
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.012)


def test_an_interval_has_the_variance_over_seeds_of_the_paired_test() -> None:
    # A steady row beside it, whose usual deviation it has as well.
    apart = right(*([1] * count + [0] * (400 - count) for count in (240, 280, 320)))
    made = measured({"a": apart, "b": right([1, 0] * 200)}, ["accuracy"])["accuracy"]
    variance = made.variance("a")
    examples = (1 - apart.wrong.mean(0) / 2).var() / 400
    chance = np.mean([((1 - w / 2) - (1 - apart.wrong.mean(0) / 2)).var() for w in apart.wrong])
    seeds = (0.1**2 - chance * 1.5 / 400) / 3
    assert variance.value == pytest.approx(examples + seeds, rel=0.02)
    # The squared standard errors of two rows that have nothing in common add up to their pair's.
    rows = {"a": drawn(0.7, 1, size=4000), "b": drawn(0.6, 2, size=4000)}
    made = measured(rows, ["accuracy"])["accuracy"]
    pair = made.difference("a", "b")
    assert pair is not None
    total = made.variance("a").value + made.variance("b").value
    assert pair.standard_error**2 == pytest.approx(total, rel=0.05)


def test_an_interval_stays_among_fractions_and_is_missing_where_nothing_varies() -> None:
    methods = {"all": right([1] * 50), "most": right([1] * 49 + [0])}
    found = of(methods).intervals
    assert ("all", "accuracy") not in found
    assert found["most", "accuracy"].high == 1.0


def test_mcnemar_of_one_seed_is_the_binomial_test() -> None:
    ours, theirs = right([1] * 9 + [0] * 2 + [1] * 20), right([0] * 9 + [1] * 2 + [1] * 20)
    # Of 11 examples that one alone has right, 9 are ours: 2 * P(X <= 2) = 2 * 67 / 2^11.
    assert mcnemar(ours, theirs) == pytest.approx(2 * 67 / 2**11)
    assert mcnemar(theirs, ours) == mcnemar(ours, theirs)
    assert mcnemar(ours, ours) == 1


def test_mcnemar_counts_an_example_once_whatever_the_seeds() -> None:
    ours, theirs = right([1] * 9 + [0] * 2), right([0] * 9 + [1] * 2)
    copied = right(*[[1] * 9 + [0] * 2] * 3), right(*[[0] * 9 + [1] * 2] * 3)
    assert mcnemar(*copied) == mcnemar(ours, theirs)
    # By how many seeds of both have it right: 2 of 2 against 1, 1 against 0, and equally often.
    several = right([1, 1, 0], [1, 0, 1]), right([1, 0, 0], [0, 0, 1])
    assert mcnemar(*several) == 2 * 0.5**2
    # Only seeds that both have.
    single = replace(several[1], seeds=(1,), guesses=several[1].guesses[1:])
    assert mcnemar(several[0], single) == 1.0
    assert mcnemar(ours, replace(theirs, seeds=(7,))) is None


def test_mcnemar_of_several_labels_is_by_how_many_are_wrong() -> None:
    labels = np.zeros((8, 3), np.int64)
    one, two = (np.tile([0.9] * count + [0.1] * (3 - count), (8, 1)) for count in (1, 2))
    made = [answers([0], [given], labels, multilabel=True) for given in (one, two)]
    assert mcnemar(*made) == pytest.approx(2 * 0.5**8)


def test_p_is_adjusted_for_all_rows_that_have_a_reference() -> None:
    methods = {key: drawn(0.6 + 0.03 * i, i) for i, key in enumerate("abc")}
    found = of(methods, b="a", c="b", d="a")  # d is not there yet, and counts as p = 1
    made = measured(methods, ["accuracy"])["accuracy"]
    pairs = [made.difference("b", "a"), made.difference("c", "b")]
    expected = holm([*(pair.p for pair in pairs if pair), 1.0])
    assert [row.p_holm for row in found.against.values()] == pytest.approx(expected[:2])
    assert [row.difference.mean for row in found.against.values()] == pytest.approx(
        [made.mean("b") - made.mean("a"), made.mean("c") - made.mean("b")]
    )
    assert {key: row.reference for key, row in found.against.items()} == {"b": "a", "c": "b"}


def test_not_worse_is_adjusted_for_all_pairs_of_rows() -> None:
    methods = {key: drawn(0.7, i) for i, key in enumerate("abcde")} | {"f": drawn(0.5, 9)}
    found = of(methods)
    made = measured(methods, ["accuracy"])["accuracy"]
    best = max("abcde", key=made.mean)
    assert found.not_worse == {"accuracy": frozenset("abcde")}
    # What p of a pair has to be: of 15 pairs, the 5 of the bad row are the smallest.
    pair = made.difference(best, "f")
    assert pair is not None and pair.p * 15 < 0.05
    close = of({"a": drawn(0.7, 0), "b": drawn(0.62, 1)}).not_worse["accuracy"]
    many = of(
        {"a": drawn(0.7, 0), "b": drawn(0.62, 1)} | {f"c{i}": drawn(0.66, i + 2) for i in range(9)}
    ).not_worse["accuracy"]
    assert "b" not in close and "b" in many


def test_p_is_adjusted_over_all_data_sets_of_a_table() -> None:
    first = {key: drawn(0.6 + 0.03 * i, i) for i, key in enumerate("abc")}
    second = {key: drawn(0.6 + 0.03 * i, i + 7) for i, key in enumerate("abd")}
    tables = ((first, {"b": "a", "c": "a"}), (second, {"b": "a", "d": "nobody"}))
    one, two = studies([pairs_of(methods, **references) for methods, references in tables])
    of_first, of_second = (measured(each, ["accuracy"])["accuracy"] for each in (first, second))
    pairs = [of_first.difference(*"ba"), of_first.difference(*"ca"), of_second.difference(*"ba")]
    expected = holm([*(pair.p for pair in pairs if pair), 1.0])
    found = [one.against["b"], one.against["c"], two.against["b"]]
    assert [row.p_holm for row in found] == pytest.approx(expected[:3])
    assert (one.compared, two.compared) == (4, 4)


def test_not_worse_is_adjusted_for_the_pairs_of_all_data_sets() -> None:
    close = pairs_of({"a": drawn(0.7, 0), "b": drawn(0.62, 1)})
    others = pairs_of({f"c{i}": drawn(0.66, i + 2) for i in range(9)})
    (alone,) = studies([close])
    together, _ = studies([close, others])
    assert alone.not_worse["accuracy"] == {"a"}
    assert together.not_worse["accuracy"] == {"a", "b"}


def test_with_one_seed_per_row_nothing_is_tested() -> None:
    methods = {"good": drawn(0.9, 0, seeds=1), "bad": drawn(0.4, 1, seeds=1)}
    found = of(methods, bad="good")
    assert not found.of_methods
    assert (found.against, found.not_worse, found.resolvable) == ({}, {}, {})
    assert set(found.intervals) == {("good", "accuracy"), ("bad", "accuracy")}
    # Two seeds of another row tell what seeds change.
    found = of(methods | {"other": drawn(0.5, 2, seeds=2)}, bad="good")
    assert found.of_methods
    assert found.against["bad"].p_holm < 0.05 and found.not_worse["accuracy"] == {"good"}


def test_a_row_that_shares_no_seed_with_the_best_is_apart() -> None:
    methods = {"best": drawn(0.8, 0), "same": drawn(0.8, 1), "worse": drawn(0.3, 2)}
    made = of(methods)
    assert made.apart == {"accuracy": frozenset()}
    best = max(("best", "same"), key=lambda key: 1 - methods[key].wrong.mean())
    other = "same" if best == "best" else "best"
    made = of(methods | {other: replace(methods[other], seeds=(7, 8, 9))})
    assert made.apart == {"accuracy": {other}}
    assert made.not_worse == {"accuracy": {best}}


def test_what_can_be_resolved_is_the_smallest_and_the_median_half_width() -> None:
    methods = {"a": drawn(0.7, 0), "b": drawn(0.7, 1), "c": drawn(0.7, 2)}
    made = measured(methods, ["accuracy"])["accuracy"]
    widths = sorted(
        pair.half_width
        for keys in ("ab", "ac", "bc")
        if (pair := made.difference(*keys)) is not None
    )
    assert of(methods).resolvable["accuracy"] == pytest.approx((widths[0], widths[1]))
    alike = right([1, 1, 0] * 20)
    assert of({"a": alike, "b": alike}).resolvable == {}


def made_up(results: Path) -> tuple[Plan, list[RowTrials]]:
    whole = plan(Options(dataset="crisismmd_task3"))
    made = replace(whole, rows=tuple(row for row in whole.rows if row.key in KEYS))
    Simulated(results).fill(made, dict.fromkeys(KEYS, 0.6) | {"me_cnn": 0.9, "me_bert": 0.88})
    return made, select(made, load(results))


def test_a_table_is_studied_from_its_results(tmp_path: Path) -> None:
    _, rows = made_up(tmp_path)
    found = study(tmp_path, rows, METRICS, multilabel=False, references=REFERENCES)
    assert set(found.intervals) == {(key, metric) for key in KEYS for metric in METRICS}
    for row in rows:
        for metric in METRICS:
            mean = row.cell(f"test/{metric}").mean
            interval = found.intervals[row.row.key, metric]
            assert mean is not None and interval.low < mean < interval.high
            assert interval.high < 1 and (interval.low + interval.high) / 2 == pytest.approx(mean)
    assert found.not_worse == dict.fromkeys(METRICS, frozenset({"me_cnn", "me_bert"}))
    assert list(found.against) == ["me_cnn", "me_bert"]
    assert all(one.p_holm < 0.05 and (one.mcnemar or 1) < 1e-6 for one in found.against.values())
    assert (set(found.not_worse), found.untested) == (set(METRICS), frozenset())


def test_nothing_is_bold_if_the_best_row_has_not_all_predictions(tmp_path: Path) -> None:
    made, rows = made_up(tmp_path)
    store = Store(tmp_path)
    best = next(row for row in made.rows if row.key == "me_cnn")
    store.predictions_file(best.specs[1].trial_id).unlink()  # of one of its seeds
    found = study(tmp_path, rows, METRICS, multilabel=False, references=REFERENCES)
    assert found.untested == {"me_cnn"}
    # It has the highest mean, so that it is not known what is not worse than the best.
    assert found.not_worse == dict.fromkeys(METRICS, frozenset())
    assert ("me_cnn", "accuracy") not in found.intervals and "me_cnn" not in found.against

    for path in (tmp_path / "predictions").glob("*.parquet"):
        path.unlink()
    found = study(tmp_path, rows, METRICS, multilabel=False, references=REFERENCES)
    assert (found.not_worse, found.untested) == ({}, frozenset(KEYS))
    assert not found.intervals and not found.against and not found.resolvable


def test_a_metric_at_a_tuned_threshold_is_not_tested(tmp_path: Path) -> None:
    whole = others(Others(dataset="mmimdb"))
    made = replace(whole, rows=tuple(row for row in whole.rows if row.key in KEYS[:2]))
    Simulated(tmp_path).fill(made, {"cnn": 0.6, "bert": 0.62})
    metrics = ("macro_f1", "micro_f1", "macro_f1_tuned")
    rows = select(made, load(tmp_path))
    found = study(tmp_path, rows, metrics, multilabel=True, references={"bert": "cnn"})
    assert {metric for _, metric in found.intervals} == {"macro_f1", "micro_f1"}
    assert found.not_worse.keys() == {"macro_f1", "micro_f1"}
    assert found.not_worse["micro_f1"] == {"cnn", "bert"}
    assert found.against["bert"].reference == "cnn"
