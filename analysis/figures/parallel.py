"""Parallel coordinates of a search: each configuration a line through what it has of each kind.

Of each hyper-parameter that varies there is an axis, the last one is the metric on validation.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import matplotlib
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.budgets import method
from analysis.evaluators import LEAST as LEAST_IMPORTANCES
from analysis.figures.axes_of_search import Axis, Tried, axes_of, tried
from analysis.figures.canvas import PAGE, Drawn, drawn, figure
from analysis.figures.rows import METRICS, TICKS, legend, stem
from analysis.sideways import setting
from mi2p.options import SEARCH_SEED
from mi2p.plan import Plan, PlanRow, Searched
from mi2p.store import load

LEAST = 2
"""Finished configurations of which there is a figure."""
MOST = 6
"""Axes of hyper-parameters side by side; more are in panels one below the other."""
HEIGHT, REST = 2.2, 0.5
"""Inches: of a panel, and of what is below all."""
TITLE = 15
"""Letters of a line of a title."""
COLOURS = matplotlib.colormaps["cividis"]
"""Even in brightness, and the same to all readers, whatever colours they see."""
BORDER = (patheffects.withStroke(linewidth=3.2, foreground="black"),)
"""Around the best line."""
LOST: Mapping[str, tuple[float, Literal[":", "--"], str]] = MappingProxyType(
    {"pruned": (-0.13, ":", "v"), "error": (-0.24, "--", "X")}
)
"""Status to the height on the axis of the metric, the line and the mark of what has none."""
ENDED: Mapping[str, str] = MappingProxyType({"pruned": "pruned", "error": "failed"})


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for each searched row of which configurations finished that differ in something.

    `ValueError` if a trial of a search has a spec that is none any more.
    """
    if not any(row.searched for row in plan.rows):
        return []
    if not any((results / "trials").glob("*.parquet")):
        return []
    trials = load(results)
    figures = []
    for row in plan.rows:
        if row.searched is None:
            continue
        found = tried(row.searched, trials)
        axes = axes_of(row, found)
        if axes and sum(one.value is not None for one in found) >= LEAST:
            figures.append(_draw(plan, row, row.searched, found, axes))
    return figures


def _draw(
    plan: Plan, row: PlanRow, searched: Searched, found: Sequence[Tried], axes: Sequence[Axis]
) -> Drawn:
    down = math.ceil(len(axes) / MOST)
    across = math.ceil(len(axes) / down)
    panels = [axes[start : start + across] for start in range(0, len(axes), across)]
    with figure(PAGE, HEIGHT * down + REST) as made:
        values = [100 * one.value for one in found if one.value is not None]
        scale = Normalize(min(values), max(values))
        places = made.subplots(down, 1, squeeze=False)[:, 0]
        for place, of in zip(places, panels, strict=True):
            _panel(place, of, found, scale, searched.metric, across)
        _legend(made, found)
        bar = made.colorbar(
            ScalarMappable(scale, COLOURS), ax=list(places), fraction=0.025, pad=0.02, aspect=40
        )
        bar.ax.tick_params(labelsize=TICKS)
        bar.set_label(_metric(searched), fontsize=TICKS)
        return drawn(
            made,
            name=stem(plan, "parallel", row.dataset, row),
            caption=_caption(row, searched, found, axes),
            alternative=_alternative(row, searched, found, axes),
        )


