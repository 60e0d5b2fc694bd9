"""How fine a test split is: what one example weighs, and which differences it can show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from analysis.cells import Cell, RowTrials
from mi2p.data.summary import Summary, read_summaries

FEW = 10
"""A class with fewer test examples is told."""
LISTED = 3
"""How many of them by name."""


def resolution(accuracies: Sequence[Cell], num_test: int) -> str:
    """What one test example weighs, and how far a split of this size is to be trusted."""
    best = max(cell.mean for cell in accuracies if cell.mean is not None)
    return (
        f"One of {num_test} test examples is {100 / num_test:.2f} points of accuracy. At the best "
        f"accuracy ({100 * best:.1f}) the binomial 95 % half-width is "
        f"{100 * half_width(best, num_test):.1f} points (Wilson): the noise of a test split of "
        "this size, which ± over seeds does not contain."
    )


def resolutions(best: Mapping[str, tuple[float, int]]) -> str:
    """The same of several data sets in short, by the best accuracy and the size of each."""
    told = (f"{name} {100 * half_width(*found):.1f}" for name, found in best.items())
    return (
        f"Binomial 95 % half-widths at the best accuracy, in points (Wilson): {', '.join(told)}: "
        "the noise of the test splits, which ± over seeds does not contain."
    )


def half_width(fraction: float, count: int) -> float:
    """Of Wilson's 95 % interval for a binomial fraction; unlike Wald's it is not 0 at 0 or 1."""
    z = statistics.NormalDist().inv_cdf(0.975)
    variance = fraction * (1 - fraction) / count + (z / (2 * count)) ** 2
    return z * math.sqrt(variance) / (1 + z**2 / count)


def told_apart(
    widths: tuple[float, float], name: str, *, num_test: int, seeds: Collection[int]
) -> str:
    """Which differences are too small for the paired test, by `Study.resolvable` of a metric.

    `name` is the metric's in a sentence, and `seeds` how many the rows have.
    """
    low, high = min(seeds), max(seeds)
    several = f"{low} to {high} seeds" if low < high else f"{high} seeds"
    finest, median = (f"{100 * width:.1f} points" for width in widths)
    by_pair = f" by the median pair of rows, and under {finest} by the finest,"
    return (
        f"With {num_test} test examples and {several}, differences of {name} under {median}"
        f"{by_pair if finest != median else ''} cannot be told apart (95 %; paired test; more is "
        "needed where p is adjusted for many rows)."
    )


def of_classes(results: Path, rows: Sequence[RowTrials]) -> list[str]:
    """`rare_classes` of the data that finished trials of these rows saw, where it is known.

    `ValueError` names a summary of the data that is damaged.
    """
    known = read_summaries(results)
    seen = {str(of) for row in rows for of in row.finished["data_fingerprint"].dropna()}
    return [note for of in sorted(seen & known.keys()) for note in rare_classes(known[of])]


def rare_classes(summary: Summary) -> list[str]:
    """How far classes with few test examples, or none, move macro-F1.

    Macro-F1 is the mean of the F1 of all K classes, so that a class moves it by 1 / K at most
    through its own F1, as it is 0 with none of its examples right and can be 1 with all. With t of
    its n examples right and f others taken for it, F1 is 2 t / (t + f + n). One more that is right
    adds most to none, and without such others: 2 / (1 + n). What else an example moves, the F1 of
    the class for which it was taken, is not in this.
    """
    sizes = dict(zip(summary.classes, summary.counts["test"].classes, strict=True))
    each = 100 / len(sizes)
    few = sorted((size, name) for name, size in sizes.items() if 0 < size < FEW)
    told = [_rare(name, size, each) for size, name in few[:LISTED]]
    if told and len(few) > LISTED:
        told.append(f"{len(few) - LISTED} more of {len(sizes)} classes have fewer than {FEW}")
    notes = [f"{'; '.join(told)}."] if told else []
    none = [name for name, size in sizes.items() if not size]
    if none:
        others = len(none) - LISTED
        shown = ", ".join(none[:LISTED]) + f" and {others} more" * (others > 0)
        notes.append(
            f"No test example has {shown}: an F1 that counts as 0, so that macro-F1 is at most "
            f"{100 - each * len(none):.1f}."
        )
    return notes


def _rare(name: str, size: int, each: float) -> str:
    if size == 1:
        return f"{name} has 1 test example, which moves macro-F1 by up to {each:.1f} points"
    return (
        f"{name} has {size} test examples and moves macro-F1 by up to {each:.1f} points through "
        f"its own F1, a single one of them by up to {each * 2 / (1 + size):.1f}"
    )
