"""Against simulated seeds whose variances are known, and numbers worked by hand."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from analysis.inference.seeds import Seeds, Variance, added, of_mean, spread, usual


def seeds(value: float, freedom: int = 2, by_chance: float = 0.0) -> Seeds:
    return Seeds(between=Variance(value, freedom), by_chance=by_chance)


def test_a_spread_worked_by_hand() -> None:
    # Around their mean, both seeds are at -0.1 and 0.1, and on the resamples at -0.1 and 0.1, 0
    # and 0: variances of 0.005 over two resamples, times 2 / (2 - 1).
    found = spread(np.array([0.5, 0.7]), np.array([[0.4, 0.6], [0.7, 0.7]]))
    assert found.between == pytest.approx((0.02, 1))
    assert found.by_chance == pytest.approx(0.01)
    assert spread(np.array([0.5]), np.array([[0.4], [0.7]])) == seeds(0.0, 0)


def test_quality_and_chance_are_told_apart() -> None:
    # 200 examples that a trial answers by chance alone, and a quality that deviates by 0.03.
    generator = np.random.default_rng(0)
    found = []
    for _ in range(300):
        quality = 0.7 + 0.03 * generator.normal(size=3)
        right = generator.random((200, 3)) < quality
        drawn = generator.integers(200, size=(200, 200))
        found.append(spread(right.mean(0), right[drawn].mean(1)))
    assert np.mean([one.by_chance for one in found]) == pytest.approx(0.21 / 200, rel=0.03)
    left = np.mean([one.between.value - one.by_chance for one in found])
    assert left == pytest.approx(0.03**2, rel=0.15)


def test_what_is_usual_is_estimated_without_bias_and_with_its_degrees_of_freedom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The same two numbers for each of 72,000 variances.
    for name in ("median", "pdf"):
        monkeypatch.setattr(stats.chi2, name, cache(getattr(stats.chi2, name)))
    generator = np.random.default_rng(1)
    for freedom in (1, 2, 4):
        drawn = generator.chisquare(freedom, (400, 60)) / freedom * 3.0
        found = [usual([seeds(value, freedom) for value in table]) for table in drawn]
        values = np.array([one.value for one in found])
        assert values.mean() == pytest.approx(3.0, rel=0.05)
        # What has v degrees of freedom has the variance 2 / v, relative to its square.
        assert 2 * 3.0**2 / values.var() == pytest.approx(found[0].freedom, rel=0.2)
    # Exponential, of two degrees of freedom: 8 (log 2 / 2)^2 for each method.
    assert usual([seeds(1.0)] * 10).freedom == pytest.approx(10 * 2 * math.log(2) ** 2)
    assert usual([seeds(1.0)] * 10).value == pytest.approx(1 / math.log(2))


def test_one_collapsed_method_does_not_make_the_usual() -> None:
    others = [seeds(value) for value in (1.0, 1.1, 1.2, 1.3, 1.4)]
    before, after = usual(others), usual([*others, seeds(1000.0)])
    assert after.value < 1.1 * before.value


def test_of_two_methods_it_is_their_mean_and_of_none_nothing() -> None:
    assert usual([seeds(1.0, 2), seeds(4.0, 1), seeds(0.0, 0)]) == (2.0, 3)
    assert usual([seeds(0.0, 0)]) == usual([]) == (0.0, 0)


def test_the_larger_variance_counts_less_what_is_by_chance() -> None:
    pool = Variance(2.0, 17.0)
    assert of_mean(seeds(1.0, by_chance=0.5), pool, 3) == pytest.approx((0.5, 17 * (1.5 / 2) ** 2))
    assert of_mean(seeds(4.0, by_chance=1.0), pool, 2) == pytest.approx((1.5, 2 * (3 / 4) ** 2))
    assert of_mean(seeds(1.0, by_chance=2.5), pool, 3) == (0.0, 0)
    # The noise of the difference stays that of the larger variance: 2 v^2 / freedom.
    left = of_mean(seeds(1.0, by_chance=0.5), pool, 1)
    assert 2 * left.value**2 / left.freedom == pytest.approx(2 * pool.value**2 / pool.freedom)


def test_variances_are_added_as_in_welchs_test() -> None:
    random = np.random.default_rng(3)
    ours, theirs = random.normal(0, 1, 7), random.normal(1, 3, 12)
    terms = [Variance(of.var(ddof=1) / len(of), len(of) - 1) for of in (ours, theirs)]
    total = added(terms)
    told = stats.ttest_ind(ours, theirs, equal_var=False)
    assert total.freedom == pytest.approx(told.df)
    mean, interval = ours.mean() - theirs.mean(), told.confidence_interval(0.95)
    half = total.half_width(0.05)
    assert (mean - half, mean + half) == pytest.approx((interval.low, interval.high))
    assert added([Variance(0.0, 0), Variance(2.0, 5)]) == (2.0, 5)
    assert added([]) == (0.0, math.inf)