def _panel(
    axes: Axes,
    of: Sequence[Axis],
    found: Sequence[Tried],
    scale: Normalize,
    metric: str,
    across: int,
) -> None:
    axes.set_axis_off()
    # Panels with fewer axes than others keep their distances.
    axes.set_xlim(-0.3, across + 0.25)
    lost = [LOST[one.status][0] for one in found if one.value is None]
    axes.set_ylim(min(lost, default=0.0) - 0.05, 1.24)
    best = max((one for one in found if one.value is not None), key=lambda one: one.value or 0)
    ordered = sorted(found, key=lambda one: (one.value is not None, one.value or 0, one.trial_id))
    for rank, one in enumerate(ordered):
        heights = [axis.place(one) for axis in of]
        line: dict[str, Any] = {"zorder": 2 + rank / 1e4}
        if one.value is None:
            end, style, marker = LOST[one.status]
            line |= {"color": "0.65", "linewidth": 0.7, "linestyle": style}
            axes.plot(len(of), end, marker, color="0.65", markersize=3.5)
        else:
            end = scale(100 * one.value)
            line |= {"color": COLOURS(end), "linewidth": 0.9}
        if one is best:
            line |= {"linewidth": 1.6, "zorder": 3, "path_effects": BORDER}
        axes.plot(range(len(of) + 1), [*heights, end], **line)
    for number, axis in enumerate(of):
        _axis(axes, number, axis.title, axis.ticks)
    ticks = [(scale(value), f"{value:g}") for value in _round(scale)]
    ended = [(LOST[s][0], ENDED[s]) for s in LOST if any(one.status == s for one in found)]
    _axis(axes, len(of), metric.removeprefix("val/").replace("_", "-") + " (%)", ticks, ended)


def _axis(
    axes: Axes,
    x: float,
    title: str,
    ticks: Sequence[tuple[float, str]],
    below: Sequence[tuple[float, str]] = (),
) -> None:
    axes.plot([x, x], [0, 1], color="0.25", linewidth=0.9, zorder=4, solid_capstyle="butt")
    for height, _ in ticks:
        axes.plot([x - 0.02, x + 0.02], [height, height], color="0.25", linewidth=0.9, zorder=4)
    for height, text in (*ticks, *below):
        axes.text(
            x + 0.035,
            height,
            text,
            fontsize=TICKS,
            va="center",
            zorder=5,
            parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )
    axes.text(
        x,
        1.06,
        "\n".join(textwrap.wrap(title, TITLE)),
        fontsize=TICKS,
        ha="center",
        va="bottom",
        parse_math=False,
    )


def _round(scale: Normalize) -> list[float]:
    """A few whole numbers, or halves and so on, between the ends."""
    low, high = float(scale.vmin or 0), float(scale.vmax or 0)
    return [float(v) for v in MaxNLocator(5).tick_values(low, high) if low <= v <= high]


def _legend(made: Figure, found: Sequence[Tried]) -> None:
    best = Line2D([], [], color=COLOURS(1.0), linewidth=1.6, label="best on validation")
    best.set_path_effects(list(BORDER))
    marks = [Line2D([], [], color=COLOURS(0.5), linewidth=0.9, label="finished"), best]
    for status, (_, style, marker) in LOST.items():
        if any(one.status == status for one in found):
            lost = Line2D([], [], color="0.65", linestyle=style, label=ENDED[status])
            lost.set_marker(marker)
            marks.append(lost)
    legend(made, marks)


def _metric(searched: Searched) -> str:
    return f"validation {METRICS[searched.metric.removeprefix('val/')]}"


def _caption(
    row: PlanRow, searched: Searched, found: Sequence[Tried], axes: Sequence[Axis]
) -> str:
    counts = {
        what: sum(one.status == status for one in found)
        for status, what in (("done", "finished"), *ENDED.items())
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    missing = len(searched.trials) - len(found)
    if missing:
        told += f", {missing} without a row and not shown"
    text = (
        f"The search of {row.label} on {setting(row.dataset)}: each line is one of "
        f"{len(searched.trials)} configurations ({told}) suggested by {method(searched)}, and "
        f"trained once with seed {SEARCH_SEED}. Axes are the hyper-parameters that vary; the last "
        "one, as the colour, is the metric on validation. The best line is the largest of many "
        "values, which flatters."
    )
    if any(axis.is_log for axis in axes):
        text += " Rates are on a log scale."
    if any(axis.counts_layers for axis in axes):
        text += " Of layers with units the number is shown, not which."
    if counts["finished"] < LEAST_IMPORTANCES:
        text += f" Importances are not given: they need {LEAST_IMPORTANCES} that finished."
    return text


def _alternative(
    row: PlanRow, searched: Searched, found: Sequence[Tried], axes: Sequence[Axis]
) -> str:
    best = max(one.value for one in found if one.value is not None)
    return (
        f"{len(found)} configurations of {row.label} over {len(axes)} hyper-parameters; the best "
        f"has {100 * best:.1f} % {_metric(searched).removesuffix(' (%)')}."
    )
