"""Against scipy's power of a t test, and against the test itself on simulated methods."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.inference.pairs import Difference, measured
from analysis.inference.power import Pilot, needed, outlook, pilot
from tests.bench.equal_tables import Setting, calls, table

SEEDS = Difference(seeds=(0, 1, 2), mean=0.03, standard_error=0.02, freedom=8)
MADE = Pilot(
    difference=SEEDS,
    floor=0.0,
    ceiling=0.0,
    between=(0.02**2, 0.02**2),
    by_chance=(0.0, 0.0),
    freedom=4,
    usual=0.02**2,
    others=(),
    num_examples=400,
)


def t_test_power(difference: float, deviation: float, count: int) -> float:
    """Of Student's test of two groups of `count`, by the noncentral t."""
    freedom, shift = 2 * count - 2, difference / (deviation * math.sqrt(2 / count))
    threshold = stats.t.isf(0.025, freedom)
    return float(
        stats.nct.sf(threshold, freedom, shift) + stats.nct.cdf(-threshold, freedom, shift)
    )


@pytest.mark.parametrize("count", [5, 10, 30])
def test_where_only_seeds_vary_it_is_nearly_the_power_of_a_t_test(count: int) -> None:
    # Nearly, as the larger of two estimates is taken: never above, and less so with more seeds.
    found, expected = outlook(MADE, count).power(0.02), t_test_power(0.02, 0.02, count)
    assert expected - 0.1 < found <= expected + 0.01


def test_with_any_number_of_seeds_only_examples_are_left() -> None:
    floor = replace(MADE, floor=0.01**2)
    best = outlook(floor, math.inf)
    shift = 3.0
    threshold = stats.t.isf(0.025, 399)
    assert best.power(0.03) == pytest.approx(stats.norm.sf(threshold - shift), abs=1e-6)
    assert best.resolvable(0.8) == pytest.approx(
        (threshold + stats.norm.isf(0.2)) * 0.01, rel=1e-4
    )
    # So many seeds that they do not matter are as good.
    assert outlook(floor, 100_000).power(0.03) == pytest.approx(best.power(0.03), abs=0.003)
    assert outlook(MADE, math.inf).power(0.001) == 1


def test_what_is_needed_is_the_fewest() -> None:
    floor = replace(MADE, floor=0.005**2)
    count = needed(floor, 0.02, 0.8)
    assert count is not None
    assert outlook(floor, count).power(0.02) >= 0.8 > outlook(floor, count - 1).power(0.02)
    assert outlook(floor, count).resolvable(0.8) == pytest.approx(0.02, rel=0.05)
    assert needed(floor, 0.5, 0.8) == 2
    # 2.8 standard errors of 0.5 points: with less, no number of seeds will do.
    assert needed(floor, 0.013, 0.8) is None
    assert needed(floor, 0.0145, 0.8) is not None
    assert needed(replace(floor, between=(1.0, 1.0)), 0.0145, 0.8) is None  # too many


def test_the_range_is_the_chi_square_interval_of_the_variance() -> None:
    low, high = MADE.range()
    # scipy: of four degrees of freedom, 0.484 and 11.143.
    ends = stats.chi2.ppf([0.975, 0.025], 4)
    assert [low.between[0], high.between[1]] == pytest.approx(0.0004 * 4 / ends)
    assert (low.usual, high.usual) == (low.between[0], high.between[0])
    # Never less than chance answers alone make.
    assert replace(MADE, by_chance=(0.0003, 0.0)).range()[0].between[0] == 0.0003


def test_the_range_has_the_noise_of_examples_up_to_its_ceiling() -> None:
    low, high = replace(MADE, floor=0.002**2, ceiling=0.01**2).range()
    assert (low.floor, high.floor) == (0.002**2, 0.01**2)


def test_what_is_found_by_chance_so_often_is_no_difference() -> None:
    level = replace(MADE, floor=0.01**2)
    # What the test finds where there is nothing.
    false = outlook(level, 2).power(0)
    assert outlook(level, 2).resolvable(0.9 * false) == 0
    assert outlook(level, 2).resolvable(1.1 * false) > 0
    assert outlook(level, math.inf).resolvable(0.049) == 0


