"""What figures of a plan's rows share: their trials, names, groups, and what is lacking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.cells import RowTrials
from analysis.figures.canvas import COLOURS, MARKERS
from analysis.kinds import method_group, trained_modality
from analysis.notes import listing
from analysis.part import Part, parts, printed_in, sizes_of_test
from analysis.sideways import setting
from mi2p.plan import Plan, PlanRow
from mi2p.store import load

WORDS, TICKS = 8, 7
"""Points: of titles and labels, and of what stands at ticks."""
METRICS: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "accuracy (%)",
        "macro_f1": "macro-F1 (%)",
        "micro_f1": "micro-F1 (%)",
        "weighted_f1": "weighted F1 (%)",
    }
)
"""What stands at the axis of a metric."""
PALE = "0.55"
"""Of what is missing, pruned or failed."""
TABLES_OF_METHODS = (3, 4)


def parts_of(results: Path, plan: Plan) -> tuple[Part, ...]:
    """A part for each data set of the plan with a finished trial.

    `ValueError` where trials are mixed that must not be compared, as of a table.
    """
    if not any((results / "trials").glob("*.parquet")):
        return ()
    trials = load(results)
    mine = trials[trials["trial_id"].isin([spec.trial_id for spec in plan.specs()])]
    if not ((mine["status"] == "done") & (mine["stage"] == "confirm")).any():
        return ()
    printed = {
        dataset: printed_in(plan.table, dataset) if plan.table else {} for dataset in plan.datasets
    }
    found = parts(plan, trials, printed, sizes_of_test(results, plan, trials))
    return tuple(part for part in found if any(len(row.finished) for row in part.rows))


def group_of(plan: Plan) -> Callable[[RowTrials], str]:
    """By what the plan's table puts its rows together."""
    return method_group if plan.table in TABLES_OF_METHODS else trained_modality


def looks(plan: Plan, rows: Sequence[RowTrials]) -> dict[str, tuple[str, str]]:
    """Key of a row to the colour and the marker of its group."""
    group = group_of(plan)
    groups = list(dict.fromkeys(map(group, rows)))
    return {
        row.row.key: (COLOURS[groups.index(group(row))], MARKERS[groups.index(group(row))])
        for row in rows
    }


def stem(plan: Plan, what: str, dataset: str, row: PlanRow | None = None) -> str:
    """Of a figure's files; the data set is in it if the plan has several."""
    of = [plan.name, what, dataset if len(plan.datasets) > 1 else "", row.key if row else ""]
    return "-".join(filter(None, of))


def marked(row: RowTrials) -> str:
    """The label of a row, with `(n/want)` where seeds are lacking."""
    count = len(row.finished)
    return row.row.label + (f" ({count}/{row.want})" if count < row.want else "")


def seeds(rows: Sequence[RowTrials]) -> str:
    """Such as `3 seeds`."""
    counts = sorted({row.want for row in rows})
    told = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{told} seed{'s' * (counts[-1] > 1)}"


def lacking(rows: Sequence[RowTrials]) -> str:
    """The sentences of a caption on seeds that are not there and trials that failed."""
    told = ""
    if any(len(row.finished) < row.want for row in rows):
        told += " (n/want): only n of the wanted seeds are finished."
    failed = [f"{len(row.failed)} of {row.row.label}" for row in rows if row.failed]
    if failed:
        told += f" Failed trials, which are left out: {listing(failed)}."
    return told


def of_intervals(rows: Sequence[RowTrials], part: Part) -> str:
    """Over what the intervals of rows of a data set are."""
    if all(len(row.finished) < 2 for row in part.rows):
        return "over test examples only, of these trained models"
    single = any(len(row.finished) == 1 for row in rows)
    return "over test examples and seeds" + (
        " (of a row with one seed: with the variance between seeds that is usual among the rows)"
        if single
        else ""
    )


def on(part: Part) -> str:
    """The test split and its size, if known."""
    size = f" ({part.num_test} examples)" if part.num_test else ""
    return f"the test split of {setting(part.dataset)}{size}"


def mark(label: str, marker: str, colour: str, *, hollow: bool = False) -> Line2D:
    """A mark of a legend."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=5,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        label=label,
    )


def legend(made: Figure, handles: Sequence[Artist], columns: int | None = None) -> None:
    """What marks mean, below all panels; in one line unless there are so many columns."""
    made.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=columns or len(handles),
        frameon=False,
        fontsize=TICKS,
        handletextpad=0.5,
        columnspacing=1.5,
        labelspacing=0.3,
    )


def absent(axes: Axes, height: float, text: str = "no finished trial") -> None:
    """Say at a height that something is not there; no limit of the axes moves by it."""
    axes.text(
        0.02,
        height,
        text,
        transform=axes.get_yaxis_transform(),
        color=PALE,
        fontsize=TICKS,
        fontstyle="italic",
        verticalalignment="center",
    )


def light(axes: Axes, *, grid: str = "both") -> None:
    """A frame of two sides and a pale grid below what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.4")
    axes.tick_params(labelsize=TICKS, color="0.4", length=2.5)
    if grid != "none":
        axes.grid(axis=grid, color="0.9", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
