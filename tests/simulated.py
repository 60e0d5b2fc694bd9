"""Made-up results of Tables 3 and 4: trials whose predictions are right as often as is asked for.

Examples are easy or hard for all methods, each method finds some easier than others do, and each
of its trials answers a few by chance.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mi2p import metrics
from mi2p.data.protocols import protocol
from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row

ENVIRONMENT = {
    "data_fingerprint": "f00d",
    "device": "cpu",
    "precision": "float32",
    "torch_version": "2.9.0",
}
PAPER: Mapping[str, float] = {
    "cnn": 0.62,
    "bert": 0.68,
    "score_fusion": 0.71,
    "feature_concat": 0.69,
    "cross_attention": 0.72,
    "centralnet": 0.71,
    "gmu": 0.70,
    "cbp": 0.66,
    "cbgp": 0.68,
    "mmbt": 0.70,
    "visualbert": 0.66,
    "pixelbert": 0.65,
    "vilt": 0.67,
    "me_cnn": 0.71,
    "me_bert": 0.73,
    "me_score_fusion": 0.76,
    "me_feature_concat": 0.74,
    "me_cross_attention": 0.77,
}
"""How often a method's answer is right, by its key, much as in the paper's Task 3."""


class Simulated:
    """A results folder that fills itself."""

    def __init__(
        self, results: Path, *, num_test: int = 120, num_classes: int = 4, luck: float = 0.03
    ) -> None:
        """`luck` is what all answers of one trial have in common, in standard deviations."""
        self.results, self.sizes = results, {"val": 40, "test": num_test}
        self.num_classes, self.luck = num_classes, luck

    def fill(self, plan: Plan, skill: Mapping[str, float] = PAPER) -> None:
        """Every trial of the rows that are in `skill`."""
        for row in plan.rows:
            if row.key in skill:
                for spec in row.specs:
                    self.trial(row, spec, skill[row.key])

    def trial(
        self,
        row: PlanRow,
        spec: TrialSpec,
        skill: float,
        skills: Mapping[str, float] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """One trial, with predictions of validation and test; `skills` are of single splits."""
        multilabel = protocol(row.dataset).multilabel
        found: dict[str, Any] = {}
        kept, arrays = [], []
        for split, size in self.sizes.items():
            right = self._right(row, spec, skills.get(split, skill), split, size)
            labels = self._labels(row.dataset, split, size, multilabel=multilabel)
            probabilities = _answered(right, labels, self.num_classes, multilabel=multilabel)
            arrays.append((probabilities, labels))
            scores = metrics.score(probabilities, labels, multilabel=multilabel)
            found |= {f"{split}/{name}": value for name, value in scores.items()}
            kept += [
                {
                    "split": split,
                    "example_id": f"{split}-{i}",
                    "labels": np.flatnonzero(labels[i]).tolist() if multilabel else [labels[i]],
                    "probabilities": probabilities[i].tolist(),
                }
                for i in range(size)
            ]
        if multilabel:
            found |= metrics.tuned_scores(*arrays)
        store = Store(self.results)
        store.write_predictions(spec.trial_id, kept)
        made = trial_row(spec, status="done", metrics=found, environment=ENVIRONMENT)
        store.write_trial(made)
        return made

    def _right(
        self, row: PlanRow, spec: TrialSpec, skill: float, split: str, size: int
    ) -> NDArray[np.bool_]:
        hardness = _random(row.dataset, split).normal(size=size)
        taste = _random(row.dataset, split, row.key).normal(size=size)
        chance = _random(row.dataset, split, spec.trial_id).normal(size=size)
        luck = _random(row.dataset, spec.trial_id).normal() * self.luck
        spread = math.sqrt(1 + 0.4**2 + 0.3**2)
        easy = spread * statistics.NormalDist().inv_cdf(skill)
        return np.asarray(hardness + 0.4 * taste + 0.3 * chance <= easy + luck, np.bool_)

    def _labels(self, dataset: str, split: str, size: int, *, multilabel: bool) -> Any:
        random = _random(dataset, split, "labels")
        if multilabel:
            return random.integers(0, 2, (size, self.num_classes))
        return random.integers(0, self.num_classes, size)


def _random(*what: str) -> np.random.Generator:
    return np.random.default_rng(list("/".join(what).encode()))


def _answered(
    right: NDArray[np.bool_], labels: Any, num_classes: int, *, multilabel: bool
) -> NDArray[np.float32]:
    """Probabilities (N, K) that say the labels, or those of another class."""
    if multilabel:
        # A wrong answer has one label wrong.
        said = labels.copy()
        said[~right, 0] = 1 - said[~right, 0]
        return np.where(said == 1, 0.8, 0.2).astype(np.float32)
    said = np.where(right, labels, (labels + 1) % num_classes)
    return np.where(np.arange(num_classes) == said[:, None], 0.7, 0.1).astype(np.float32)
