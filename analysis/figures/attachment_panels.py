"""The panels of the figure of attachments: effects of layers, and of pairs of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from analysis.attachment_games import Estimate, Game, estimate
from analysis.figures.canvas import COLOURS
from analysis.figures.rows import TICKS, WORDS, absent, light, mark
from mi2p.paths import shown

KINDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "main": (COLOURS[0], "o", "main effect"),
        "shapley": (COLOURS[4], "s", "Shapley value"),
        "alone": (COLOURS[2], "^", "alone"),
    }
)
"""Of an effect of a layer: colour, mark, and name."""
Layers = Mapping[str, Mapping[int, Estimate]]
"""Kind of effect to player to estimate."""


def mark_of(kind: str) -> Line2D:
    """Of a legend."""
    colour, marker, label = KINDS[kind]
    return mark(label, marker, colour, hollow=kind == "alone")


def effects(
    axes: Axes, game: Game, layers: Layers, sums: Mapping[str, Estimate], metric: str
) -> None:
    """A line for each player and each sum, whose zero is drawn."""
    axes.axvline(0, color="0.4", linewidth=0.8)
    for number, (kind, by) in enumerate(layers.items()):
        colour, marker, _ = KINDS[kind]
        shift = 0.24 * (number - (len(layers) - 1) / 2)
        fill = "white" if kind == "alone" else colour
        for place in range(len(game.players)):
            if place in by:
                _dot(axes, by[place], place + shift, colour, marker, fill)
            else:
                absent(axes, place + shift)
    places = len(game.players)
    for line, one in enumerate(sums.values()):
        _dot(axes, one, places + line, COLOURS[6], "D", COLOURS[6])
    if sums:
        axes.axhline(places - 0.5, color="0.6", linewidth=0.6)
    names = [f"layer{'s' * (len(player) > 1)} {shown(player)}" for player in game.players]
    axes.set_yticks(range(places + len(sums)), [*names, *sums], fontsize=TICKS)
    axes.set_ylim(places + len(sums) - 0.4, -0.6)
    light(axes)
    axes.margins(x=0.08)
    axes.set_xlabel(f"gain in {metric.removesuffix(' (%)')} (points)", fontsize=WORDS)


def _dot(axes: Axes, one: Estimate, place: float, colour: str, marker: str, fill: str) -> None:
    middle = 100 * one.mean
    if one.half_width is not None:
        half = 100 * one.half_width
        axes.plot([middle - half, middle + half], [place, place], color=colour, linewidth=1.2)
    axes.plot(middle, place, marker, ms=4.5, mec=colour, mfc=fill, mew=0.9)


def pairs(axes: Axes, game: Game) -> None:
    """A square for every two players, coloured by what they gain together, with the number."""
    count = len(game.players)
    grid = np.full((count, count), np.nan)
    for (i, j), contrast in game.effects.pairs.items():
        grid[j, i] = 100 * estimate(game, contrast, None).mean
    most = float(np.nanmax(np.abs(grid))) or 1.0
    axes.imshow(grid, cmap=matplotlib.colormaps["PuOr"], norm=Normalize(-most, most))
    for i, j in itertools.combinations(range(count), 2):
        dark = abs(grid[j, i]) > 0.6 * most
        text = f"{grid[j, i]:+.1f}".replace("-", "\N{MINUS SIGN}")
        axes.text(
            i,
            j,
            text,
            ha="center",
            va="center",
            fontsize=TICKS,
            color="white" if dark else "black",
        )
    names = [shown(player) for player in game.players]
    axes.set_xticks(range(count - 1), names[:-1], fontsize=TICKS)
    axes.set_yticks(range(1, count), names[1:], fontsize=TICKS)
    axes.set_xlim(-0.5, count - 1.5)
    axes.set_ylim(count - 0.5, 0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("layer", fontsize=WORDS)
    axes.set_ylabel("and layer", fontsize=WORDS)
    axes.set_title("gain of two beside that of each (points)", fontsize=TICKS)
