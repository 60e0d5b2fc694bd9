"""Classification metrics of the paper (section 4.1), over a whole split at once, as fractions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

THRESHOLD = 0.5
"""A label of a multi-label example is predicted when its probability is above this."""


def predicted(probabilities: NDArray[np.floating], *, multilabel: bool) -> NDArray[np.int64]:
    """Class indices (N,), or 0/1 indicators (N, K) when several labels may hold."""
    if multilabel:
        return np.asarray(probabilities > THRESHOLD, np.int64)
    return np.asarray(probabilities.argmax(1), np.int64)


def score(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, multilabel: bool
) -> dict[str, float]:
    """Metrics of probabilities (N, K) against labels (N,) indices or (N, K) indicators.

    Single label: `accuracy`, `macro_f1` over all K classes (0 for a class that is neither there
    nor predicted), `weighted_f1`. Multi-label: `macro_f1`, `micro_f1`.
    """
    guesses = predicted(probabilities, multilabel=multilabel)
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


def primary(*, multilabel: bool) -> str:
    """The metric that chooses an epoch or a configuration, on validation."""
    return "micro_f1" if multilabel else "accuracy"
