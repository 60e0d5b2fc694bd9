"""Learning curves: training loss and validation metric of every row, epoch by epoch."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.cells import RowTrials
from analysis.figures.canvas import COLOURS, PAGE, Drawn, drawn, figure, shown
from analysis.figures.rows import (
    METRICS,
    PALE,
    TICKS,
    lacking,
    legend,
    light,
    mark,
    marked,
    parts_of,
    seeds,
    stem,
)
from analysis.notes import listing
from analysis.part import Part
from analysis.sideways import setting
from mi2p.plan import Plan
from mi2p.store import load_epochs

ACROSS = 4
"""Rows of a plan side by side."""
LABEL = 27
PAIR_HEIGHT, REST = 1.75, 0.45
"""Inches: of a loss above a metric, and of what is below all."""
LOSS, METRIC, BEST = COLOURS[4], COLOURS[0], COLOURS[6]
LOG_FROM = 20
"""Losses are on a log scale from this ratio of the largest to the smallest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """The epochs of a row's finished trials."""

    row: RowTrials
    epochs: NDArray[np.int64]
    """(E,)."""
    losses: NDArray[np.float64]
    """(S, E) of training, a line per seed; NaN where a seed has no such epoch."""
    metrics: NDArray[np.float64]
    """(S, E) of validation, as fractions."""
    best: tuple[tuple[int, float], ...]
    """Of each seed: its best epoch, and the metric there."""


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for each data set with epochs of a finished trial.

    `ValueError` where trials are mixed that must not be compared.
    """
    found = parts_of(results, plan)
    if not found or not any((results / "epochs").glob("*.parquet")):
        return []
    epochs = load_epochs(results)
    drawn_ones = [_draw(plan, part, list(curves(part, epochs))) for part in found]
    return [one for one in drawn_ones if one is not None]


def curves(part: Part, epochs: pd.DataFrame) -> Iterator[Curves]:
    """Of every row that is trained, from rows of `mi2p.store.load_epochs`.

    Trials that average others have no epochs.
    """
    of_trial = {str(name): of for name, of in epochs.groupby("trial_id")}
    for row in part.rows:
        if row.row.specs[0].averages:
            continue
        mine = [of_trial[name] for name in row.finished["trial_id"] if name in of_trial]
        numbers = sorted({int(epoch) for one in mine for epoch in one["epoch"]})
        lines = {
            column: np.array(
                [one.set_index("epoch")[column].reindex(numbers).to_numpy(float) for one in mine]
            ).reshape(len(mine), len(numbers))
            for column in ("train/loss", f"val/{part.primary}")
        }
        yield Curves(
            row=row,
            epochs=np.array(numbers, np.int64),
            losses=lines["train/loss"],
            metrics=lines[f"val/{part.primary}"],
            best=tuple(_best(row, of_trial, part.primary)),
        )


def _best(
    row: RowTrials, of_trial: dict[str, pd.DataFrame], metric: str
) -> Iterator[tuple[int, float]]:
    for name, epoch in zip(row.finished["trial_id"], row.finished["best_epoch"], strict=True):
        if name in of_trial and not pd.isna(epoch):
            there = of_trial[name][of_trial[name]["epoch"] == epoch]
            yield from ((int(epoch), float(value)) for value in there[f"val/{metric}"])


def _draw(plan: Plan, part: Part, found: Sequence[Curves]) -> Drawn | None:
    if not any(len(one.epochs) for one in found):
        return None
    down = math.ceil(len(found) / ACROSS)
    with figure(PAGE, PAIR_HEIGHT * down + REST) as made:
        panels = _grid(made, len(found))
        for (upper, lower), one, title in zip(panels, found, _titles(found), strict=True):
            _panel(upper, one, one.losses, LOSS)
            _panel(lower, one, 100 * one.metrics, METRIC)
            for epoch, value in one.best:
                lower.plot(epoch, 100 * value, "o", mfc="none", mec=BEST, mew=0.8, ms=4)
            upper.set_title(title, fontsize=TICKS, parse_math=False)
        _scale(made.axes[0], made.axes[1], found)
        _name(made, part)
        return drawn(
            made,
            name=stem(plan, "curves", part.dataset),
            caption=_caption(part, found),
            alternative=_alternative(part, found),
        )


def _grid(made: Figure, count: int) -> Iterator[tuple[Axes, Axes]]:
    """A pair of axes, one above the other, for each row; all of a kind have the same scale."""
    across, down = min(ACROSS, count), math.ceil(count / ACROSS)
    grid = made.add_gridspec(2 * down, across)
    upper, lower = None, None
    for number in range(count):
        line, column = divmod(number, across)
        upper = made.add_subplot(grid[2 * line, column], sharey=upper, sharex=upper)
        lower = made.add_subplot(grid[2 * line + 1, column], sharey=lower, sharex=upper)
        for axes in (upper, lower):
            light(axes)
            axes.tick_params(labelleft=column == 0, labelbottom=axes is lower)
        if number + across >= count:
            lower.set_xlabel("epoch", fontsize=TICKS)
        yield upper, lower


def _titles(found: Sequence[Curves]) -> list[str]:
    """The rows' labels in one line each, or in two if one needs them."""
    wrapped = []
    for one in found:
        lines = textwrap.wrap(shown(marked(one.row), 2 * LABEL), LABEL, break_on_hyphens=False)
        wrapped.append([*lines[:1], shown(" ".join(lines[1:]), LABEL)])
    two = any(second for _, second in wrapped)
    return ["\n".join(lines if two else lines[:1]) for lines in wrapped]


