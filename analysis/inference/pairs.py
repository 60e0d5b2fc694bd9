"""Whether two methods differ, by what their trials answered to the same test examples.

Each method was trained with several seeds, and each of its trials answered every test example. The
question is about methods, on other examples and with other seeds, so that both bring noise:

- *Examples*: the metric of every trial is computed on resamples of the test examples (with
  replacement, as many as there are). A resample is of the same examples for both methods and all
  seeds: what makes an example hard for both does not count, and answers of several seeds to one
  example are not taken for several examples. The variance over resamples of the difference between
  the methods' means over seeds is V_e.
- *Seeds*, nested in methods: seed 0 of one has nothing in common with seed 0 of another. What
  another seed changes on all examples adds V_a and V_b (`analysis/inference/seeds.py`): the
  variance between the method's seeds, without what their chance answers to single examples make
  of it (V_e has that), over their number. Of three seeds it is often small by chance, and is
  therefore taken to be at least what is usual among the methods, by their median. With one seed
  each there is none: then interval and test are about the trained models only, and tables have
  no test (`Measured.of_methods`).

The squared standard error is V_e + V_a + V_b, with the degrees of freedom of Welch and
Satterthwaite (each for the variance before anything was taken off); interval and p are Student's.
Only seeds that both methods have are used, as in the tables' differences. Score fusion of the
models of the same seeds is taken to be as independent of them as any other method, which errs
towards no difference.

Measured on simulated tables of 18 equal methods at 70 % with 3 seeds and 439 examples (2000 pairs
each, half of them with the variances in closed form): at the level 0.05, 2 to 3.5 % of pairs are
told apart, whether seeds deviate by 0, 0.9, 1.9, 3 or 6 points beside chance answers, and 3 %
beside a bystander with a collapsed seed; 1.7 % when most of what methods disagree about is
chance. Where one method of the pair is the only unstable one, with a deviation three times that
of the others, it is 5 %; of six times, 8 %. A gain of 6 points is found in 87 % of pairs with a
deviation of 0.9 points, in 65 % with 1.9. Taking the larger of two variances makes the test err
towards no difference where all methods are alike; taking the usual one alone would find an
unstable method to differ in 18 to 36 %.

Tests of the examples alone (McNemar, sign flips, the bootstrap by itself) also tell apart methods
that differ by their seeds only: with three seeds whose accuracies deviate by 2 points, one
comparison in six of equal methods on 450 examples, and four in five on 20,000. p is a smooth
function, not a count of resamples, so that it can be adjusted for many pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scipy import special

from analysis.inference.resampling import RESAMPLES, Answers, Values, values
from analysis.inference.seeds import Seeds, Variance, added, of_mean, spread, usual

LEVEL = 0.05

Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A method's metric minus another's, as fractions."""

    seeds: tuple[int, ...]
    """Those that both have."""
    mean: float
    standard_error: float
    freedom: float
    """Degrees of freedom."""

    @property
    def p(self) -> float:
        """Of no difference, two-sided; 1 if resamples do not vary, which tells nothing."""
        if self.standard_error == 0:
            return 1.0
        return 2 * float(special.stdtr(self.freedom, -abs(self.mean) / self.standard_error))

    @property
    def half_width(self) -> float:
        """Of the interval: the smallest difference that is told apart at `LEVEL`."""
        return Variance(self.standard_error**2, self.freedom).half_width(LEVEL)

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %; no metrics differ by more than 1."""
        return max(-1.0, self.mean - self.half_width), min(1.0, self.mean + self.half_width)


Pairs = Mapping[tuple[str, str], Difference]
"""By the keys of two methods."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A metric of methods that are compared, with what other examples and seeds make of it."""

    values: Values
    at: Mapping[str, Mapping[int, int]]
    """Method to seed to the place in `values`."""
    freedom: int
    """Degrees of freedom of a variance over examples."""
    seeds: Mapping[str, Seeds]
    """How the seeds of each method deviate."""
    usual: Variance
    """What is usual among methods between seeds."""

    @property
    def of_methods(self) -> bool:
        """Whether a method has two seeds, so that it is known what other seeds change."""
        return self.usual.freedom > 0

    def mean(self, key: str) -> float:
        """Of a method over its seeds."""
        return float(self.values.found[list(self.at[key].values())].mean())

    def variance(self, key: str) -> Variance:
        """Of that mean: the squared standard error."""
        places = list(self.at[key].values())
        means = self.values.resampled[:, places].mean(1)
        of_examples = Variance(float(means.var(ddof=1)), self.freedom)
        return added([of_examples, self._of_seeds(key, len(places))])

    def difference(self, first: str, second: str) -> Difference | None:
        """Of two methods; None if they share no seed."""
        seeds = tuple(seed for seed in self.at[first] if seed in self.at[second])
        if not seeds:
            return None
        ours, theirs = ([self.at[key][seed] for seed in seeds] for key in (first, second))
        found = self.values.found
        of_seeds = (self._of_seeds(key, len(seeds)) for key in (first, second))
        total = added([self.of_examples(first, second, seeds), *of_seeds])
        return Difference(
            seeds=seeds,
            mean=float((found[ours] - found[theirs]).mean()),
            standard_error=math.sqrt(total.value),
            freedom=total.freedom,
        )

    def of_examples(self, first: str, second: str, seeds: Sequence[int]) -> Variance:
        """What other examples make of the difference between means over these seeds (V_e)."""
        ours, theirs = ([self.at[key][seed] for seed in seeds] for key in (first, second))
        resampled = self.values.resampled
        moved = (resampled[:, ours] - resampled[:, theirs]).mean(1)
        return Variance(float(moved.var(ddof=1)), self.freedom)

    def _of_seeds(self, key: str, count: int) -> Variance:
        return of_mean(self.seeds[key], self.usual, count)


def measured(
    methods: Mapping[str, Answers], metrics: Sequence[str], *, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """By metric; nothing of no methods. `ValueError` for a metric that cannot be resampled."""
    if not methods:
        return {}
    at, size = {}, 0
    for key, method in methods.items():
        at[key] = {seed: size + i for i, seed in enumerate(method.seeds)}
        size += len(method.seeds)
    examples = next(iter(methods.values())).num_examples
    made = {}
    for metric, of in values(methods, metrics, resamples=resamples).items():
        seeds = {}
        for key in methods:
            places = list(at[key].values())
            seeds[key] = spread(of.found[places], of.resampled[:, places])
        made[metric] = Measured(
            values=of,
            at=at,
            freedom=examples - 1,
            seeds=seeds,
            usual=usual(list(seeds.values())),
        )
    return made


def differences(
    methods: Mapping[str, Answers], pairs: Sequence[tuple[str, str]], metric: str
) -> dict[tuple[str, str], Difference]:
    """The difference of each pair of keys of `methods` that shares a seed; others are left out."""
    there = [pair for pair in pairs if methods.keys() >= set(pair)]
    if not there:
        return {}
    of = measured(methods, [metric])[metric]
    found = {pair: of.difference(*pair) for pair in there}
    return {pair: difference for pair, difference in found.items() if difference is not None}


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted so that the chance of any false rejection stays below the level (Holm)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def holm_jointly(families: Sequence[Mapping[Key, float]]) -> list[dict[Key, float]]:
    """The p of several families, adjusted as those of one."""
    adjusted = iter(holm([p for family in families for p in family.values()]))
    return [{key: next(adjusted) for key in family} for family in families]
