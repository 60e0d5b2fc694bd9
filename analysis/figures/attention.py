"""Figure 3: attended words and channels, drawn from `results/attention` alone.

A row of three panels per example and unit: for a word the map of its channel over the picture as
the model sees it, the text with the word marked, and the channel's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.attended import (
    Attended,
    attended,
    enlarged,
    shown_items,
    shown_units,
    strongest,
)
from analysis.figures.attention_caption import (
    Source,
    alternative,
    answer_of,
    place_of,
    sentences,
)
from analysis.figures.attention_matrix import draw_matrix
from analysis.figures.canvas import Drawn, drawn, figure, shown
from analysis.figures.sentence import DOTS, SIZE, draw_sentence, lines_of
from mi2p.attention_file import Attention, Unit, folder_of, read, stem
from mi2p.files import write_whole
from mi2p.model_spec import BOTH
from mi2p.plan import Plan, PlanRow

PANEL = 2.1
"""Inches of a picture's side."""
GAP = 0.2
HEAD = 0.48
"""Inches above the pictures, for the example's label and the prediction."""
BELOW = 0.22
"""For the channel's number."""
LINE = 0.17
"""Of a line of text."""
COLOUR_MAP = "viridis"
"""Told apart by all readers, and in grey."""
BLEND = 0.5


def draw(results: Path, plan: Plan) -> list[Drawn]:
    """A figure for every unit to be shown of every example that is kept of the plan's trials.

    `ValueError` for a file that cannot be read.
    """
    found = []
    for row in plan.rows:
        for spec in row.specs:
            source = Source(plan=plan, row=row, seed=spec.seed)
            for path in sorted(folder_of(results, spec.trial_id).glob("*.npz")):
                attention = read(path)
                for unit in shown_units(attention):
                    name = f"{source.stem}-{stem(attention.example)}-{place_of(unit)}"
                    found += draw_unit(attention, unit, source, name)
    return found


def write(results: Path, plan: Plan, row: PlanRow, attention: Attention) -> list[str]:
    """Write an example's table, pictures and their captions beside its .npz; what to tell.

    Nothing is written where `draw_unit` raises.
    """
    folder, name = folder_of(results, attention.trial_id), stem(attention.example)
    seed = next(s.seed for s in row.specs if s.trial_id == attention.trial_id)
    source = Source(plan=plan, row=row, seed=seed)
    told = ["; ".join(answer_of(attention)), f"text: {attention.sentence.text}"]
    for unit in attention.units:
        spread = attended(attention, unit).spread
        told.append(f"{place_of(unit)}: entropy {spread:.3f}, 1 being uniform")
    made = []
    for unit in shown_units(attention):
        made += draw_unit(attention, unit, source, f"{name}-{place_of(unit)}")
        found = attended(attention, unit)
        made.append(draw_matrix(attention, found, source, f"{name}-{place_of(unit)}-all"))
    if len(made) == len(shown_units(attention)):
        told.append("no picture: the text has no words")
    write_whole(folder / f"{name}.csv", strongest(attention).to_csv(index=False))
    captions = "".join(f"{one.name}: {one.caption}\n" for one in made)
    write_whole(folder / f"{name}.txt", captions)
    written = {path for one in made for path in one.write(folder)}
    for modality in BOTH:
        for old in set(folder.glob(f"{name}-{modality}-*")) - written:
            old.unlink()  # of other units, by an earlier run: nothing would say what it shows
    for one in made:
        told.append(f"{one.name}.pdf, .png: {one.alternative}")
    return told


def draw_unit(attention: Attention, unit: Unit, source: Source, name: str) -> list[Drawn]:
    """The figure of one unit; nothing for a text without words.

    `ValueError` for words that were asked for and are not in the text.
    """
    found = attended(attention, unit)
    items = shown_items(found, attention.shown)
    if not items:
        return []
    chosen = [found.channels(item, attention.shown.channels) for item in items]
    lines = max(lines_of(attention.sentence, found.items[item].word, PANEL) for item in items)
    width = len(items) * (PANEL + GAP) + GAP
    height = HEAD + PANEL + BELOW + lines * LINE + 0.1
    with figure(width, height) as made:
        made.set_layout_engine("none")  # sizes are given
        for line, text in enumerate(answer_of(attention)):
            made.text(
                GAP / width,
                1 - (0.08 + (line + 0.5) * LINE) / height,
                shown(text, int(13 * (width - GAP))),
                va="center",
                parse_math=False,
            )
        for place, (item, channels) in enumerate(zip(items, chosen, strict=True)):
            left = GAP + place * (PANEL + GAP)
            _panel(made, attention, found, item, channels, left)
        return [
            drawn(
                made,
                name=name,
                caption=" ".join(sentences(attention, found, items, chosen, source)),
                alternative=alternative(attention, found, items, chosen),
            )
        ]


def _panel(
    made: Figure,
    attention: Attention,
    found: Attended,
    item: int,
    channels: Sequence[int],
    left: float,
) -> None:
    width, height = made.get_size_inches()
    bottom = height - HEAD - PANEL
    axes = made.add_axes((left / width, bottom / height, PANEL / width, PANEL / height))
    axes.imshow(blended(attention.picture, found.heat(item, channels)))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.6")
    told = f"channel {channels[0]}" if len(channels) == 1 else f"channels {channels[0]}, {DOTS}"
    middle = (bottom - BELOW / 2) / height
    made.text(left / width, middle, told, va="center", fontweight="bold")
    made.text(
        (left + PANEL) / width,
        middle,
        f"entropy {found.entropy[item]:.3f}",
        ha="right",
        va="center",
        fontsize=SIZE,
        color="0.35",
    )
    draw_sentence(
        made,
        attention.sentence,
        found.items[item].word,
        left=left,
        top=bottom - BELOW,
        width=PANEL,
        line=LINE,
    )


def blended(picture: NDArray[np.uint8], heat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, S, 3) from 0 to 1: half the picture, half the colours of the heat map."""
    colours = matplotlib.colormaps[COLOUR_MAP](enlarged(heat, len(picture)))[..., :3]
    mixed: NDArray[np.float64] = (1 - BLEND) * picture / 255 + BLEND * colours
    return mixed
