"""Metrics of trials on resamples of the test examples, by counting.

A resample has as many examples as the test split, drawn from it with replacement. How often each
example is in it, times who predicted which class of it, gives the counts that every metric of
`mi2p.metrics.score` is made of: of each class the predictions that are right, all predictions, and
the examples that have it. Of all trials at once that is a product of a sparse matrix, with an
entry for each prediction, and the resamples. Counts are whole numbers, so that sums are exact.

On a resample without a class that nobody predicts there, its F1 is 0, as in `score`. A class of
few examples is therefore missed by some resamples, which moves macro-F1 down there for all rows
alike: an interval of macro-F1 errs to the wide side then, a paired difference hardly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mi2p.metrics import predicted

RESAMPLES = 4000
CHUNK = 1 << 20
"""Counts that are made at a time; more are slower, as they leave the processor's cache."""
SINGLE_LABEL = ("accuracy", "macro_f1", "weighted_f1")
MULTILABEL = ("macro_f1", "micro_f1")
SUMMED = ("accuracy", "micro_f1")
"""Metrics that need no counts of single classes."""

Counts = NDArray[np.int32]
Places = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a method's trials answered to the test examples."""

    seeds: tuple[int, ...]
    guesses: tuple[Places, ...]
    """Of each seed the classes that are predicted, as places in (K, N) that is read by rows."""
    labels: Places
    """The classes that examples have, likewise."""
    num_examples: int
    num_classes: int
    multilabel: bool

    @property
    def wrong(self) -> NDArray[np.int64]:
        """(S, N): of how many classes a seed says wrongly whether an example has them.

        Of one label that is 0, or 2: the class that it has, and the one that is predicted.
        """
        size = self.num_examples
        apart = [np.setxor1d(guess, self.labels, assume_unique=True) for guess in self.guesses]
        return np.stack([np.bincount(places % size, minlength=size) for places in apart])


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """A metric of trials, in the order of methods and of their seeds."""

    found: Numbers
    """(T,): on the test examples."""
    resampled: Numbers
    """(R, T): on each resample."""


def answers(
    seeds: Sequence[int],
    probabilities: Sequence[NDArray[np.floating]],
    labels: NDArray[np.integer],
    *,
    multilabel: bool,
) -> Answers:
    """Of trials with these seeds: probabilities (N, K) each; labels (N,) or indicators (N, K)."""
    guesses = (predicted(given, multilabel=multilabel) for given in probabilities)
    return Answers(
        seeds=tuple(seeds),
        guesses=tuple(map(_places, guesses)),
        labels=_places(labels),
        num_examples=len(labels),
        num_classes=probabilities[0].shape[1],
        multilabel=multilabel,
    )


def legal(*, multilabel: bool) -> tuple[str, ...]:
    """The metrics that can be resampled, which are those of `mi2p.metrics.score`."""
    return MULTILABEL if multilabel else SINGLE_LABEL


def values(
    methods: Mapping[str, Answers], metrics: Sequence[str], *, resamples: int = RESAMPLES
) -> dict[str, Values]:
    """Each metric of all trials of `methods`, which answered the same examples.

    The resamples are the same ones at every call. `ValueError` for a metric that `score` does
    not have.
    """
    first = next(iter(methods.values()))
    for metric in metrics:
        if metric not in (known := legal(multilabel=first.multilabel)):
            raise ValueError(f"metric must be one of {', '.join(known)}, but is {metric!r}")
    guesses = [guess for method in methods.values() for guess in method.guesses]
    stacked = _stacked(first, guesses, summed=set(metrics) <= set(SUMMED))
    every = np.ones((first.num_examples, 1), np.int32)
    found = _metrics(stacked @ every, len(guesses), metrics)
    chunks = [
        _metrics(stacked @ times, len(guesses), metrics)
        for times in _times(first.num_examples, stacked.shape[0], resamples)
    ]
    return {
        metric: Values(
            found=found[metric][:, 0],
            resampled=np.concatenate([chunk[metric] for chunk in chunks], 1).T,
        )
        for metric in metrics
    }


def _places(of: NDArray[np.integer]) -> Places:
    """In (K, N), of classes (N,) or indicators (N, K)."""
    if of.ndim == 2:
        return np.flatnonzero(of.T)
    return np.asarray(of, np.int64) * len(of) + np.arange(len(of))


def _stacked(first: Answers, guesses: Sequence[Places], *, summed: bool) -> Any:
    """Sparse (K + 2 T K, N): labels, what is right in each of T guesses, and the guesses.

    `summed` makes one row of all K classes, which counts an example as often as it has entries.
    """
    size, classes = first.num_examples, first.num_classes
    held = np.zeros(size * classes, np.bool_)
    held[first.labels] = True
    blocks = [first.labels, *(guess[held[guess]] for guess in guesses), *guesses]
    lengths = [len(block) for block in blocks]
    places = np.concatenate(blocks)
    block = np.repeat(np.arange(len(blocks)), lengths)
    rows = block if summed else block * classes + places // size
    shape = (len(blocks) * (1 if summed else classes), size)
    ones = np.ones(len(places), np.int32)
    return sparse.csr_array((ones, (rows, places % size)), shape=shape)


def _times(size: int, counted: int, resamples: int) -> Iterator[Counts]:
    """(N, r): how often each example is in each of r resamples, until there are enough."""
    generator = np.random.default_rng(0)
    for start in range(0, resamples, step := max(1, CHUNK // max(size, counted))):
        count = min(step, resamples - start)
        drawn = generator.integers(size, size=(count, size))
        places = drawn * count + np.arange(count)[:, None]
        times = np.bincount(places.ravel(), minlength=size * count)
        yield times.reshape(size, count).astype(np.int32)


def _metrics(counts: Counts, trials: int, metrics: Sequence[str]) -> dict[str, Numbers]:
    """(T, r) of each metric from counts of labels, right and all predictions (K + 2 T K, r)."""
    classes = len(counts) // (1 + 2 * trials)
    held = counts[:classes]
    right, said = counts[classes:].reshape(2, trials, classes, -1)
    made = {}
    for metric in metrics:
        if metric == "accuracy":
            made[metric] = right.sum(1) / held.sum(0)
        elif metric == "micro_f1":
            made[metric] = _ratio(2 * right.sum(1), said.sum(1) + held.sum(0))
        elif metric == "macro_f1":
            made[metric] = _ratio(2 * right, said + held).mean(1)
        else:
            made[metric] = (_ratio(2 * right, said + held) * held).sum(1) / held.sum(0)
    return made


def _ratio(above: NDArray[np.integer], below: NDArray[np.integer]) -> Numbers:
    """0 where nothing was to be found, as `mi2p.metrics.score` has it."""
    found: Numbers = np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
    return found
