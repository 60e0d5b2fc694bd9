"""What the rows of a plan cost: the metric against added parameters, and against seconds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells import RowTrials
from analysis.figures.canvas import DPI, PAGE, Drawn, drawn, figure, shown
from analysis.figures.labels import Label, spread
from analysis.figures.rows import (
    METRICS,
    TICKS,
    WORDS,
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
from analysis.notes import listing
from analysis.part import Part
from analysis.stats import study
from mi2p.plan import Plan

HEIGHT, LINE = 2.6, 0.16
"""Inches: of the panels, and of a line of the list of rows below them."""
LABEL, ACROSS = 46, 2
"""Most letters of a row in that list, and its columns."""
LOG_FROM = 20
"""Costs are on a log scale from this ratio of the largest to the smallest."""
FAR = 12
"""Points from which on a line leads from a dot to its number."""
PARAMETERS, SECONDS = "added_parameters", "seconds"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row with a finished trial."""

    row: RowTrials
    number: int
    """Beside its dot, and in the list below."""
    value: float
    """Mean of the primary metric over seeds, in percent."""
    low: float
    high: float
    """Of its 95 % interval; the value itself where that is not known."""
    costs: Mapping[str, float]
    """Means over seeds; what no trial counted is missing."""


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for each data set with a finished trial whose costs are known.

    `ValueError` where trials are mixed that must not be compared.
    """
    found = ((part, _points(results, part)) for part in parts_of(results, plan))
    return [_draw(plan, part, points) for part, points in found if points]


def front(points: Sequence[Point], cost: str) -> list[Point]:
    """Those that no other is better than in value or cost and no worse in the other, by cost."""
    known = [point for point in points if cost in point.costs]
    kept: list[Point] = []
    for point in sorted(known, key=lambda one: (one.costs[cost], -one.value)):
        same = kept and (point.costs[cost], point.value) == (kept[-1].costs[cost], kept[-1].value)
        if not kept or same or point.value > kept[-1].value:
            kept.append(point)
    return kept


def device_seconds(rows: Sequence[RowTrials]) -> dict[str, float]:
    """Row key to what a trial of it took on average, times the processes that it ran in.

    An average of other rows' trials took what these did. A row is missing where that is not known.
    """
    of_trial: dict[str, float] = {}
    for row in rows:
        # Trials from before there were several have no number of processes.
        spent = row.finished["seconds"] * row.finished["processes"].fillna(1)
        of_trial |= dict(zip(row.finished["trial_id"], map(float, spent), strict=True))
    found = {}
    for row in rows:
        finished = set(row.finished["trial_id"])
        spent_by = [
            sum(of_trial.get(part, math.nan) for part in spec.averages or (spec.trial_id,))
            for spec in row.row.specs
            if spec.trial_id in finished
        ]
        if spent_by and not any(map(math.isnan, spent_by)):
            found[row.row.key] = statistics.fmean(spent_by)
    return found


def _points(results: Path, part: Part) -> list[Point]:
    intervals = study(
        results, part.rows, [part.primary], multilabel=part.multilabel, references={}
    ).intervals
    seconds_of = device_seconds(part.rows)
    points: list[Point] = []
    for row in part.rows:
        mean = part.main_cell(row).mean
        added = row.finished[PARAMETERS].dropna()
        costs = {
            PARAMETERS: None if added.empty else statistics.fmean(map(float, added)),
            SECONDS: seconds_of.get(row.row.key),
        }
        known = {name: cost for name, cost in costs.items() if cost is not None}
        if mean is None or not known:
            continue
        interval = intervals.get((row.row.key, part.primary))
        points.append(
            Point(
                row=row,
                number=len(points) + 1,
                value=100 * mean,
                low=100 * (interval.low if interval else mean),
                high=100 * (interval.high if interval else mean),
                costs=known,
            )
        )
    return points


def _draw(plan: Plan, part: Part, points: Sequence[Point]) -> Drawn:
    lines = -(-len(points) // ACROSS)
    with figure(PAGE, HEIGHT + LINE * lines + 0.15) as made:
        panels = made.subplots(1, 2, sharey=True)
        heads = {PARAMETERS: "added parameters", SECONDS: _of_seconds(points)}
        for axes, (cost, head) in zip(panels, heads.items(), strict=True):
            _panel(axes, plan, part, points, cost)
            axes.set_xlabel(head, fontsize=WORDS)
        panels[0].set_ylabel(METRICS[part.primary], fontsize=WORDS)
        _list(made, plan, part, points)
        made.draw_without_rendering()  # places the axes, on which labels depend
        for axes, cost in zip(panels, heads, strict=True):
            _number(axes, points, cost)
        return drawn(
            made,
            name=stem(plan, "costs", part.dataset),
            caption=_caption(part, points),
            alternative=_alternative(part, points),
        )


def _panel(axes: Axes, plan: Plan, part: Part, points: Sequence[Point], cost: str) -> None:
    styles = looks(plan, part.rows)
    best = front(points, cost)
    known = [point for point in points if cost in point.costs]
    if best:
        # Until the next one of the front, nothing better is to be had for more.
        most = max(point.costs[cost] for point in known)
        axes.step(
            [*(point.costs[cost] for point in best), most],
            [*(point.value for point in best), best[-1].value],
            where="post",
            color="0.45",
            linestyle="--",
            linewidth=0.9,
        )
    for point in known:
        colour, marker = styles[point.row.row.key]
        place = point.costs[cost]
        axes.plot([place, place], [point.low, point.high], color=colour, linewidth=0.8, alpha=0.6)
        filled = colour if point in best else "white"
        axes.plot(place, point.value, marker, ms=5, mec=colour, mfc=filled, mew=1)
    costs = [point.costs[cost] for point in known]
    if costs and 0 < LOG_FROM * min(costs) <= max(costs):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
        axes.ticklabel_format(axis="x", useMathText=True)
    axes.margins(x=0.08)
    light(axes)


def _number(axes: Axes, points: Sequence[Point], cost: str) -> None:
    """The number of each dot, where it covers neither a dot nor another number."""
    known = [point for point in points if cost in point.costs]
    places = [axes.transData.transform((point.costs[cost], point.value)) for point in known]
    labels = [Label(text=str(p.number), x=x, y=y) for p, (x, y) in zip(known, places, strict=True)]
    box, scale, back = axes.bbox, DPI / 72, axes.transData.inverted()
    moved = spread(labels, (box.x0, box.y0, box.x1, box.y1), scale=scale)
    line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
    for label, (x, y) in zip(labels, moved, strict=True):
        far = math.dist((x, y), (label.x, label.y)) > FAR * scale
        written = axes.annotate(
            label.text,
            xy=tuple(back.transform((label.x, label.y))),
            xytext=tuple(back.transform((x, y))),
            ha="center",
            va="center",
            fontsize=TICKS,
            arrowprops=line if far else None,
        )
        written.set_path_effects([patheffects.withStroke(linewidth=1.5, foreground="white")])


def _list(made: Figure, plan: Plan, part: Part, points: Sequence[Point]) -> None:
    styles = looks(plan, part.rows)
    marks = []
    for point in points:
        colour, marker = styles[point.row.row.key]
        label = f"{point.number}  {shown(marked(point.row), LABEL)}".replace("$", r"\$")
        marks.append(mark(label, marker, colour))
    legend(made, marks, ACROSS)


def _devices(points: Sequence[Point]) -> list[str]:
    return sorted({str(name) for p in points for name in p.row.finished["device"].dropna()})


def _of_seconds(points: Sequence[Point]) -> str:
    devices = _devices(points)
    if devices == ["cpu"]:
        return "seconds on CPUs"
    return "GPU-seconds" if "cpu" not in devices else "device-seconds"


def _caption(part: Part, points: Sequence[Point]) -> str:
    told = (
        f"{METRICS[part.primary].removesuffix(' (%)')} on {on(part)} against what a row costs: "
        "parameters that are trained beside the pretrained backbones, and seconds that a trial "
        f"took, times the devices that it ran on ({listing(_devices(points) or ['unknown'])}). "
        f"Dots are means over seeds, {seeds([point.row for point in points])} each, with their "
        "numbers in the list below. Filled dots are on the Pareto front, drawn dashed: no other "
        "row is better for as little."
    )
    if any(point.low < point.high for point in points):
        told += f" Vertical lines are 95 % intervals of the mean, {of_intervals(part.rows, part)}."
    if len(_devices(points)) > 1:
        told += " Seconds on several kinds of devices do not compare."
    if any(point.row.row.searched for point in points):
        told += " What searches took before is not counted."
    for cost, what in ((PARAMETERS, "parameters"), (SECONDS, "seconds")):
        without = [point.row.row.label for point in points if cost not in point.costs]
        if without:
            told += f" Without {what}, and not in that panel: {listing(without)}."
    return f"{told[0].upper()}{told[1:]}{lacking(part.rows)}"


def _alternative(part: Part, points: Sequence[Point]) -> str:
    best = max(points, key=lambda point: point.value)
    told = [
        f"{what} {listing([point.row.row.label for point in front(points, cost)])}"
        for cost, what in ((PARAMETERS, "by parameters"), (SECONDS, "by seconds"))
        if front(points, cost)
    ]
    return (
        f"{len(points)} rows, of which {best.row.row.label} is best with {best.value:.1f} %. "
        f"On the front: {'; '.join(told)}."
    )
