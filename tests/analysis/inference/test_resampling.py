"""Against `mi2p.metrics.score`, and so scikit-learn, on the resamples themselves."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.inference import resampling
from analysis.inference.resampling import Answers, answers, legal, values
from mi2p.metrics import score

KINDS = pytest.mark.parametrize("multilabel", [False, True])


def made_up(
    multilabel: bool, *, examples: int = 40, classes: int = 5, trials: int = 3, seed: int = 0
) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Probabilities of trials, and labels, of which the last class has none and one has few."""
    random = np.random.default_rng(seed)
    share = np.array([0.5, 0.3, 0.17, 0.03, 0.0])
    labels: Any = random.choice(classes, size=examples, p=share if classes == 5 else None)
    if multilabel:
        labels = (random.random((examples, classes)) < share).astype(np.int64)
    hot = labels if multilabel else np.eye(classes)[labels]
    return [0.6 * random.random(hot.shape) + 0.3 * hot for _ in range(trials)], labels


def drawn(size: int, resamples: int) -> NDArray[np.int64]:
    """The resamples, one after the other, as the module draws them."""
    return np.random.default_rng(0).integers(size, size=(resamples, size))


@KINDS
def test_every_metric_is_that_of_score_on_every_resample(multilabel: bool) -> None:
    given, labels = made_up(multilabel)
    methods = {
        "a": answers([0, 1], given[:2], labels, multilabel=multilabel),
        "b": answers([4], given[2:], labels, multilabel=multilabel),
    }
    metrics = legal(multilabel=multilabel)
    assert set(metrics) == set(score(given[0], labels, multilabel=multilabel))
    found = values(methods, metrics, resamples=30)
    for trial, probabilities in enumerate(given):
        whole = score(probabilities, labels, multilabel=multilabel)
        of_each = [
            score(probabilities[i], labels[i], multilabel=multilabel) for i in drawn(40, 30)
        ]
        for metric in metrics:
            assert found[metric].found[trial] == pytest.approx(whole[metric])
            expected = [one[metric] for one in of_each]
            np.testing.assert_allclose(found[metric].resampled[:, trial], expected)
            # Alone, counted over all classes at once where that will do, and in another order.
            alone = values(dict(reversed(methods.items())), [metric], resamples=30)[metric]
            np.testing.assert_array_equal(
                alone.resampled[:, (trial + 1) % 3], found[metric].resampled[:, trial]
            )


@KINDS
def test_resamples_do_not_depend_on_how_many_are_counted_at_a_time(
    multilabel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, labels = made_up(multilabel)
    methods = {"a": answers(range(3), given, labels, multilabel=multilabel)}
    before = values(methods, ["macro_f1"], resamples=50)["macro_f1"]
    monkeypatch.setattr(resampling, "CHUNK", 300)
    after = values(methods, ["macro_f1"], resamples=50)["macro_f1"]
    np.testing.assert_array_equal(after.resampled, before.resampled)


def test_what_is_wrong_is_counted_by_example() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    made = answers(
        [3, 5], [probabilities, 1 - probabilities], np.array([0, 1, 1]), multilabel=False
    )
    assert made.seeds == (3, 5)
    assert made.wrong.tolist() == [[0, 0, 2], [2, 2, 0]]
    labels = np.array([[1, 1], [0, 0], [0, 1]])
    several = answers([0], [probabilities], labels, multilabel=True)
    assert several.wrong.tolist() == [[1, 1, 2]]


def test_nothing_predicted_and_nothing_there_is_0() -> None:
    empty = answers([0], [np.zeros((5, 2))], np.zeros((5, 2), np.int64), multilabel=True)
    found = values({"a": empty}, ["macro_f1", "micro_f1"], resamples=3)
    assert {of.resampled.sum() for of in found.values()} == {0.0}


def test_a_metric_that_score_does_not_have_is_refused() -> None:
    given, labels = made_up(False)
    methods = {"a": answers(range(3), given, labels, multilabel=False)}
    with pytest.raises(ValueError, match=r"one of accuracy, macro_f1, weighted_f1, .* 'micro_f1'"):
        values(methods, ["micro_f1"])


@pytest.mark.slow
def test_eighteen_rows_of_food101_take_less_than_a_minute_and_bounded_memory() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(101, size=25_250)
    methods: dict[str, Answers] = {}
    for row in range(18):
        right = random.random((3, len(labels))) < 0.8
        said = np.where(right, labels, random.integers(101, size=right.shape))
        given = [np.eye(101, dtype=np.float32)[of] for of in said]
        methods[f"row{row}"] = answers(range(3), given, labels, multilabel=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    values(methods, legal(multilabel=False))
    assert time.process_time() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024
