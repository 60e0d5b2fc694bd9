"""What all figures share: colours, fonts, and bytes that depend on nothing but the data."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import matplotlib
from matplotlib import font_manager, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

DPI = 120
SPLIT_COLOURS: Mapping[str, str] = MappingProxyType(
    {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
)
"""From Okabe and Ito's palette, which colour-blind readers tell apart."""
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that figures are the same on every machine."""


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


def png(made: Figure) -> bytes:
    """The figure as a PNG file without date or version, on white."""
    buffer = io.BytesIO()
    made.savefig(
        buffer, format="png", dpi="figure", facecolor="white", metadata={"Software": None}
    )
    return buffer.getvalue()


def shown(text: str, length: int) -> str:
    """The text in one line of at most `length` characters, with a box for those without a glyph.

    Matplotlib would warn of each and draw a box of its own. Pass `parse_math=False` where it is
    drawn, or a dollar sign starts a formula.
    """
    path = font_manager.findfont(font_manager.FontProperties(family=FONT))
    glyphs = font_manager.get_font(path).get_charmap()
    line = "".join(c if ord(c) in glyphs else "\N{WHITE SQUARE}" for c in " ".join(text.split()))
    return line if len(line) <= length else line[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
