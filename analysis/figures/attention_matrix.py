"""What a MI2P unit gives to all words and the channels that stand out: a matrix of colours."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.attended import Attended
from analysis.figures.attention_caption import Source, compared, heads_of, subject
from analysis.figures.canvas import Drawn, drawn, figure, shown
from mi2p.attention_file import Attention

CHANNELS = 24
"""Those that differ most from what all that asks gives in the mean."""
CELL = 0.24
"""Inches."""
COLOUR_MAP = "PuOr_r"
"""From little to much, white at uniform, for colour-blind readers as well."""
LEAST = 1.25
"""Times uniform, or a part of it, at which colours are full at the least: noise stays pale."""
MOST = 16.0
"""And at the most: one weight of nearly nothing must not make all others pale."""


def columns(found: Attended) -> NDArray[np.int64]:
    """The channels that are drawn, by number."""
    order = np.argsort(-np.abs(found.contrast).max(0), kind="stable")
    return np.sort(order[:CHANNELS])


def times_uniform(found: Attended) -> NDArray[np.float64]:
    """(I, c) Weights over what they are where nothing is preferred."""
    attended = found.weights.shape[1]
    if found.unit.modality == "visual":
        attended = found.unit.weights.shape[-1]  # channels attend to word pieces
    times: NDArray[np.float64] = found.weights * attended
    return times


def draw_matrix(attention: Attention, found: Attended, source: Source, name: str) -> Drawn:
    """A row per word and special piece, a column per channel."""
    chosen = columns(found)
    values = np.log2(np.maximum(times_uniform(found)[:, chosen], 1e-6))
    extreme = 2 ** float(np.abs(values).max())
    full = float(np.log2(np.clip(extreme, LEAST, MOST)))
    with figure(2.6 + CELL * len(chosen), 1.1 + CELL * len(found.items)) as made:
        axes = made.subplots()
        picture = axes.imshow(values, cmap=COLOUR_MAP, vmin=-full, vmax=full, aspect="auto")
        _label(axes, found, chosen)
        bar = made.colorbar(picture, ax=axes, pad=0.02)
        at_most, at_least = (
            ("\N{LESS-THAN OR EQUAL TO} ", "\N{GREATER-THAN OR EQUAL TO} ")
            if extreme > MOST
            else ("", "")
        )
        ends = (f"{at_most}1/{2**full:.3g}", "1", f"{at_least}{2**full:.3g}")
        bar.set_ticks([-full, 0, full], labels=ends)
        bar.set_label("times uniform")
        attends = "words attend to channels"
        if found.unit.modality == "visual":
            attends = "channels attend to words"
        return drawn(
            made,
            name=name,
            caption=" ".join(
                (
                    *subject(attention, found.unit, source),
                    f"Weights ({heads_of(attention)}) in multiples of uniform attention; "
                    f"{attends}. The {len(chosen)} of {found.weights.shape[1]} channels that "
                    "stand out most from the mean over what attends; words of several pieces by "
                    "their mean.",
                    *compared(attention),
                )
            ),
            alternative=f"A matrix of {len(found.items)} words by {len(chosen)} channels.",
        )


def _label(axes: Axes, found: Attended, chosen: NDArray[np.int64]) -> None:
    axes.set_xticks(range(len(chosen)), [str(c) for c in chosen.tolist()], rotation=90)
    axes.set_yticks(
        range(len(found.items)), [shown(item.text, 18) for item in found.items], parse_math=False
    )
    axes.tick_params(length=2, labelsize=8)
    axes.set_xlabel("channel")
