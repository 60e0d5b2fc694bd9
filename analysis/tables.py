"""Which module makes which of the paper's tables of results."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from analysis import search_table, table3, table4, table5, table6
from analysis.comparison import Comparison

COMPARISONS: Mapping[int, Comparison] = MappingProxyType(
    {
        0: search_table.TABLE,
        3: table3.TABLE,
        4: table4.TABLE,
        5: table5.TABLE,
        6: table6.TABLE,
    }
)
"""By the number of the table; 0 is one that the paper does not have."""
