"""Which cells of the written tables are no longer what the results folder would give.

Every `results/tables/*.json` that `provenance.document` wrote is compared with the plans, trials
and data that are there now, and with the code that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mi2p.spec import DataSpec

Cause = Literal["spec", "data", "code", "trials", "file"]


@dataclass(frozen=True, kw_only=True)
class Stale:
    """Cells of a row, or a file, of a table to which something happened since it was written."""

    table: str
    """The name of its plan."""
    row: str
    """The key of the row; empty for a file."""
    dataset: str
    columns: tuple[str, ...]
    """Those of the row's cells that are concerned."""
    cause: Cause
    why: str
    """What happened, with the trials that it happened to."""

    def __str__(self) -> str:
        raise NotImplementedError


def check(results: Path, present: Callable[[DataSpec], str | None] | None = None) -> list[Stale]:
    """What is stale in the tables of a results folder, by table and row.

    `present` gives the fingerprint of data as it is here now, or None where it is not. Without it
    data is only compared with what other trials saw.
    """
    raise NotImplementedError
