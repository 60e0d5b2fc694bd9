"""What a table says in words: on what it rests, and what in it is noise."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.cells import Cell, RowTrials
from analysis.tabular import EMPTY
from mi2p.backbones import textual_card, visual_card
from mi2p.plan import Plan

TOLD_APART: Mapping[str, str] = {
    "device": "devices",
    "torch_version": "torch versions",
    "code_version": "code versions",
}
"""Columns that may differ between the rows of a table, which then says so."""

TINY = "tiny_"
"""How the names of backbones with random weights start."""


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
    """What a reader must know of the trials: missing, failed, or not like the others."""
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
    return [*notes, *_left_out(rows), *_cut_texts(rows), *_untrained(rows)]


def _left_out(rows: Sequence[RowTrials]) -> list[str]:
    """Examples that no trial saw; rows written before they were counted have no number."""
    finished = pd.concat([row.finished for row in rows])
    counted = finished[finished["images_left_out"] > 0]
    notes = []
    for fingerprint, counts in counted.groupby("data_fingerprint")["images_left_out"]:
        count = int(counts.max())
        noun, verb = ("example", "is") if count == 1 else ("examples", "are")
        notes.append(
            f"{count} {noun} whose image cannot be used {verb} left out "
            f"(bad_images/{fingerprint}.csv beside the results)."
        )
    return notes


def _cut_texts(rows: Sequence[RowTrials]) -> list[str]:
    """Where rows that read texts do not read equally much of them."""
    labels: dict[int, list[str]] = {}
    limits: set[tuple[int, int]] = set()
    for row in rows:
        spec = row.row.specs[0]
        if spec.model.textual is not None:
            labels.setdefault(spec.data.max_tokens, []).append(row.row.label)
            limits.add((spec.data.max_tokens, textual_card(spec.model.textual).max_tokens))
    longest = max(labels, default=0)
    told = [f"{size} in {', '.join(labels[size])}" for size in sorted(labels) if size < longest]
    if not told:
        return []
    forced = all(size == limit for size, limit in limits if size < longest)
    why = " (their encoders take no more)" if forced else ""
    return [f"Texts are cut at {longest} word pieces, but at {'; at '.join(told)}{why}."]


def _untrained(rows: Sequence[RowTrials]) -> list[str]:
    """Backbones whose weights are random, so that their numbers mean nothing."""
    titles: dict[str, None] = {}  # in the order of the rows
    for model in (row.row.specs[0].model for row in rows):
        if model.visual is not None and model.visual.startswith(TINY):
            titles[visual_card(model.visual).title] = None
        if model.textual is not None and model.textual.startswith(TINY):
            titles[textual_card(model.textual).title] = None
    if not titles:
        return []
    return [
        f"Not pretrained: {', '.join(titles)}. Rows with them only show that the path works, "
        "their numbers say nothing."
    ]


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
