"""What a table says in words: on what it rests, and what in it is noise."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.cells import Cell, RowTrials
from analysis.tabular import EMPTY
from mi2p.plan import Plan

TOLD_APART: Mapping[str, str] = {
    "device": "devices",
    "torch_version": "torch versions",
    "code_version": "code versions",
}
"""Columns that may differ between the rows of a table, which then says so."""


def runs(plan: Plan, num_test: int | None = None) -> str:
    """The sentence of a caption that names seeds, data and what ± is."""
    of_rows = [tuple(sorted({spec.seed for spec in row.specs})) for row in plan.rows]
    listed = ", ".join(str(seed) for seed in sorted(set(itertools.chain(*of_rows))))
    most = max(len(seeds) for seeds in of_rows)
    if len(set(of_rows)) > 1:
        seeds = f"Mean over the seeds of each row (up to {most}, among {listed})"
    else:
        seeds = f"Mean over {most} seeds ({listed})" if most > 1 else f"One seed ({listed})"
    split = f"test split of {plan.dataset}" + (f" ({num_test} examples)" if num_test else "")
    spread = "; ± is the sample standard deviation over seeds" if most > 1 else ""
    return f"{seeds} on the {split}{spread}."


def footnotes(rows: Sequence[RowTrials]) -> list[str]:
    """Missing and failed trials, and surroundings that differ."""
    notes = []
    if any(len(row.finished) < row.want for row in rows):
        notes.append(f"(n/want): only n of the wanted seeds are finished; {EMPTY}: none.")
    failed = {row.row.label: len(row.failed) for row in rows if row.failed}
    if failed:
        told = ", ".join(f"{count} of {label}" for label, count in failed.items())
        notes.append(f"Failed trials, which enter no mean: {sum(failed.values())} ({told}).")
    for column, title in TOLD_APART.items():
        found = set(pd.concat([row.finished[column] for row in rows]).dropna())
        if len(found) > 1:
            notes.append(f"Trials ran on several {title}: {', '.join(sorted(found))}.")
    return notes


def resolution(accuracies: Sequence[Cell], num_test: int) -> str:
    """What one test example weighs, and how far a split of this size is to be trusted."""
    best = max(cell.mean for cell in accuracies if cell.mean is not None)
    return (
        f"One of {num_test} test examples is {100 / num_test:.2f} points of accuracy. At the best "
        f"accuracy ({100 * best:.1f}) the binomial 95 % half-width is "
        f"{100 * half_width(best, num_test):.1f} points (Wilson): the noise of a test split of "
        "this size, which ± over seeds does not contain."
    )


def half_width(fraction: float, count: int) -> float:
    """Of Wilson's 95 % interval for a binomial fraction; unlike Wald's it is not 0 at 0 or 1."""
    z = statistics.NormalDist().inv_cdf(0.975)
    variance = fraction * (1 - fraction) / count + (z / (2 * count)) ** 2
    return z * math.sqrt(variance) / (1 + z**2 / count)
