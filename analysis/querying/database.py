"""A results folder as tables that SQL can be run on, and that it cannot change.

    trials        a row per trial
    epochs        a row per epoch of a trial
    predictions   a row per example that a trial predicted
    cells         a row per trial that a row of a plan wants

Columns are those of `mi2p.store.load` and its like, with `_` for what SQL would want in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from analysis.querying.columns import (
    OF_CELLS,
    OF_EPOCHS,
    OF_PREDICTIONS,
    OF_TRIALS,
    meanings,
    sql_name,
)
from mi2p.plan import read_plan
from mi2p.store import EPOCH_SCHEMA, PREDICTION_SCHEMA, TRIAL_SCHEMA, load, load_epochs

CELL_SCHEMA = pa.schema(
    [
        ("plan", pa.string()),
        ("table_number", pa.int64()),
        ("row", pa.string()),
        ("label", pa.string()),
        ("dataset", pa.string()),
        ("trial_id", pa.string()),
        ("seed", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table."""

    what: str
    """What it has a row per."""
    schema: pa.Schema
    own: Mapping[str, str]
    """Meanings of columns that nothing else tells."""
    read: Callable[[Path], Any]
    """From a results folder: an Arrow table, or a data set that is read when it is asked for."""

    @property
    def columns(self) -> list[tuple[str, str, str]]:
        """Name, type and meaning of each."""
        told = meanings(self.schema.names, self.own)
        return [(sql_name(field.name), str(field.type), told[field.name]) for field in self.schema]


def _trials(results: Path) -> pa.Table:
    return _named(pa.Table.from_pandas(load(results), schema=TRIAL_SCHEMA))


def _epochs(results: Path) -> pa.Table:
    return _named(pa.Table.from_pandas(load_epochs(results), schema=EPOCH_SCHEMA))


def _predictions(results: Path) -> Any:
    """Not loaded: of many trials they may not fit into memory, and a query wants few of them."""
    files = sorted(map(str, (results / "predictions").glob("*.parquet")))
    if not files:
        raise FileNotFoundError(
            f"no predictions in {results}: {results / 'predictions'} has no .parquet file"
        )
    return ds.dataset(files, schema=PREDICTION_SCHEMA, format="parquet")


def _cells(results: Path) -> pa.Table:
    paths = sorted((results / "plans").glob("*.json"))
    if not paths:
        raise FileNotFoundError(f"no plans in {results}: {results / 'plans'} has no .json file")
    rows = [
        {
            "plan": plan.name,
            "table_number": plan.table,
            "row": row.key,
            "label": row.label,
            "dataset": row.dataset,
            "trial_id": spec.trial_id,
            "seed": spec.seed,
        }
        for plan in map(read_plan, paths)
        for row in plan.rows
        for spec in row.specs
    ]
    return pa.Table.from_pylist(rows, schema=CELL_SCHEMA)


def _named(table: pa.Table) -> pa.Table:
    return table.rename_columns([sql_name(name) for name in table.column_names])


SOURCES: Mapping[str, Source] = {
    "trials": Source(what="trial", schema=TRIAL_SCHEMA, own=OF_TRIALS, read=_trials),
    "epochs": Source(what="epoch of a trial", schema=EPOCH_SCHEMA, own=OF_EPOCHS, read=_epochs),
    "predictions": Source(
        what="example that a trial predicted",
        schema=PREDICTION_SCHEMA,
        own=OF_PREDICTIONS,
        read=_predictions,
    ),
    "cells": Source(
        what="trial that a row of a plan wants", schema=CELL_SCHEMA, own=OF_CELLS, read=_cells
    ),
}


def named_in(sql: str) -> list[str]:
    """The tables whose names occur in a query: no others need to be read for it."""
    return [name for name in SOURCES if re.search(rf"\b{name}\b", sql, re.IGNORECASE)]


def connect(results: Path, tables: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """A database in memory with these tables, which reaches no file.

    `FileNotFoundError` if there is nothing of a table; `ValueError` names a damaged file.
    """
    connection = duckdb.connect()
    for name in tables:
        connection.register(name, SOURCES[name].read(results))
    # No COPY, ATTACH or read_csv, no extensions, no variables of this program; and for good.
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")
    return connection
