"""What all figures share: colours, fonts, and bytes that depend on nothing but the data.

A module of figures has `draw(results, plan) -> list[Drawn]`, which is empty where a plan has
nothing for it to show.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import matplotlib
from matplotlib import font_manager, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mi2p.files import write_whole

DPI = 120
PRINT_DPI = 200
"""Of PNG files that stand beside a PDF."""
COLUMN, PAGE = 3.3, 6.9
"""Inches: one and both columns of a paper."""
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000"
)  # fmt: skip
"""Okabe and Ito's palette, which colour-blind readers tell apart; its yellow is too pale here."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside colours, for those who print in grey."""
SPLIT_COLOURS: Mapping[str, str] = MappingProxyType(
    {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
)
"""From the same palette."""
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that figures are the same on every machine."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure in both formats, with what stands below it."""

    name: str
    """Stem of its files, such as `table5-openclipart-bars`."""
    caption: str
    """Whole sentences: what is shown, of how many trials, and what bars and bands mean."""
    alternative: str
    """What it shows in a sentence, for those who cannot see it."""
    png: bytes
    pdf: bytes

    def write(self, folder: Path) -> list[Path]:
        """Write `<name>.pdf` and `<name>.png`, each whole or not at all."""
        return [
            write_whole(folder / f"{self.name}.pdf", self.pdf),
            write_whole(folder / f"{self.name}.png", self.png),
        ]


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, whose settings are matplotlib's own, not the user's.

    Settings are the user's again after the block, in which the figure must be made and drawn.
    No window and no backend of the user's is involved: `pyplot` is never imported.
    """
    with style.context("default"), matplotlib.rc_context({"font.family": FONT, "font.size": 9}):
        spaced = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        made = Figure(figsize=(width, height), dpi=DPI, layout=spaced)
        FigureCanvasAgg(made)
        yield made


def png(made: Figure, dpi: float | Literal["figure"] = "figure") -> bytes:
    """The figure as a PNG file without date or version, on white."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def pdf(made: Figure) -> bytes:
    """The figure as a PDF file without date or version; letters stay letters."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        made.savefig(buffer, format="pdf", facecolor="white", metadata=nothing)
    return buffer.getvalue()


def drawn(made: Figure, *, name: str, caption: str, alternative: str) -> Drawn:
    """Both formats of a finished figure, inside the block of `figure`.

    It is laid out once for both, which takes longer than to draw it.
    """
    made.draw_without_rendering()
    made.set_layout_engine("none")
    return Drawn(
        name=name,
        caption=caption,
        alternative=alternative,
        png=png(made, PRINT_DPI),
        pdf=pdf(made),
    )


def shown(text: str, length: int) -> str:
    """The text in one line of at most `length` characters, with a box for those without a glyph.

    Matplotlib would warn of each and draw a box of its own. Pass `parse_math=False` where it is
    drawn, or a dollar sign starts a formula.
    """
    path = font_manager.findfont(font_manager.FontProperties(family=FONT))
    glyphs = font_manager.get_font(path).get_charmap()
    line = "".join(c if ord(c) in glyphs else "\N{WHITE SQUARE}" for c in " ".join(text.split()))
    return line if len(line) <= length else line[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
