"""Which hyper-parameters mattered in the searches of a plan, by two evaluators side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis.configurations import name_of
from analysis.evaluators import EVALUATORS, Importances, importances, num_best
from analysis.figures.canvas import COLOURS, COLUMN, PAGE, Drawn, drawn, figure, shown
from analysis.figures.rows import TICKS, WORDS, absent, legend, light, stem
from analysis.importances import read_studies
from analysis.notes import listing
from analysis.sideways import setting
from mi2p.plan import Plan, PlanRow

SHOWN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"ped_anova": (COLOURS[0], ""), "fanova": (COLOURS[1], "////")}
)
"""Evaluator to the colour and the hatch of its bars."""
LINE, REST = 0.24, 0.85
"""Inches: of a hyper-parameter, and of all that is above and below."""
THICK = 0.38
"""Height of a bar, where lines are 1 apart."""


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for each searched row whose study is kept in `results` and has enough trials.

    What kept a study from having one is in the caption of the first figure.
    """
    searched = {row.searched.study: row for row in plan.rows if row.searched}
    if not searched:
        return []
    try:
        studies = {study.study_name: study for study in read_studies(results, None, "*")}
    except (FileNotFoundError, ValueError):  # kept elsewhere, with --storage
        return []
    told: dict[str, dict[str, Importances]] = {}
    reasons: dict[str, None] = {}  # each once, in order
    for name, row in searched.items():
        if name not in studies:
            reasons[f"{row.label}, whose study is not kept here"] = None
            continue
        told[name] = {}
        for evaluator in SHOWN:
            try:
                told[name][evaluator] = importances(studies[name], evaluator)
            except ValueError as error:
                reasons[f"{row.label} ({error})"] = None
    notes = f" Not shown: {'; '.join(reasons)}." if reasons else ""
    figures: list[Drawn] = []
    for name, found in told.items():
        if found:
            figures.append(_draw(plan, searched[name], found, "" if figures else notes))
    return figures


def _draw(plan: Plan, row: PlanRow, found: Mapping[str, Importances], notes: str) -> Drawn:
    first = next(iter(found.values()))
    objectives = list(first.shares)
    names = _names(found)
    both = row.specs[0].model.textual_units is not None
    width = COLUMN if len(objectives) == 1 else PAGE
    with figure(width, REST + LINE * len(names)) as made:
        panels = made.subplots(1, len(objectives), sharey=True, squeeze=False)[0]
        for axes, objective in zip(panels, objectives, strict=True):
            _panel(axes, objective, names, found)
        panels[0].set_yticks(
            range(len(names)), [_title(name, both) for name in names], fontsize=TICKS
        )
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        legend(made, [_patch(evaluator) for evaluator in found])
        return drawn(
            made,
            name=stem(plan, "importances", row.dataset, row),
            caption=_caption(row, found) + notes,
            alternative=_alternative(row, found, objectives[0], both),
        )


def _patch(evaluator: str) -> Patch:
    colour, hatch = SHOWN[evaluator]
    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=EVALUATORS[evaluator])


def _names(found: Mapping[str, Importances]) -> list[str]:
    """All hyper-parameters: those that the first evaluator finds most important come first."""
    names = dict.fromkeys(
        name for one in found.values() for of in one.shares.values() for name in of
    )
    return [*names, *sorted({n for one in found.values() for n in one.drawn} - names.keys())]


def _title(path: str, both: bool) -> str:
    """`model.units.attach.4` is a unit at layer 4."""
    part, _, last = path.rpartition(".")
    if last.isdigit():
        return f"{name_of(part, both=both).replace('layers', 'unit at layer')} {last}"
    return shown(name_of(path, both=both), 30)


def _panel(
    axes: Axes, objective: str, names: Sequence[str], found: Mapping[str, Importances]
) -> None:
    for number, (evaluator, one) in enumerate(found.items()):
        colour, hatch = SHOWN[evaluator]
        shift = THICK * (number - (len(found) - 1) / 2)
        for place, name in enumerate(names):
            share = one.shares[objective].get(name)
            if share is None:
                absent(axes, place + shift, "not covered")
                continue
            axes.barh(
                place + shift,
                100 * share,
                THICK,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.4,
            )
    light(axes, grid="x")
    axes.set_xlim(left=0)
    axes.margins(x=0.05)
    of = objective.replace("val/", "validation ").replace("_", " ")
    axes.set_xlabel(f"importance for {of} (%)", fontsize=WORDS)


def _caption(row: PlanRow, found: Mapping[str, Importances]) -> str:
    one = next(iter(found.values()))
    told = (
        f"Importances of hyper-parameters in the search of {row.label} on "
        f"{setting(row.dataset)}, from {one.used} finished configurations. Bars are shares of the "
        "sum, by each evaluator of its own."
    )
    if "ped_anova" in found:
        told += (
            f" PED-ANOVA: how much a hyper-parameter tells the best {num_best(one.used)} from all."
        )
    if "fanova" in found:
        told += (
            " fANOVA: which part of the variance of a random forest is that of each alone; it "
            "takes only what all configurations choose from the same values, and of others it "
            "says not covered."
        )
    if one.left_out:
        left = listing([f"{count} {why}" for why, count in one.left_out.items()])
        told += f" Without {left}."
    return f"{told} Of few configurations importances are rough."


def _alternative(
    row: PlanRow, found: Mapping[str, Importances], objective: str, both: bool
) -> str:
    told = [
        f"{EVALUATORS[evaluator]} {_title(next(iter(one.shares[objective])), both)}"
        for evaluator, one in found.items()
    ]
    return f"Most important in the search of {row.label}: by {listing(told)}."