def _panel(axes: Axes, one: Curves, lines: NDArray[np.float64], colour: str) -> None:
    if not len(one.epochs):
        text = "no epochs kept" if len(one.row.finished) else "no finished trial"
        axes.text(
            0.5,
            0.5,
            text,
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=PALE,
            fontsize=TICKS,
            fontstyle="italic",
        )
        return
    middle = np.nanmean(lines, 0)
    axes.fill_between(
        one.epochs,
        np.nanmin(lines, 0),
        np.nanmax(lines, 0),
        color=colour,
        alpha=0.25,
        linewidth=0,
    )
    # A single epoch is a point, which a line does not show.
    style = "-" if len(one.epochs) > 1 else "."
    axes.plot(one.epochs, middle, style, color=colour, linewidth=1.1, ms=4)


def _scale(upper: Axes, lower: Axes, found: Sequence[Curves]) -> None:
    """Of the first panel, which all share."""
    losses = np.concatenate([one.losses.ravel() for one in found])
    least, most = np.nanmin(losses), np.nanmax(losses)
    if 0 < least * LOG_FROM <= most:
        upper.set_yscale("log")
        upper.yaxis.set_major_formatter("{x:g}")
    last = max(int(one.epochs[-1]) for one in found if len(one.epochs))
    upper.set_xlim(1 - 0.04 * last, 1.04 * last)
    upper.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    lower.margins(y=0.12)


def _name(made: Figure, part: Part) -> None:
    metric = METRICS[part.primary].removesuffix(" (%)")
    for number, axes in enumerate(made.axes):
        if number % (2 * ACROSS) == 0:
            axes.set_ylabel("loss", fontsize=TICKS)
        if number % (2 * ACROSS) == 1:
            axes.set_ylabel(f"{metric} (%)", fontsize=TICKS)
    marks = [
        Line2D([], [], color=LOSS, label="training loss"),
        Line2D([], [], color=METRIC, label=f"validation {metric}"),
        Patch(color="0.75", label="range over seeds"),
        mark("best epoch", "o", BEST, hollow=True),
    ]
    legend(made, marks)


def _caption(part: Part, found: Sequence[Curves]) -> str:
    told = (
        f"Learning curves on {setting(part.dataset)}, of {seeds([one.row for one in found])} "
        "each. Above: the loss in training; below: the metric on validation. Lines are means over "
        "seeds, bands reach from the lowest to the highest seed, and circles are the best epochs, "
        "one for each seed, at which a trial is tested. Some models sum the losses of several "
        "predictions, so that losses of different rows do not compare."
    )
    averages = [row.row.label for row in part.rows if row.row.specs[0].averages]
    if averages:
        told += f" Not trained, but averages of other rows, and not shown: {listing(averages)}."
    return told + lacking([one.row for one in found])


def _alternative(part: Part, found: Sequence[Curves]) -> str:
    best = [epoch for one in found for epoch, _ in one.best]
    last = max(int(one.epochs[-1]) for one in found if len(one.epochs))
    told = f"Training loss and validation metric of {len(found)} rows over {last} epochs"
    return told + (f"; best epochs lie from {min(best)} to {max(best)}." if best else ".")
