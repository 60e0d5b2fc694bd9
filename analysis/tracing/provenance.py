"""What the cells of a table are made of: trials, configuration, code and data.

A cell is told in the LaTeX source as a comment below its row, and in JSON beside the table
(`document`), which also has digests of what lay in the results folder: `staleness.check` compares
it with what lies there now. The same results give the same bytes; no time and no path is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cells import RowTrials
from mi2p.fields import identity
from mi2p.plan import Plan
from mi2p.spec import ID_LENGTH, TrialSpec
from mi2p.store import Store

KIND = "mi2p provenance"
"""What a JSON file of this module says that it is."""
ORIGIN = ("code_version", "code", "data_fingerprint")
"""Columns of a trial's row that say what made it, and of what."""
DIGEST_LENGTH = 16
UNKNOWN = "unknown"
"""What is not in the row of a trial that is older than the column."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a cell, or all cells of a row, are made of."""

    trials: tuple[str, ...]
    """Ids of the finished trials, in the order of their seeds."""
    averaged: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Of trials that average others: their ids, each with those of its parts."""
    configuration: str
    """Hash of the spec without its seed."""
    versions: tuple[str, ...]
    """Of the code, each once."""
    code: tuple[str, ...]
    """Hashes of the sources that the trials ran, each once."""
    data: tuple[str, ...]
    """Fingerprints of the data that the trials read, each once."""
    reference: Provenance | None = None
    """Of a difference: what it is to."""

    @property
    def involved(self) -> tuple[str, ...]:
        """All trials that the cell depends on: also parts of averages, and the reference's."""
        parts = (part for _, ids in self.averaged for part in ids)
        return (*self.trials, *parts, *(self.reference.involved if self.reference else ()))

    def comment(self) -> str:
        """All of it on one line, for the source of a table."""
        told = f"trials: {' '.join(self.trials) or 'none'}"
        if self.averaged:
            parts = (f"{trial} of {' and '.join(ids)}" for trial, ids in self.averaged)
            told += f"; averages: {', '.join(parts)}"
        told += f"; configuration: {self.configuration}"
        for name, values in (("version", self.versions), ("code", self.code), ("data", self.data)):
            told += f"; {name}: {' '.join(values)}" if values else ""
        return told + (f"; minus {self.reference.comment()}" if self.reference else "")

    def plain(self) -> dict[str, Any]:
        """The same as JSON types."""
        plain: dict[str, Any] = {
            "trials": list(self.trials),
            "averages": {trial: list(parts) for trial, parts in self.averaged},
            "configuration": self.configuration,
            "code_version": list(self.versions),
            "code": list(self.code),
            "data_fingerprint": list(self.data),
        }
        if self.reference:
            plain["reference"] = self.reference.plain()
        return plain


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A cell of a table."""

    row: str
    """The key of its row in the plan."""
    dataset: str
    column: str
    """Such as `accuracy`, or `delta_accuracy` for the difference to the reference."""
    text: str
    """As printed."""
    provenance: Provenance


def of_row(
    plan: Plan,
    row: RowTrials,
    *,
    reference: RowTrials | None = None,
    trials: Sequence[str] | None = None,
) -> Provenance:
    """What a row of `plan` came from or, with a `reference`, its paired difference to that row.

    A difference is made of the seeds that both have. `trials` leaves out others of the row, for a
    cell that is not made of all of them (`Cell.trial_ids`).
    """
    if reference is None:
        return _of_trials(plan, row, row.finished["trial_id"] if trials is None else trials)
    shared = set(row.finished["seed"]) & set(reference.finished["seed"])
    ours, theirs = (
        _of_trials(plan, other, other.finished["trial_id"][other.finished["seed"].isin(shared)])
        for other in (row, reference)
    )
    return replace(ours, reference=theirs)


def _of_trials(plan: Plan, row: RowTrials, trials: Iterable[str]) -> Provenance:
    rows = row.finished[row.finished["trial_id"].isin(list(trials))]
    used = tuple(str(trial_id) for trial_id in rows["trial_id"])
    return Provenance(
        trials=used,
        averaged=tuple(
            (spec.trial_id, spec.averages)
            for spec in row.row.specs
            if spec.averages and spec.trial_id in used
        ),
        configuration=configuration(row.row.specs[0], plan),
        versions=_each_once(rows, "code_version"),
        code=_each_once(rows, "code"),
        data=_each_once(rows, "data_fingerprint"),
    )


def configuration(spec: TrialSpec, plan: Plan) -> str:
    """The hash of all that identifies a trial but its seed; of an average, of its parts'."""
    if spec.averages:
        known = {other.trial_id: other for other in plan.specs()}
        return _hash([configuration(known[part], plan) for part in spec.averages])
    plain = identity(spec)
    del plain["seed"]
    for name in spec.unread():
        plain["data"].pop(name, None)
    return _hash(plain)


def document(results: Path, plan: Plan, cells: Iterable[Entry], files: Mapping[str, str]) -> str:
    """The JSON text that stands beside a table of `plan`, with all that a check compares.

    `files` are the names and texts of the files in `results/tables` that show these cells.
    """
    made = list(cells)
    used = {trial_id for cell in made for trial_id in cell.provenance.involved}
    plain = {
        "kind": KIND,
        "plan": plan.name,
        "table": plan.table,
        "plan_digest": digest(results / "plans" / f"{plan.name}.json"),
        "files": {name: _short(text.encode()) for name, text in sorted(files.items())},
        "rows": [
            {
                "row": row.key,
                "dataset": row.dataset,
                "data": row.specs[0].data.to_dict(),
                "wants": [spec.trial_id for spec in row.specs],
            }
            for row in plan.rows
        ],
        "trials": {trial_id: _state(results, trial_id) for trial_id in sorted(used)},
        "cells": [
            {
                "row": cell.row,
                "dataset": cell.dataset,
                "column": cell.column,
                "text": cell.text,
                **cell.provenance.plain(),
            }
            for cell in made
        ],
    }
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def digest(path: Path) -> str | None:
    """Of a file's content; None if it is not there."""
    try:
        return _short(path.read_bytes())
    except FileNotFoundError:
        return None


def digests(results: Path, trial_id: str) -> dict[str, str | None]:
    """Of what tables are made of: a trial's row and its predictions."""
    return {
        f"{kind}_digest": digest(results / kind / f"{trial_id}.parquet")
        for kind in ("trials", "predictions")
    }


def _state(results: Path, trial_id: str) -> dict[str, Any]:
    row = Store(results).trial(trial_id) or {}
    facts = {name: row.get(name) for name in ("seed", *ORIGIN)}
    return {**facts, **digests(results, trial_id)}


def _each_once(rows: pd.DataFrame, column: str) -> tuple[str, ...]:
    return tuple(sorted({UNKNOWN if pd.isna(value) else str(value) for value in rows[column]}))


def _hash(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
