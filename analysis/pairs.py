"""Whether two methods differ, by what their trials answered to the same test examples.

Each method was trained with several seeds, and each of its trials answered every test example. The
question is about methods, on other examples and with other seeds, so that both bring noise:

- *Examples*: the metric of every trial is computed on resamples of the test examples (with
  replacement, as many as there are). A resample is of the same examples for both methods and all
  seeds: what makes an example hard for both does not count, and answers of several seeds to one
  example are not taken for several examples. The variance over resamples of the difference between
  the methods' means over seeds is V_e.
- *Seeds*, nested in methods: seed 0 of one has nothing in common with seed 0 of another. The
  variance between a method's seeds over their number is V_a or V_b. Of three seeds it is often
  small by chance, and is therefore taken to be at least the mean of all methods' variances. With
  one seed each there is none: then interval and test are about the trained models only.

The squared standard error is V_e + V_a + V_b, with the degrees of freedom of Welch and
Satterthwaite; interval and p are Student's. V_a and V_b also contain what a trial answers by
chance, which is in V_e as well: the test errs towards no difference. Only seeds that both methods
have are used, as in the tables' differences.

Tests of the examples alone (McNemar, sign flips, the bootstrap by itself) also tell apart methods
that differ by their seeds only: with three seeds whose accuracies deviate by 2 points, one
comparison in six of equal methods on 450 examples, and four in five on 20,000. p is a smooth
function, not a count of resamples, so that it can be adjusted for many pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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


class Variance(NamedTuple):
    """An estimate and its degrees of freedom."""

    value: float
    freedom: int


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
    usual = _pooled([found[[at[key, seed] for seed in methods[key].seeds]] for key in methods])
    resampled = _ratio(*_resampled(hits, sizes))  # (R, columns)
    told = {}
    for first, second in pairs:
        if first not in methods or second not in methods:
            continue
        seeds = tuple(seed for seed in methods[first].seeds if (second, seed) in at)
        if not seeds:
            continue
        ours, theirs = ([at[key, seed] for seed in seeds] for key in (first, second))
        told[first, second] = _difference(
            seeds,
            found[ours],
            found[theirs],
            Variance(
                float((resampled[:, ours] - resampled[:, theirs]).mean(1).var(ddof=1)),
                len(hits) - 1,
            ),
            usual,
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


def _pooled(by_seed: Sequence[Counts]) -> Variance:
    """The mean variance between the seeds of a method, from the metrics of each method's."""
    several = [values for values in by_seed if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum(float(values.var(ddof=1)) * (len(values) - 1) for values in several)
    return Variance(squares / freedom if freedom else 0.0, freedom)


def _difference(
    seeds: tuple[int, ...], ours: Counts, theirs: Counts, of_examples: Variance, usual: Variance
) -> Difference:
    """From the metrics of two methods by seed (S,)."""
    terms = [of_examples]
    for by_seed in (ours, theirs):
        own = _pooled([by_seed])
        larger = own if own.value > usual.value else usual
        terms.append(Variance(larger.value / len(seeds), larger.freedom))
    total = sum(term.value for term in terms)
    spread = sum(term.value**2 / term.freedom for term in terms if term.value > 0)
    return Difference(
        seeds=seeds,
        mean=float((ours - theirs).mean()),
        standard_error=math.sqrt(total),
        freedom=total**2 / spread if spread else math.inf,
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
