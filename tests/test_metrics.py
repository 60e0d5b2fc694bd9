"""Metrics against confusion matrices worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from mi2p.metrics import (
    CANDIDATES,
    predicted,
    primary,
    score,
    tuned_scores,
    tuned_threshold,
)


def certain(*classes: int, num_classes: int) -> NDArray[np.float32]:
    """Probabilities that predict these classes."""
    return np.eye(num_classes, dtype=np.float32)[list(classes)] * 0.8 + 0.05


def test_single_label_by_hand() -> None:
    # guessed:  0  1  2  3     F1
    # is 0      1  1  0  0     TP 1, FP 1, FN 1: 2 / 4
    # is 1      0  2  0  0     TP 2, FP 1, FN 0: 4 / 5
    # is 2      1  0  0  0     TP 0: 0
    # is 3      -  -  -  -     neither there nor guessed: 0, and it counts in the macro mean
    labels = np.array([0, 0, 1, 1, 2])
    found = score(certain(0, 1, 1, 1, 0, num_classes=4), labels, multilabel=False)
    assert found == {
        "accuracy": pytest.approx(3 / 5),
        "macro_f1": pytest.approx((1 / 2 + 4 / 5 + 0 + 0) / 4),
        "weighted_f1": pytest.approx((2 * 1 / 2 + 2 * 4 / 5 + 1 * 0) / 5),
    }


def test_a_perfect_guess_of_fewer_classes_is_not_a_perfect_macro() -> None:
    found = score(certain(0, 2, num_classes=4), np.array([0, 2]), multilabel=False)
    assert found == {"accuracy": 1.0, "macro_f1": 0.5, "weighted_f1": 1.0}


def test_all_wrong_is_zero_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    found = score(certain(1, 1, num_classes=2), np.array([0, 0]), multilabel=False)
    assert found == {"accuracy": 0.0, "macro_f1": 0.0, "weighted_f1": 0.0}
    assert not list(recwarn)


LABELS = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
GUESSES = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]])


def test_multi_label_by_hand() -> None:
    # label   TP FP FN   F1
    # 0        1  0  1   2/3
    # 1        2  0  0   1
    # 2        0  1  1   0
    # 3        0  0  0   0, neither there nor guessed
    # all      3  1  2   6/9: an example without labels and guesses adds nothing
    found = score(GUESSES * 0.8 + 0.1, LABELS, multilabel=True)
    assert found == {
        "macro_f1": pytest.approx((2 / 3 + 1 + 0 + 0) / 4),
        "micro_f1": pytest.approx(6 / 9),
    }
    without = score(GUESSES[[0, 1, 3]] * 0.8 + 0.1, LABELS[[0, 1, 3]], multilabel=True)
    assert without["micro_f1"] == found["micro_f1"]


def test_indicators_may_be_floats() -> None:
    # Training keeps them as float32, for the loss.
    as_float = score(GUESSES * 0.8 + 0.1, LABELS.astype(np.float32), multilabel=True)
    assert as_float == score(GUESSES * 0.8 + 0.1, LABELS, multilabel=True)


def test_nothing_guessed_and_nothing_there_is_zero(recwarn: pytest.WarningsRecorder) -> None:
    nothing = np.zeros((2, 3), np.int64)
    found = score(nothing + 0.1, nothing, multilabel=True)
    assert found == {"macro_f1": 0.0, "micro_f1": 0.0}
    assert not list(recwarn)


def test_a_label_is_predicted_above_one_half() -> None:
    probabilities = np.array([[0.5, 0.51, 0.49]])
    assert predicted(probabilities, multilabel=True).tolist() == [[0, 1, 0]]
    assert predicted(probabilities, multilabel=False).tolist() == [1]


def test_the_metric_that_chooses_is_among_the_scores() -> None:
    assert primary(multilabel=False) in score(
        certain(0, num_classes=2), np.array([0]), multilabel=False
    )
    assert primary(multilabel=True) in score(GUESSES * 1.0, LABELS, multilabel=True)
    assert (primary(multilabel=False), primary(multilabel=True)) == ("accuracy", "micro_f1")


def test_a_threshold_by_hand() -> None:
    # Sorted: .9 is one, .7 not, .4 is one, .2 is one, .1 not. F1 of the first n guessed:
    # n=1: 2/4, n=2: 2/5, n=3: 4/6, n=4: 6/7, n=5: 6/8. So between .1 and .2, nearest to .5.
    probabilities = np.array([[0.9, 0.7], [0.4, 0.2], [0.1, 0.0]])
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    assert tuned_threshold(probabilities, labels) == 0.19


def test_the_tuned_threshold_has_the_best_micro_f1() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (200, 5))
    probabilities = np.clip(0.35 * labels + 0.1 * rng.normal(size=labels.shape) + 0.2, 0, 1)
    scores = {
        t: f1_score(labels, probabilities > t, average="micro", zero_division=0)
        for t in CANDIDATES
    }
    found = tuned_threshold(probabilities, labels)
    assert scores[found] == max(scores.values()) > scores[0.5]


def test_among_equal_thresholds_one_half_wins() -> None:
    assert tuned_threshold(np.array([[0.9, 0.1]]), np.array([[1, 0]])) == 0.5
    assert tuned_threshold(np.array([[0.9, 0.1]]), np.array([[0, 0]])) == 0.5


def test_test_is_scored_at_the_threshold_of_validation() -> None:
    val = (np.array([[0.3, 0.1]]), np.array([[1, 0]]))  # between .1 and .3
    test = (np.array([[0.31, 0.28], [0.2, 0.9]]), np.array([[1, 0], [0, 0]]))
    found = tuned_scores(val, test)
    assert found["val/threshold"] == 0.29
    # Above .29: one hit and one false guess; label 0 is perfect, label 1 is 0.
    assert found["test/micro_f1_tuned"] == pytest.approx(2 / 3)
    assert found["test/macro_f1_tuned"] == pytest.approx(1 / 2)
