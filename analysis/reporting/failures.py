"""Trials that failed, with their errors, and what befell trials before they were over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.notes import listing
from analysis.reporting.folder import Folder
from mi2p.plan import Plan

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A trial that ended in an error."""

    trial_id: str
    name: str
    """Such as `table5-openclipart: MiniLM, seed 1`, of each plan that has it."""
    error: str
    """The line in its row."""
    befell: tuple[str, ...]
    """What happened to it before."""
    traceback: str | None
    """As kept in `errors/`; None if it is not."""


def failures(folder: Folder) -> list[Failure]:
    """Every failed trial of the folder, those of plans first and in their order."""
    names = _names(folder.plans)
    failed = [row for row in folder.rows.values() if row["status"] == "error"]
    order = {trial_id: place for place, trial_id in enumerate(names)}
    failed.sort(key=lambda row: (order.get(row["trial_id"], len(order)), row["trial_id"]))
    return [
        Failure(
            trial_id=row["trial_id"],
            name="; ".join(names.get(row["trial_id"], [_unplanned(row)])),
            error=str(row["error"]),
            befell=tuple(_befell(row)),
            traceback=_traceback(folder.results, row["trial_id"]),
        )
        for row in failed
    ]


def disturbed(folder: Folder) -> str:
    """A sentence on finished trials that lost their node or worker and went on; empty if none."""
    faults = [_faults(row) for row in folder.rows.values() if row["status"] != "error"]
    found = [of for of in faults if of]
    if not found:
        return ""
    kinds = [str(fault.get("kind")) for of in found for fault in of]
    told = listing([f"{kinds.count(kind)} of kind {kind}" for kind in sorted({*kinds})])
    trials = f"{len(found):,} trial{'s were' if len(found) > 1 else ' was'}"
    return f"{trials} disturbed and went on from the last checkpoint; faults: {told}."


def _names(plans: tuple[Plan, ...]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for plan in plans:
        for row in plan.rows:
            on = f" on {row.dataset}" if len(plan.datasets) > 1 else ""
            for spec in row.specs:
                told = f"{plan.name}: {row.label}{on}, seed {spec.seed}"
                names.setdefault(spec.trial_id, []).append(told)
    return names


def _unplanned(row: Mapping[str, Any]) -> str:
    """A trial of a search, or of a plan that has changed since."""
    return f"{row['model.name']} on {row['data.name']}, seed {row['seed']}, stage {row['stage']}"


def _befell(row: Mapping[str, Any]) -> Iterator[str]:
    for fault in _faults(row):
        after = f" after epoch {fault['epoch']}" if fault.get("epoch") is not None else ""
        yield f"{fault.get('what')}{after}"


def _faults(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    faults: list[Mapping[str, Any]] = json.loads(row["faults"]) if row["faults"] else []
    return faults


def _traceback(results: Path, trial_id: str) -> str | None:
    """The file as text that any browser shows, whatever a process wrote into it."""
    path = results / "errors" / f"{trial_id}.txt"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _ANSI.sub("", text))
