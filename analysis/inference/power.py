"""How many seeds the test of `pairs` needs to find a difference, from pilot trials.

Of n seeds each, the mean difference of two methods has the variance F + (B_1 + B_2) / n: B is the
variance between the seeds of a method, and F is what the choice of the test examples makes of the
difference, however many seeds there are. Both are estimated from the pilot: F is its V_e less
what chance answers make of it, B is the method's own (`analysis/inference/seeds.py`).

What n seeds will find is not known from F and B alone, as the test estimates B anew, takes the
larger of two estimates, and has few degrees of freedom. So variances are drawn as n seeds would
give them (chi-square), the test is made of each with the functions that it uses, and the chance
of its threshold being passed, by a normal mean, is averaged over the draws: they are the same
ones at every call. The other methods keep their pilot seeds.

Simulated (`tests/analysis/inference/test_power.py`): where F and B are known, powers of 80.5, 82.2
and 80.3 % that are promised are 81.0, 85.0 and 81.8 % of 600 tables each. A pilot of three seeds
does not know B: what is planned from it has a power of 78 to 81 % in the median, of 71 to 76 % on
average, and one plan in four less than 59 to 68 %, as its seeds happened to agree. In 93 to 98 %
the number that is truly needed is in `range`, whose largest end also takes F to be as large as it
may be: where no number of seeds would do, two pilots in five of three seeds promise one.

The more seeds, the nearer the variance is to F, and not below: a difference that F hides needs
more test examples. V_e of a metric goes down as one over their number. F is between 0, which is
taken where its estimate is lower, and the pilot's V_e.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from analysis.inference.pairs import LEVEL, Difference, Measured
from analysis.inference.seeds import Seeds, Variance, added, of_mean, usual

DRAWS = 400
MOST = 1000
"""More seeds than that are none."""


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What trials with a few seeds tell of two methods."""

    difference: Difference
    floor: float
    """F: the variance of the difference that no seed takes away."""
    ceiling: float
    """V_e of the pilot, which F is not above."""
    between: tuple[float, float]
    """B of each."""
    by_chance: tuple[float, float]
    """The part of B that chance answers to single examples make."""
    freedom: float
    """Degrees of freedom of the sum of both B."""
    usual: float
    """Variance between seeds that is usual among all methods."""
    others: tuple[float, ...]
    """Degrees of freedom of the other methods that are compared, and so of the usual."""
    num_examples: int

    def range(self) -> tuple[Pilot, Pilot]:
        """With the variance between seeds at the ends of its chi-square interval of 95 %.

        And, at the larger, with F at its ceiling.
        """
        low, high = (
            self.scaled(self.freedom / float(special.chdtri(self.freedom, tail)))
            for tail in (LEVEL / 2, 1 - LEVEL / 2)
        )
        return low, replace(high, floor=high.ceiling)

    def scaled(self, factor: float) -> Pilot:
        """With so many times the variance between seeds, but no less than there is by chance."""
        first, second = (
            max(factor * between, chance)
            for between, chance in zip(self.between, self.by_chance, strict=True)
        )
        return replace(self, between=(first, second), usual=factor * self.usual)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlook:
    """The test with so many seeds of each method, as it would turn out."""

    sd: float
    """Of the difference that is found."""
    thresholds: NDArray[np.float64]
    """(D,): above which the test calls it a difference, by its draws of variances."""

    def power(self, difference: float) -> float:
        """The chance that methods which differ by so much are told apart."""
        if not self.sd:
            return float((self.thresholds < abs(difference)).mean())
        above = special.ndtr((difference - self.thresholds) / self.sd)
        below = special.ndtr((-difference - self.thresholds) / self.sd)
        return float((above + below).mean())

    def resolvable(self, power: float) -> float:
        """The difference that is found with this power; 0 if none at all is found so often."""
        if self.power(0) >= power:
            return 0.0
        high = float(self.thresholds.max()) + 10 * self.sd
        if not high:
            return 0.0
        return float(optimize.brentq(lambda difference: self.power(difference) - power, 0, high))


def pilot(of: Measured, first: str, second: str) -> Pilot:
    """Of two methods.

    `ValueError` unless they share at least two seeds, and their difference varies over resamples.
    """
    difference = of.difference(first, second)
    if difference is None or len(difference.seeds) < 2:
        shared = len(difference.seeds) if difference else 0
        raise ValueError(
            "a pilot needs at least 2 seeds that both rows have, as a single one does not tell "
            f"what seeds change, but {first!r} and {second!r} share {shared}"
        )
    seeds = of.seeds[first], of.seeds[second]
    chance = seeds[0].by_chance, seeds[1].by_chance
    between = [max(own.between.value, own.by_chance) for own in seeds]
    total = added([own.between for own in seeds])
    examples = of.of_examples(first, second, difference.seeds).value
    if not examples:
        raise ValueError(
            "a pilot needs a difference that varies over resamples of the test examples, but that "
            f"of {first!r} and {second!r} does not: it tells nothing of their noise"
        )
    return Pilot(
        difference=difference,
        floor=max(0.0, examples - sum(chance) / len(difference.seeds)),
        ceiling=examples,
        between=(between[0], between[1]),
        by_chance=chance,
        # Of seeds that happen to agree entirely, too.
        freedom=min(total.freedom, sum(own.between.freedom for own in seeds)),
        usual=of.usual.value,
        others=tuple(
            own.between.freedom
            for key, own in of.seeds.items()
            if key not in (first, second) and own.between.freedom
        ),
        num_examples=of.freedom + 1,
    )


def outlook(pilot: Pilot, seeds: float) -> Outlook:
    """With so many seeds of each method, at least 2; with `math.inf` the best there is."""
    if math.isinf(seeds):
        floor = Variance(pilot.floor, pilot.num_examples - 1)
        return Outlook(sd=math.sqrt(floor.value), thresholds=np.array([floor.half_width(LEVEL)]))
    examples = pilot.floor + sum(pilot.by_chance) / seeds
    thresholds = []
    for methods in _drawn(pilot, seeds - 1):
        pool = usual(methods)
        of_seeds = [of_mean(own, pool, int(seeds)) for own in methods[:2]]
        total = added([Variance(examples, pilot.num_examples - 1), *of_seeds])
        thresholds.append(total.half_width(LEVEL))
    return Outlook(
        sd=math.sqrt(pilot.floor + sum(pilot.between) / seeds), thresholds=np.array(thresholds)
    )


def needed(pilot: Pilot, difference: float, power: float) -> int | None:
    """The fewest seeds of each method that find `difference` with this power.

    None if that is more than `MOST`, or none will do.
    """
    if outlook(pilot, math.inf).power(difference) < power:
        return None
    low, high = 1, 2
    while outlook(pilot, high).power(difference) < power:
        low, high = high, 2 * high
        if low >= MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if outlook(pilot, middle).power(difference) < power:
            low = middle
        else:
            high = middle
    return high if high <= MOST else None


def _drawn(pilot: Pilot, freedom: float) -> Iterator[list[Seeds]]:
    """How the seeds of all methods may turn out to deviate, of both first."""
    random = np.random.default_rng(0)
    true = [*pilot.between, *[pilot.usual] * len(pilot.others)]
    degrees = np.array([freedom, freedom, *pilot.others])
    chance = [*pilot.by_chance, *[0.0] * len(pilot.others)]
    for drawn in random.chisquare(degrees, (DRAWS, len(true))) / degrees * true:
        yield [
            Seeds(between=Variance(float(value), float(of)), by_chance=by)
            for value, of, by in zip(drawn, degrees, chance, strict=True)
        ]
