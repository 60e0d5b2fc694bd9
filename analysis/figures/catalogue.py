"""All figures of a plan, in the order of reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from analysis.figures import curves, dots
from analysis.figures.canvas import Drawn
from mi2p.plan import Plan

FIGURES: Mapping[str, Callable[[Path, Plan], list[Drawn]]] = MappingProxyType(
    {"dots": dots.draw, "curves": curves.draw}
)
"""Name to what draws it; nothing where a plan has nothing for it."""
