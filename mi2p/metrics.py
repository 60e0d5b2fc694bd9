"""Classification metrics of the paper (section 4.1), over a whole split at once, as fractions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

Labels = NDArray[np.integer] | NDArray[np.floating]
"""Class indices (N,), or 0/1 indicators (N, K)."""

THRESHOLD = 0.5
"""A label of a multi-label example is predicted when its probability is above this."""


CANDIDATES = tuple(i / 100 for i in range(1, 100))
"""Thresholds among which one is tuned."""


def predicted(
    probabilities: NDArray[np.floating], *, multilabel: bool, threshold: float = THRESHOLD
) -> NDArray[np.int64]:
    """Class indices (N,), or 0/1 indicators (N, K) when several labels may hold."""
    if multilabel:
        return np.asarray(probabilities > threshold, np.int64)
    return np.asarray(probabilities.argmax(1), np.int64)


def score(
    probabilities: NDArray[np.floating],
    labels: Labels,
    *,
    multilabel: bool,
    threshold: float = THRESHOLD,
) -> dict[str, float]:
    """Metrics of probabilities (N, K) against labels (N,) indices or (N, K) indicators.

    Single label: `accuracy`, `macro_f1` over all K classes (0 for a class that is neither there
    nor predicted), `weighted_f1`. Multi-label: `macro_f1`, `micro_f1`.
    """
    guesses = predicted(probabilities, multilabel=multilabel, threshold=threshold)
    classes = np.arange(probabilities.shape[1])

    def f1(average: str) -> float:
        return float(f1_score(labels, guesses, labels=classes, average=average, zero_division=0))

    if multilabel:
        return {"macro_f1": f1("macro"), "micro_f1": f1("micro")}
    return {
        "accuracy": float((guesses == labels).mean()),
        "macro_f1": f1("macro"),
        "weighted_f1": f1("weighted"),
    }


def tuned_threshold(probabilities: NDArray[np.floating], labels: Labels) -> float:
    """The threshold, one for all labels, with the highest micro-F1; of several the nearest 0.5.

    For probabilities (N, K) against indicators (N, K) of validation; never of test.
    """
    truth = labels.astype(bool)

    def micro_f1(threshold: float) -> float:
        guesses = probabilities > threshold
        hits = 2 * int((guesses & truth).sum())
        return hits / max(1, int(guesses.sum()) + int(truth.sum()))

    return max(CANDIDATES, key=lambda t: (micro_f1(t), -abs(t - THRESHOLD)))


def tuned_scores(
    val: tuple[NDArray[np.floating], Labels],
    test: tuple[NDArray[np.floating], Labels],
) -> dict[str, float]:
    """Multi-label metrics of test at the threshold tuned on validation, as a trial's row has them.

    `val` and `test` are probabilities (N, K) and indicators (N, K).
    """
    threshold = tuned_threshold(*val)
    found = score(*test, multilabel=True, threshold=threshold)
    return {"val/threshold": threshold} | {
        f"test/{name}_tuned": value for name, value in found.items()
    }


def primary(*, multilabel: bool) -> str:
    """The metric that chooses an epoch or a configuration, on validation."""
    return "micro_f1" if multilabel else "accuracy"
