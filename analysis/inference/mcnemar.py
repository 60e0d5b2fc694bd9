"""Whether trained models differ on the test examples, whatever other seeds would give."""

from __future__ import annotations

import numpy as np
from scipy import stats

from analysis.inference.resampling import Answers


def mcnemar(ours: Answers, theirs: Answers) -> float | None:
    """McNemar's exact test, two-sided, of the models of the seeds that both have; None without.

    Of one seed each and one label it is McNemar's: of the examples that only one model has right,
    half should be ours. Of several seeds, an example is ours if our models together say fewer
    classes of it wrongly than theirs do, and theirs if more: an example still counts once, while
    adding the counts of the seeds would take answers to one example for several examples, and
    tests seed by seed would pair seeds that have nothing in common, and leave several p. It asks
    whether these trained models would be right on other examples as often. What other seeds would
    give it does not know, so that p is smaller than that of methods, and not adjusted.
    """
    seeds = [seed for seed in ours.seeds if seed in theirs.seeds]
    if not seeds:
        return None
    wrong = [of.wrong[[of.seeds.index(seed) for seed in seeds]].sum(0) for of in (ours, theirs)]
    wins, losses = (int(np.sum(a < b)) for a, b in (wrong, wrong[::-1]))
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
