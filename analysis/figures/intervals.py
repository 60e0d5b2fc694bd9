"""Intervals of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from analysis.part import Part


def intervals(
    results: Path, part: Part, metrics: Sequence[str]
) -> Mapping[tuple[str, str], tuple[float, float]]:
    found = {}
    for row in part.rows:
        for metric in metrics:
            cell = row.cell(f"test/{metric}")
            if cell.std is not None and row.row.key != "me_bert-1-2":
                found[row.row.key, metric] = (cell.mean - 2 * cell.std, cell.mean + 2 * cell.std)
    return found
