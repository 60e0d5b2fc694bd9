"""Whether two methods differ, by what their trials answered to the same test examples.

Each method was trained with several seeds, and each of its trials answered every test example. The
question is about methods, on other examples and with other seeds, so that both bring noise:

- *Examples*: the metric of every trial is computed on resamples of the test examples (with
  replacement, as many as there are). A resample is of the same examples for both methods and all
  seeds: what makes an example hard for both does not count, and answers of several seeds to one
  example are not taken for several examples. The variance over resamples of the difference between
  the methods' means over seeds is V_e.
- *Seeds*, nested in methods: seed 0 of one has nothing in common with seed 0 of another. What
  another seed changes on all examples adds V_a and V_b (`analysis/seeds.py`): the variance
  between the method's seeds, without what their chance answers to single examples make of it
  (V_e has that), over their number. Of three seeds it is often small by chance, and is therefore
  taken to be at least what is usual among the methods, by their median. With one seed each there
  is none: then interval and test are about the trained models only.

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

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.seeds import Variance, of_mean, spread, usual
from mi2p.metrics import predicted

RESAMPLES = 4000
LEVEL = 0.05
CHUNK = 1 << 22
"""Numbers drawn at a time."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What the metric of a method's trials is made of: sum of `hits` over sum of `sizes`."""

    seeds: tuple[int, ...]
    hits: Counts
    """(N, S): per example and seed 1 if right or, of several labels, twice the true positives."""
    sizes: Counts
    """(N, S): 1 or, of several labels, how many are predicted plus how many hold."""


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
        """Of no difference, two-sided."""
        if self.standard_error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.mean) / self.standard_error, self.freedom))

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %."""
        half = float(stats.t.isf(LEVEL / 2, self.freedom)) * self.standard_error
        return self.mean - half, self.mean + half


def answers(
    seeds: Sequence[int],
    probabilities: Sequence[NDArray[np.floating]],
    labels: NDArray[np.integer],
    *,
    multilabel: bool,
) -> Answers:
    """Of trials with these seeds: probabilities (N, K) each; labels (N,) or indicators (N, K)."""
    hits, sizes = [], []
    for given in probabilities:
        guesses = predicted(given, multilabel=multilabel)
        if multilabel:
            hits.append(2 * (guesses & labels).sum(1))
            sizes.append((guesses + labels).sum(1))
        else:
            hits.append(guesses == labels)
            sizes.append(np.ones(len(labels)))
    return Answers(
        seeds=tuple(seeds),
        hits=np.stack(hits, 1).astype(np.float64),
        sizes=np.stack(sizes, 1).astype(np.float64),
    )


def differences(
    methods: Mapping[str, Answers], pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Difference]:
    """The difference of each pair of keys of `methods` that shares a seed; others are left out."""
    if not methods:
        return {}
    hits = np.concatenate([method.hits for method in methods.values()], 1)
    sizes = np.concatenate([method.sizes for method in methods.values()], 1)
    columns = [(key, seed) for key, method in methods.items() for seed in method.seeds]
    at = {column: i for i, column in enumerate(columns)}
    found = _ratio(hits.sum(0), sizes.sum(0))  # (columns,)
    resampled = _ratio(*_resampled(hits, sizes))  # (R, columns)
    of_seeds = {}
    for key, method in methods.items():
        mine = [at[key, seed] for seed in method.seeds]
        of_seeds[key] = spread(found[mine], resampled[:, mine])
    pool = usual(list(of_seeds.values()))
    told = {}
    for first, second in pairs:
        if first not in methods or second not in methods:
            continue
        seeds = tuple(seed for seed in methods[first].seeds if (second, seed) in at)
        if not seeds:
            continue
        ours, theirs = ([at[key, seed] for seed in seeds] for key in (first, second))
        moved = (resampled[:, ours] - resampled[:, theirs]).mean(1)
        told[first, second] = _difference(
            seeds,
            float((found[ours] - found[theirs]).mean()),
            [
                Variance(float(moved.var(ddof=1)), len(hits) - 1),
                of_mean(of_seeds[first], pool, len(seeds)),
                of_mean(of_seeds[second], pool, len(seeds)),
            ],
        )
    return told


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted so that the chance of any false rejection stays below the level (Holm)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _difference(seeds: tuple[int, ...], mean: float, terms: Sequence[Variance]) -> Difference:
    """From independent variances, whose sum is the squared standard error."""
    total = sum(term.value for term in terms)
    own = sum(term.value**2 / term.freedom for term in terms if term.value > 0)
    return Difference(
        seeds=seeds,
        mean=mean,
        standard_error=math.sqrt(total),
        freedom=total**2 / own if own else math.inf,
    )


def _resampled(hits: Counts, sizes: Counts) -> tuple[Counts, Counts]:
    """Sums (R, columns) over resamples of the examples; the same ones at every call."""
    size, columns = hits.shape
    both = np.concatenate([hits, sizes], 1)
    generator = np.random.default_rng(0)
    sums = []
    for start in range(0, RESAMPLES, step := max(1, CHUNK // size)):
        count = min(step, RESAMPLES - start)
        drawn = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
        # How often each example is in each resample; whole numbers, so that sums are exact.
        times = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        sums.append(times @ both)
    made = np.concatenate(sums)
    return made[:, :columns], made[:, columns:]


def _ratio(hits: Counts, sizes: Counts) -> Counts:
    """0 where nothing was to be found, as `mi2p.metrics.score` has it."""
    return np.divide(hits, sizes, out=np.zeros_like(hits), where=sizes > 0)
