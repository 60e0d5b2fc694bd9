"""The rows of a plan as dots on a line: every seed, the mean with its interval, and the paper's.

Dots and no bars: an axis need not begin at 0, and lengths would mislead then.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.cells import RowTrials
from analysis.figures.canvas import PAGE, Drawn, drawn, figure, shown
from analysis.figures.rows import (
    METRICS,
    TICKS,
    WORDS,
    absent,
    group_of,
    lacking,
    legend,
    light,
    looks,
    mark,
    marked,
    of_intervals,
    on,
    parts_of,
    seeds,
    stem,
)
from analysis.part import Part
from analysis.stats import Interval, study
from mi2p.plan import Plan

LINE, REST = 0.19, 0.75
"""Inches: of a row, and of all that is above and below the rows."""
LABEL = 40
"""Most letters of a row's label."""

Intervals = Mapping[tuple[str, str], Interval]
"""By row key and metric."""


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for each data set with a finished trial.

    `ValueError` where trials are mixed that must not be compared.
    """
    return [_draw(results, plan, part) for part in parts_of(results, plan)]


def _draw(results: Path, plan: Plan, part: Part) -> Drawn:
    metrics = tuple(dict.fromkeys((part.primary, "macro_f1")))
    found = study(results, part.rows, metrics, multilabel=part.multilabel, references={}).intervals
    places = _places(plan, part.rows)
    height = REST + LINE * (max(places.values()) + 1)
    with figure(PAGE, height) as made:
        panels = made.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            _panel(axes, plan, part, metric, found, places)
        panels[0].set_yticks(
            list(places.values()),
            [shown(marked(row), LABEL) for row in part.rows],
            fontsize=TICKS,
            parse_math=False,
        )
        legend(made, _marks(part, found))
        return drawn(
            made,
            name=stem(plan, "dots", part.dataset),
            caption=_caption(part, metrics, found),
            alternative=_alternative(part),
        )


def _places(plan: Plan, rows: Sequence[RowTrials]) -> dict[str, float]:
    """Key of a row to its height; between groups is half a row."""
    places: dict[str, float] = {}
    groups = itertools.groupby(rows, key=group_of(plan))
    for number, (_, of) in enumerate(groups):
        for row in of:
            places[row.row.key] = len(places) + 0.5 * number
    return places


def _panel(
    axes: Axes,
    plan: Plan,
    part: Part,
    metric: str,
    found: Intervals,
    places: Mapping[str, float],
) -> None:
    styles = looks(plan, part.rows)
    for row in part.rows:
        place, (colour, marker) = places[row.row.key], styles[row.row.key]
        theirs = part.printed.get(row.row.paper, {}).get(metric)
        if theirs is not None:
            axes.plot(theirs, place, "v", mfc="none", mec="black", mew=0.9, ms=6, zorder=4)
        cell = row.cell(f"test/{metric}")
        if cell.mean is None:
            absent(axes, place)
            continue
        if (row.row.key, metric) in found:
            ends = [100 * found[row.row.key, metric].low, 100 * found[row.row.key, metric].high]
            axes.plot(ends, [place, place], color=colour, linewidth=1.6)
        axes.plot(
            [100 * value for value in cell.values],
            [place] * cell.n,
            "|",
            color=colour,
            markersize=6,
            markeredgewidth=0.9,
        )
        axes.plot(100 * cell.mean, place, marker, color=colour, ms=5, mec="white", mew=0.6)
    light(axes)
    ends = sorted(places.values())
    for before, after in itertools.pairwise(ends):
        if after - before > 1:
            axes.axhline((before + after) / 2, color="0.6", linewidth=0.6)
    axes.set_ylim(ends[-1] + 0.6, ends[0] - 0.6)
    axes.margins(x=0.06)
    axes.set_xlabel(METRICS[metric], fontsize=WORDS)


def _marks(part: Part, found: Intervals) -> list[Line2D]:
    marks = [mark("mean over seeds", "o", "0.3"), mark("one seed", "|", "0.3")]
    if found:
        marks.append(Line2D([], [], color="0.3", linewidth=1.6, label="95 % interval"))
    if part.printed:
        marks.append(mark("paper", "v", "black", hollow=True))
    return marks


def _caption(part: Part, metrics: Sequence[str], found: Intervals) -> str:
    rows = part.rows
    without = [
        row.row.label
        for row in rows
        if len(row.finished) and (row.row.key, metrics[0]) not in found
    ]
    told = (
        f"Rows on {on(part)}, of {seeds(rows)} each. Filled marks are means over seeds, ticks are "
        "single seeds"
    )
    if found:
        told += f", and lines are 95 % intervals of the mean, {of_intervals(rows, part)}"
    told += ". The axes need not begin at 0."
    if part.printed:
        told += " Hollow triangles are what the paper prints."
    if without and found:
        told += f" Without an interval, as predictions are not kept: {', '.join(without)}."
    return told + lacking(rows)


def _alternative(part: Part) -> str:
    means = {row.row.label: part.main_cell(row).mean for row in part.rows}
    known = {label: mean for label, mean in means.items() if mean is not None}
    best, worst = max(known, key=lambda k: known[k]), min(known, key=lambda k: known[k])
    return (
        f"{METRICS[part.primary].removesuffix(' (%)')} of {len(known)} rows, from "
        f"{100 * known[worst]:.1f} % of {worst} to {100 * known[best]:.1f} % of {best}."
    )
