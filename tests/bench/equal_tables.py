"""Made-up tables of methods that are equally good, to count what is called different in them.

Examples are hard or easy for all methods, each method finds some easier than others do, each of
its trials has its luck on all examples and answers some by chance. Methods are equal in what is
expected of them over examples and seeds.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np

from analysis.compared import compare
from analysis.inference.pairs import LEVEL, holm, measured
from analysis.inference.resampling import Answers, answers
from analysis.stats import studies


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
    unstable: float = 0.0
    """The luck of the first row, if it is another one."""
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
    made = {}
    for i in range(setting.rows):
        skill = setting.skill + setting.gain * (i == 0)
        deviation = setting.unstable or setting.luck if i == 0 else setting.luck
        spread = math.sqrt(1 + setting.taste**2 + setting.chance**2 + deviation**2)
        easy = spread * statistics.NormalDist().inv_cdf(skill)
        own = hardness + setting.taste * random.normal(size=size)
        luck = deviation * random.normal(size=(setting.seeds, 1))
        right = own + setting.chance * random.normal(size=(setting.seeds, size)) <= easy + luck
        other = (labels + random.integers(1, classes, size=(setting.seeds, size))) % classes
        said = np.where(right, labels, other)
        probabilities = [np.eye(classes)[of] for of in said]
        made[f"row{i}"] = answers(range(setting.seeds), probabilities, labels, multilabel=False)
    return made


@dataclass(frozen=True, kw_only=True)
class Calls:
    """In what share of tables something is called different."""

    against: float
    """Any row from its reference; every second row has the one above it."""
    not_bold: float
    """Any row from the best one."""
    first_pair: float
    """The second row from the first, by p that is not adjusted."""
    covered: float
    """Not of tables but of rows, without the first: whose interval has what is true of it."""


def calls(
    setting: Setting, tables: int, *, metric: str = "accuracy", resamples: int = 300
) -> Calls:
    """Few resamples make a variance over examples noisier, but not smaller."""
    found = []
    for number in range(tables):
        methods = table(setting, number)
        keys = list(methods)
        compared = compare(
            methods,
            {metric: dict.fromkeys(keys, setting.skill)},
            metric,
            references=dict(zip(keys[1::2], keys[::2], strict=False)),
            resamples=resamples,
        )
        (made,) = studies([compared])
        against = any(row.p_holm < LEVEL for row in made.against.values())
        first = keys[1] in made.against and made.against[keys[1]].difference.p < LEVEL
        inside = [made.intervals[key, metric].place(setting.skill) == "inside" for key in keys[1:]]
        not_bold = len(made.not_worse.get(metric, keys)) < len(keys)
        found.append((against, not_bold, first, sum(inside) / len(inside)))
    shares = np.array(found, np.float64).mean(0)
    return Calls(
        against=float(shares[0]),
        not_bold=float(shares[1]),
        first_pair=float(shares[2]),
        covered=float(shares[3]),
    )


def best_alone(
    setting: Setting, tables: int, *, metric: str = "accuracy", resamples: int = 300
) -> float:
    """Any row from the best one, if p were adjusted for the pairs of the best one alone."""
    found = 0
    for number in range(tables):
        methods = table(setting, number)
        of = measured(methods, [metric], resamples=resamples)[metric]
        best = max(methods, key=of.mean)
        others = (of.difference(best, key) for key in methods if key != best)
        found += min(holm([other.p for other in others if other is not None])) < LEVEL
    return found / tables
