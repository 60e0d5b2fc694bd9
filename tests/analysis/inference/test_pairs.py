"""Against hand-worked numbers, scipy, scikit-learn, and simulated methods that do not differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score

from analysis.inference import resampling
from analysis.inference.pairs import LEVEL, Difference, differences, holm, holm_jointly, measured
from analysis.inference.resampling import Answers, answers


def right(*by_seed: Sequence[int], seeds: Sequence[int] = ()) -> Answers:
    """Single-label answers: a list of 0 and 1 for each seed, from 0 unless told otherwise."""
    given = [np.eye(2)[1 - np.array(of, np.int64)] for of in by_seed]
    labels = np.zeros(len(given[0]), np.int64)
    return answers(seeds or range(len(given)), given, labels, multilabel=False)


def hits(of: Answers) -> NDArray[np.float64]:
    """(N, S): 1 where right."""
    return 1 - of.wrong.T / 2


def one(ours: Answers, theirs: Answers, *, metric: str = "accuracy") -> Difference:
    return differences({"a": ours, "b": theirs}, [("a", "b")], metric)["a", "b"]


def random_answers(
    accuracy: Sequence[float], num_examples: int, seed: int, hardness: float = 1.0
) -> Answers:
    """A trial per accuracy; examples are as hard to all trials as `hardness` says (0: no)."""
    shared = np.random.default_rng(7).normal(size=num_examples) * hardness
    own = np.random.default_rng(seed).normal(size=(len(accuracy), num_examples))
    total = (shared + own) / math.hypot(1, hardness)
    return right(*(total <= stats.norm.ppf(np.array(accuracy))[:, None]))


def test_a_difference_worked_by_hand() -> None:
    # Accuracies 3/4 and 1/4 of a, 2/4 and 1/4 of b: (3 - 2 + 1 - 1) / 4 / 2 = 1/8.
    ours, theirs = right([1, 1, 1, 0], [0, 1, 0, 0]), right([1, 1, 0, 0], [0, 0, 0, 1])
    found = one(ours, theirs)
    assert found.mean == pytest.approx(1 / 8)
    assert one(theirs, ours).mean == pytest.approx(-1 / 8)
    assert one(theirs, ours).p == pytest.approx(found.p)
    # Of so few examples the interval says nothing: it is all that there is.
    assert found.half_width > 1 and found.interval == (-1, 1)


def test_the_metric_of_several_labels_is_micro_f1() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (50, 4))
    given = [generator.random((50, 4)).astype(np.float32) for _ in range(4)]
    made = [answers([0, 1], given[i : i + 2], labels, multilabel=True) for i in (0, 2)]
    expected = [f1_score(labels, p > 0.5, average="micro") for p in given]
    found = one(*made, metric="micro_f1")
    assert found.mean == pytest.approx((sum(expected[:2]) - sum(expected[2:])) / 2)


def test_nothing_to_find_and_nothing_found_is_0() -> None:
    nothing = answers([0], [np.zeros((5, 2))], np.zeros((5, 2), np.int64), multilabel=True)
    assert f1_score(np.zeros((5, 2)), np.zeros((5, 2)), average="micro", zero_division=0) == 0
    found = one(nothing, nothing, metric="micro_f1")
    assert (found.mean, found.standard_error, found.p) == (0, 0, 1)


def test_one_seed_is_a_paired_test() -> None:
    ours, theirs = (random_answers([p], 400, seed) for seed, p in enumerate((0.75, 0.70)))
    found = one(ours, theirs)
    told = stats.ttest_rel(hits(ours)[:, 0], hits(theirs)[:, 0])
    assert found.freedom == pytest.approx(399)
    assert found.mean / found.standard_error == pytest.approx(told.statistic, rel=0.03)
    assert found.p == pytest.approx(told.pvalue, rel=0.15)
    same = stats.bootstrap(
        (hits(ours)[:, 0], hits(theirs)[:, 0]),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        paired=True,
        rng=np.random.default_rng(3),
    )
    assert found.standard_error == pytest.approx(same.standard_error, rel=0.04)
    interval = same.confidence_interval
    assert found.interval == pytest.approx((interval.low, interval.high), abs=0.003)
    # McNemar's test, of the examples that only one has right, says the same.
    only = (hits(ours) > hits(theirs)).sum(), (hits(ours) < hits(theirs)).sum()
    mcnemar = stats.chi2.sf((only[0] - only[1]) ** 2 / sum(only), 1)
    assert found.p == pytest.approx(mcnemar, rel=0.15)


def test_variances_of_examples_and_of_seeds_add_up() -> None:
    ours = random_answers([0.70, 0.75, 0.80], 300, 1)
    theirs = random_answers([0.60, 0.64, 0.62], 300, 2)
    found = one(ours, theirs)
    of_examples = (hits(ours) - hits(theirs)).mean(1).var() / 300
    seeds = [hits(a).mean(0).var(ddof=1) for a in (ours, theirs)]
    # Around its mean over seeds, an answer varies by chance and by the quality of its seed, which
    # is the same on every resample and taken off.
    by_chance = [
        np.mean([(hits(a)[:, i] - hits(a).mean(1)).var() / 300 * 3 / 2 for i in range(3)])
        for a in (ours, theirs)
    ]
    assert seeds[1] > seeds[0]
    usual = (seeds[0] + seeds[1]) / 2  # for the smaller one, with the degrees of freedom of both
    left = (usual - by_chance[0]) / 3, (seeds[1] - by_chance[1]) / 3
    assert min(left) > 0
    total = of_examples + sum(left)
    assert found.standard_error == pytest.approx(math.sqrt(total), rel=0.02)
    spread = of_examples**2 / 299 + (usual / 3) ** 2 / 4 + (seeds[1] / 3) ** 2 / 2
    assert found.freedom == pytest.approx(total**2 / spread, rel=0.06)
    ratio = found.mean / found.standard_error
    assert found.p == pytest.approx(2 * stats.t.sf(ratio, found.freedom))
    half = stats.t.ppf(0.975, found.freedom) * found.standard_error
    assert found.interval == pytest.approx((found.mean - half, found.mean + half))


def test_seeds_that_agree_by_chance_are_taken_to_deviate_as_usual() -> None:
    # All seeds of a method agree on every example, so that nothing is by chance.
    steady, other = ([1, 0, 1, 0] * 50,) * 2, ([1, 1, 0, 0] * 50,) * 2
    methods = {"a": right(*steady), "b": right(*other)}
    alone = differences(methods, [("a", "b")], "accuracy")["a", "b"]
    # Each of three others has one better seed: the median of five variances is 0.02, that of a
    # variance with one degree of freedom 0.455 times what is estimated.
    for key in "cde":
        methods[key] = right([1, 0] * 100, [1, 0] * 60 + [1] * 80)
    found = differences(methods, [("a", "b")], "accuracy")["a", "b"]
    grown = found.standard_error**2 - alone.standard_error**2
    assert grown == pytest.approx(2 * (0.02 / 0.4549) / 2, rel=1e-3)
    # Also a pair that has but one seed in common.
    methods["a"] = right(steady[0])
    single = differences(methods, [("a", "b")], "accuracy")["a", "b"]
    assert single.standard_error**2 > 2 * 0.02 / 0.4549


def test_answers_of_several_seeds_to_an_example_are_not_several_examples() -> None:
    (ours,), (theirs,) = (hits(random_answers([p], 200, s)).T for s, p in ((1, 0.7), (2, 0.6)))
    alone = one(right(ours), right(theirs))
    copied = one(right(ours, ours, ours), right(theirs, theirs, theirs))
    assert copied.standard_error == pytest.approx(alone.standard_error)
    assert copied.mean == pytest.approx(alone.mean)


def test_what_is_hard_for_both_methods_is_no_noise() -> None:
    errors = [
        one(*(random_answers([0.7], 500, seed, hardness) for seed in (1, 2))).standard_error
        for hardness in (0.0, 3.0)
    ]
    # Unpaired: sqrt(2 * 0.7 * 0.3 / 500) = 0.029.
    assert errors[0] == pytest.approx(0.029, rel=0.1)
    assert errors[1] < 0.6 * errors[0]


def test_methods_that_differ_by_their_seeds_are_not_told_apart() -> None:
    ours, theirs = (
        random_answers(accuracy, 5000, seed)
        for seed, accuracy in ((1, [0.70, 0.76, 0.72]), (2, [0.69, 0.74, 0.67]))
    )
    # As if these six models were all there is, the difference is clear.
    told = stats.ttest_rel(hits(ours).mean(1), hits(theirs).mean(1))
    assert told.pvalue < 1e-6
    assert one(ours, theirs).p > 0.2


def test_only_seeds_that_both_have_and_only_methods_that_are_there() -> None:
    ours = random_answers([0.7, 0.9, 0.8], 100, 1)
    theirs = replace(random_answers([0.6, 0.5], 100, 2), seeds=(2, 0))
    strange = replace(random_answers([0.6], 100, 2), seeds=(9,))
    methods = {"a": ours, "b": theirs, "c": strange}
    asked = [("a", "b"), ("a", "c"), ("a", "nobody"), ("nobody", "b")]
    found = differences(methods, asked, "accuracy")
    assert list(found) == [("a", "b")]
    assert found["a", "b"].seeds == (0, 2)
    expected = (hits(ours)[:, [0, 2]] - hits(theirs)[:, [1, 0]]).mean()
    assert found["a", "b"].mean == pytest.approx(expected)
    assert differences({}, [("a", "b")], "accuracy") == {}
    assert measured({}, ["accuracy"]) == {}


def test_the_order_of_methods_and_how_resamples_are_drawn_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    methods = {key: random_answers([0.7, 0.7], 90, seed) for seed, key in enumerate("abc")}
    first = differences(methods, [("a", "b")], "accuracy")
    assert differences(methods, [("a", "b")], "accuracy") == first
    monkeypatch.setattr(resampling, "CHUNK", 1000)  # resamples drawn 11 at a time
    again = differences({key: methods[key] for key in "cba"}, [("c", "a"), ("a", "b")], "accuracy")
    assert again["a", "b"].standard_error == pytest.approx(first["a", "b"].standard_error)


def test_nothing_is_said_where_resamples_do_not_vary() -> None:
    ours = right([1, 1, 0, 1])
    assert one(ours, ours).p == 1
    assert one(ours, ours).interval == (0, 0)
    # Always right against never right, of one example or of three.
    assert one(right([1]), right([0])).p == 1
    assert one(right([1, 1, 1]), right([0, 0, 0])).p == 1


def test_holm_worked_by_hand() -> None:
    # In order: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 is raised to the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_several_families_are_adjusted_as_one() -> None:
    families = [{"a": 0.01, "b": 0.04}, {}, {"a": 0.03, "c": 0.005}]
    first, none, last = holm_jointly(families)
    assert first == pytest.approx({"a": 0.03, "b": 0.06})
    assert none == {}
    assert last == pytest.approx({"a": 0.06, "c": 0.02})


KEYS = [f"m{i}" for i in range(18)]
PAIRS = list(zip(KEYS[::2], KEYS[1::2], strict=True))


def simulated(table: int, luck: float, gain: float = 0.0, collapsed: str = "") -> list[Difference]:
    """9 pairs of 18 methods at 70 %, 3 seeds, 439 examples; the first of each may gain.

    As `tests/simulated.py` makes them: each trial its luck, and each answer some chance. A seed of
    the method `collapsed` guesses.
    """
    generator = np.random.default_rng(table)
    spread = math.sqrt(1 + 0.4**2 + 0.3**2 + luck**2)
    hardness = generator.normal(size=439)
    methods = {}
    for i, key in enumerate(KEYS):
        taste = 0.4 * generator.normal(size=439)
        chance = 0.3 * generator.normal(size=(3, 439))
        easy = spread * stats.norm.ppf(0.7 + gain * (i % 2 == 0))
        made = hardness + taste + chance <= easy + luck * generator.normal(size=(3, 1))
        if key == collapsed:
            made[0] = generator.random(439) < 0.1
        methods[key] = right(*made)
    of = measured(methods, ["accuracy"], resamples=300)["accuracy"]
    return [found for pair in PAIRS if (found := of.difference(*pair)) is not None]


def told_apart(tables: int, **options: Any) -> float:
    """Of pairs that have no collapsed method, how many."""
    found = [simulated(table, **options) for table in range(tables)]
    kept = [one.p < LEVEL for of_table in found for one in of_table[:-1]]
    return sum(kept) / len(kept)


# Deviations of 0, 0.9 and 3 points between seeds.
@pytest.mark.slow
@pytest.mark.parametrize("luck", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("collapsed", ["", KEYS[-1]])
def test_of_equal_methods_a_few_pairs_in_a_hundred_are_told_apart(
    luck: float, collapsed: str
) -> None:
    assert 0.012 < told_apart(60, luck=luck, collapsed=collapsed) < 0.06


@pytest.mark.parametrize("collapsed", ["", KEYS[-1]])
def test_a_gain_of_six_points_is_mostly_found(collapsed: str) -> None:
    assert told_apart(15, luck=0.03, gain=0.06, collapsed=collapsed) > 0.75


def test_no_interval_is_wider_than_metrics_are() -> None:
    wide = Difference(seeds=(0,), mean=0.9, standard_error=0.1, freedom=2)
    low, high = wide.interval
    assert low == pytest.approx(0.9 - 0.43027, abs=1e-5) and high == 1  # t of 2: 4.3027
    assert replace(wide, mean=-0.9).interval[0] == -1.0
