"""What training with another seed changes of a method's metric, estimated without its luck twice.

The metric of seed s on the N test examples is, around the method's own, z_s + u_s: z_s is what
the trained model is better or worse by on all examples (variance s_s^2), u_s what it answers by
chance to single ones, averaged over them (variance s_es^2 / N). The variance between the metrics
of n seeds estimates s_s^2 + s_es^2 / N. A bootstrap over examples has s_es^2 / (N n) of the mean
over seeds as well, so that it is taken off here: resamples show it as what the metrics of single
seeds move apart by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Numbers = NDArray[np.float64]


class Variance(NamedTuple):
    """An estimate and its degrees of freedom."""

    value: float
    freedom: float

    def half_width(self, level: float) -> float:
        """Of Student's interval for a mean with this variance, which misses it at `level`."""
        return -float(special.stdtrit(self.freedom, level / 2)) * math.sqrt(self.value)


class Seeds(NamedTuple):
    """How the metrics of a method's seeds deviate from each other."""

    between: Variance
    """As they are, chance answers included; without degrees of freedom for a single seed."""
    by_chance: float
    """The part of it that chance answers to single examples make: s_es^2 / N."""


def spread(found: Numbers, resampled: Numbers) -> Seeds:
    """From the metrics (n,) of a method's seeds, and those (R, n) on resampled examples.

    On a resample the seeds' distances from their mean vary by (1 - 1/n) s_es^2 / N around those
    on all examples, whatever the seeds' own quality and the hardness of what was drawn.
    """
    count = len(found)
    if count < 2:
        return Seeds(between=Variance(0.0, 0), by_chance=0.0)
    apart = resampled - resampled.mean(1, keepdims=True)
    return Seeds(
        between=Variance(float(found.var(ddof=1)), count - 1),
        by_chance=float(apart.var(0, ddof=1).mean()) * count / (count - 1),
    )


def usual(methods: Sequence[Seeds]) -> Variance:
    """The variance between seeds that is usual among methods: robustly, by their median.

    One method with a collapsed run must not decide over the others, which it does with a mean.
    A variance of d degrees of freedom is s^2 times chi-square / d, whose median m lies below 1
    (log 2 for three seeds); each is divided by its m. The median of k such numbers has the
    variance 1 / (4 k f^2), where f is the density at the median, here 1 / m times that of
    chi-square / d; what has v degrees of freedom has the variance 2 / v. Hence v is 8 f^2 summed
    over the methods, about one for each method with three seeds, where a mean would have two. Of
    few methods the result is too large on average, by 4 % of 18 methods with three seeds and by
    20 % of three. Of two methods the median is their mean, which needs no correction.
    """
    between = [method.between for method in methods if method.between.freedom]
    if len(between) < 3:
        freedom = sum(variance.freedom for variance in between)
        total = sum(variance.value * variance.freedom for variance in between)
        return Variance(total / freedom if freedom else 0.0, freedom)
    scaled, freedom = [], 0.0
    for value, d in between:
        median, density = _at_median(d)
        scaled.append(value / median)
        freedom += 8 * (median * density) ** 2
    return Variance(float(np.median(scaled)), freedom)


@cache
def _at_median(freedom: float) -> tuple[float, float]:
    """The median of chi-square / d, of d degrees of freedom, and its density there."""
    median = float(stats.chi2.median(freedom))
    return median / freedom, freedom * float(stats.chi2.pdf(median, freedom))


def of_mean(own: Seeds, pool: Variance, count: int) -> Variance:
    """What seeds add to the variance of a mean over `count` of them, beside the bootstrap's.

    The method's own variance or the usual one, whichever is larger, less what is by chance: with
    what is left, fewer degrees of freedom are, as the noise of the variance stays.
    """
    larger = own.between if own.between.value > pool.value else pool
    left = max(0.0, larger.value - own.by_chance)
    if not left:
        return Variance(0.0, 0)
    return Variance(left / count, larger.freedom * (left / larger.value) ** 2)


def added(terms: Sequence[Variance]) -> Variance:
    """The sum of independent variances, with the degrees of freedom of Welch and Satterthwaite."""
    total = sum(term.value for term in terms)
    own = sum(term.value**2 / term.freedom for term in terms if term.value > 0)
    return Variance(total, total**2 / own if own else math.inf)
