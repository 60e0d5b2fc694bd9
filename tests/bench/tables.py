"""Made-up tables of methods that are equally good, to count what is called different in them.

Examples are hard or easy for all methods, each method finds some easier than others do, each of
its trials has its luck on all examples and answers some by chance. Methods are equal in what is
expected of them over examples and seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.resampling import Answers, answers
from analysis.stats import Study, studied


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How tables are made."""

    rows: int = 18
    seeds: int = 3
    examples: int = 439
    classes: int = 4
    skill: float = 0.7
    """How often an answer is right."""
    luck: float = 0.03
    """What all answers of a trial have in common, in standard deviations of hardness."""
    taste: float = 0.4
    """What all trials of a method have in common, by example."""
    chance: float = 0.3
    gain: float = 0.0
    """By how much the first row is better, as a fraction."""


def table(setting: Setting, number: int) -> dict[str, Answers]:
    """The answers of each row of the table with this number."""
    random = np.random.default_rng([number, setting.rows, setting.seeds])
    size, classes = setting.examples, setting.classes
    hardness, labels = random.normal(size=size), random.integers(classes, size=size)
    spread = math.sqrt(1 + setting.taste**2 + setting.chance**2 + setting.luck**2)
    made = {}
    for i in range(setting.rows):
        skill = setting.skill + setting.gain * (i == 0)
        easy = spread * statistics.NormalDist().inv_cdf(skill)
        own = hardness + setting.taste * random.normal(size=size)
        luck = setting.luck * random.normal(size=(setting.seeds, 1))
        right = own + setting.chance * random.normal(size=(setting.seeds, size)) <= easy + luck
        other = (labels + random.integers(1, classes, size=(setting.seeds, size))) % classes
        said = np.where(right, labels, other)
        probabilities = [np.eye(classes)[of] for of in said]
        made[f"row{i}"] = answers(range(setting.seeds), probabilities, labels, multilabel=False)
    return made


def study_of(methods: Mapping[str, Answers], metric: str, *, resamples: int) -> Study:
    """Of a made-up table: every second row has the one above it as its reference."""
    keys = list(methods)
    return studied(
        methods,
        {metric: dict.fromkeys(keys, 0.5)},
        metric,
        references=dict(zip(keys[1::2], keys[::2], strict=False)),
        resamples=resamples,
    )
