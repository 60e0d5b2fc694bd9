"""What each layer adds when it carries units, alone, on average, and beside the others.

Drawn of every model of a plan of which there are trials with units at other layers, and nothing
else differs: of tables from the test split, of searches from validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.attachment_effects import Contrast
from analysis.attachment_games import Estimate, Game, estimate, games
from analysis.figures.attachment_panels import KINDS, Layers, effects, mark_of, pairs
from analysis.figures.axes_of_search import tried
from analysis.figures.canvas import COLUMN, PAGE, Drawn, drawn, figure
from analysis.figures.rows import METRICS, lacking, legend, of_intervals, on, parts_of, stem
from analysis.inference.pairs import Measured, measured
from analysis.notes import listing
from analysis.part import Part
from analysis.predictions import of_rows
from analysis.sideways import setting
from mi2p.options import SEARCH_SEED
from mi2p.paths import shown
from mi2p.plan import Plan, PlanRow, Searched
from mi2p.store import load

LINE, REST = 0.3, 0.95
"""Inches: of a layer, and of all that is above and below."""
SUMS = {"total": "sum of alone", "whole": "all layers", "interaction": "interaction"}
"""Effects of all layers, and what they are called."""


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for each model of which the effect of a layer is identified.

    `ValueError` where trials are mixed that must not be compared.
    """
    figures = []
    for part in parts_of(results, plan):
        figures += _of_table(results, plan, part)
    for row in plan.rows:
        if row.searched is not None and any((results / "trials").glob("*.parquet")):
            figures += _of_search(results, plan, row, row.searched)
    return figures


def _of_table(results: Path, plan: Plan, part: Part) -> list[Drawn]:
    rows = {row.row.key: row for row in part.rows}
    means = {key: part.main_cell(row).mean for key, row in rows.items()}
    values = {key: mean for key, mean in means.items() if mean is not None}
    models = [(key, row.row.specs[0]) for key, row in rows.items()]
    found = games(models, values, plain=True)
    if not found:
        return []
    methods = {
        key: method
        for key, method in of_rows(results, part.rows, multilabel=part.multilabel).items()
        if len(method.seeds) == len(rows[key].finished)
    }
    of = measured(methods, [part.primary]).get(part.primary)
    figures = []
    for game in found:
        largest = game.keys[max(game.keys, key=len)]
        mine = [rows[key] for key in game.keys.values()]
        caption = (
            f"What units add at each layer of the {game.modality} backbone of "
            f"{rows[largest].row.label}, in points of "
            f"{METRICS[part.primary].removesuffix(' (%)')} on {on(part)}, from means over seeds. "
            f"{_meaning(game)}"
        )
        if any(one.half_width is not None for one in _estimates(game, of)):
            caption += f" Lines are 95 % intervals, {of_intervals(mine, part)}."
        figures.append(
            _draw(
                game,
                of,
                name=stem(plan, "attachments", part.dataset, rows[largest].row),
                metric=f"test {METRICS[part.primary]}",
                caption=caption + lacking(mine),
            )
        )
    return figures


def _of_search(results: Path, plan: Plan, row: PlanRow, searched: Searched) -> list[Drawn]:
    """Of the largest set of configurations that differ in layers alone, for either modality."""
    configurations = tried(searched, load(results))
    values = {one.trial_id: one.value for one in configurations if one.value is not None}
    models = [(one.trial_id, one.spec) for one in configurations]
    largest: dict[str, Game] = {}
    for game in games(models, values, plain=False):
        before = largest.get(game.modality)
        if before is None or len(game.values) > len(before.values):
            largest[game.modality] = game
    metric = METRICS[searched.metric.removeprefix("val/")]
    return [
        _draw(
            game,
            None,
            name=f"{stem(plan, 'attachments', row.dataset, row)}-search-{modality}",
            metric=f"validation {metric}",
            caption=(
                f"What units add at each layer of the {modality} backbone of {row.label} in its "
                f"search, in points of {metric.removesuffix(' (%)')} on the validation split of "
                f"{setting(row.dataset)}, from {len(game.values)} configurations that differ in "
                f"layers alone, each trained once (seed {SEARCH_SEED}). {_meaning(game)}"
            ),
        )
        for modality, game in largest.items()
    ]


def _meaning(game: Game) -> str:
    """What the marks of a figure are."""
    count, every = len(game.values), 2 ** len(game.players)
    of = game.effects
    told = []
    if of.kind == "exact":
        told.append(
            f"All {every} subsets of layers are there. Main effects are the mean with the layer "
            "minus that without it, Shapley values what it adds to the layers before it, over all "
            "orders, which sum to the gain of all. On the right: what two layers gain together "
            "beside what each does, the mean over subsets of the others"
        )
    if of.kind == "fitted":
        told.append(
            f"Of {every} subsets of layers {count} are there. Main effects are coefficients of an "
            "additive model, fitted to these by least squares"
            + (
                "; Shapley values are those of the additive model that is exact without units and "
                "with all, fitted with Shapley's kernel: not of these subsets alone"
                if of.shapley
                else "; there are no Shapley values without the model without units and that "
                "with all"
            )
        )
    if of.kind == "alone":
        told.append(
            f"Of {every} subsets of layers {count} are there, which tell neither main effects nor "
            "Shapley values"
        )
    if of.alone:
        told.append("Alone: with units at this layer only, minus none")
    if of.interaction is not None:
        told.append("The interaction is the gain of all layers minus the sum of what each gains")
    return ". ".join(told) + "."


def _estimates(game: Game, of: Measured | None) -> list[Estimate]:
    return [one for by in _layers(game, of).values() for one in by.values()]


def _layers(game: Game, of: Measured | None) -> dict[str, dict[int, Estimate]]:
    """Kind of effect to player to estimate; kinds that nothing tells are left out."""
    contrasts: dict[str, Mapping[int, Contrast]] = {
        kind: getattr(game.effects, kind) for kind in KINDS
    }
    return {
        kind: {i: estimate(game, contrast, of) for i, contrast in by.items()}
        for kind, by in contrasts.items()
        if by
    }


def _sums(game: Game, of: Measured | None) -> dict[str, Estimate]:
    contrasts: dict[str, Contrast | None] = {name: getattr(game.effects, name) for name in SUMS}
    return {
        SUMS[name]: estimate(game, contrast, of)
        for name, contrast in contrasts.items()
        if contrast is not None
    }


def _draw(game: Game, of: Measured | None, *, name: str, metric: str, caption: str) -> Drawn:
    layers, sums = _layers(game, of), _sums(game, of)
    lines = len(game.players) + len(sums)
    two = bool(game.effects.pairs)
    with figure(PAGE if two else COLUMN, REST + LINE * lines) as made:
        panels = made.subplots(1, 2 if two else 1, squeeze=False, width_ratios=(3, 2)[: 1 + two])
        effects(panels[0, 0], game, layers, sums, metric)
        if two:
            pairs(panels[0, 1], game)
        legend(made, [mark_of(kind) for kind in layers])
        return drawn(
            made, name=name, caption=caption, alternative=_alternative(game, layers, sums)
        )


def _alternative(game: Game, layers: Layers, sums: Mapping[str, Estimate]) -> str:
    kind = next(iter(layers))
    told = [
        f"{100 * one.mean:+.1f} points at {shown(game.players[i])}"
        for i, one in layers[kind].items()
    ]
    text = f"By layer ({KINDS[kind][2]}): {listing(told)}"
    if sums:
        text += "; " + listing([f"{name} {100 * one.mean:+.1f}" for name, one in sums.items()])
    return f"{text}."
