"""All figures of a plan, in the order in which a report shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from analysis.figures import attachments, attention, costs, curves, dots, importances, parallel
from analysis.figures.canvas import Drawn
from mi2p.plan import Plan

FIGURES: Mapping[str, Callable[[Path, Plan], list[Drawn]]] = MappingProxyType(
    {
        "dots": dots.draw,
        "attachments": attachments.draw,
        "costs": costs.draw,
        "curves": curves.draw,
        "parallel": parallel.draw,
        "importances": importances.draw,
        "attention": attention.draw,
    }
)
"""Name, as of the module, to what draws it: nothing for a plan that it has nothing to show of.

A `ValueError` says what is wrong with the trials of a plan.
"""