def test_pilots_promise_no_seeds_for_sure_where_none_will_do() -> None:
    setting = Setting(rows=6, examples=96, luck=0.03, gain=0.02, taste=0.1)
    # With 60 seeds each, F is known: any number of seeds has a power of 64 % here.
    promised = 0
    for at in range(30):
        found = pilot(
            measured(table(setting, at), ["accuracy"], resamples=500)["accuracy"], "row0", "row1"
        )
        promised += needed(found, 0.02, 0.8) is not None
        assert needed(found.range()[1], 0.02, 0.8) is None
    assert promised > 8  # of the estimates alone


def test_a_pair_that_does_not_vary_is_no_pilot() -> None:
    answers = table(Setting(rows=2, seeds=2), 0)
    same = {"a": answers["row0"], "b": answers["row0"]}
    with pytest.raises(ValueError, match="varies over resamples of the test examples, but that"):
        pilot(measured(same, ["accuracy"], resamples=50)["accuracy"], "a", "b")


def test_a_pilot_is_the_test_at_its_own_seeds() -> None:
    methods = table(Setting(rows=2, luck=0.1), 3)
    of = measured(methods, ["accuracy"], resamples=500)["accuracy"]
    found = pilot(of, "row0", "row1")
    assert found.difference == of.difference("row0", "row1")
    of_row1 = of.seeds["row1"]
    assert found.between[1] == of_row1.between.value > of_row1.by_chance == found.by_chance[1]
    examples = of.of_examples("row0", "row1", (0, 1, 2)).value
    assert found.floor + sum(found.by_chance) / 3 == pytest.approx(examples)
    assert found.ceiling == examples
    assert (found.num_examples, found.others) == (439, ())
    more = measured(table(Setting(rows=5), 3), ["accuracy"], resamples=50)["accuracy"]
    assert pilot(more, "row4", "row2").others == (2, 2, 2)


def test_seeds_that_agree_entirely_are_a_pilot_all_the_same() -> None:
    same = {
        key: replace(method, guesses=method.guesses[:1] * 2, seeds=(0, 1))
        for key, method in table(Setting(rows=2, examples=256), 0).items()
    }
    found = pilot(measured(same, ["accuracy"], resamples=50)["accuracy"], "row0", "row1")
    assert found.floor == found.ceiling > 0
    assert (found.between, found.freedom) == ((0, 0), 2)
    assert [one.between for one in found.range()] == [(0, 0), (0, 0)]
    assert needed(found, 0.5, 0.8) == 2
    assert outlook(found, 2).resolvable(0.8) == outlook(found, 9).resolvable(0.8) > 0


def test_one_shared_seed_is_no_pilot() -> None:
    methods = table(Setting(rows=2), 0)
    methods["row1"] = replace(methods["row1"], seeds=(2, 3, 4))
    of = measured(methods, ["accuracy"], resamples=50)["accuracy"]
    with pytest.raises(ValueError, match=r"at least 2 seeds .* 'row0' and 'row1' share 1"):
        pilot(of, "row0", "row1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("luck", "gain", "rows"), [(0.1, 0.05, 2), (0.2, 0.09, 2), (0.1, 0.06, 6)]
)
def test_the_promised_power_holds(luck: float, gain: float, rows: int) -> None:
    # What is to be known of seeds and examples, from pilots that are large enough to know it.
    setting = Setting(rows=rows, luck=luck, gain=gain)
    made = []
    for number in range(40):
        methods = table(replace(setting, seeds=30), number)
        of = measured(methods, ["accuracy"], resamples=300)["accuracy"]
        made.append(pilot(of, "row0", "row1"))
    truth = replace(
        made[0],
        floor=float(np.mean([one.floor for one in made])),
        between=tuple(np.mean([one.between for one in made], 0)),
        by_chance=tuple(np.mean([one.by_chance for one in made], 0)),
        usual=float(np.mean([one.usual for one in made])),
    )
    count = needed(truth, gain, 0.8)
    assert count is not None
    truth = replace(truth, others=(count - 1.0,) * (rows - 2))
    promised = outlook(truth, count).power(gain)
    found = calls(replace(setting, seeds=count), 600).first_pair
    print(f"{setting}: {count} seeds, promised {promised:.3f}, found {found:.3f}")
    assert found == pytest.approx(promised, abs=0.05)
