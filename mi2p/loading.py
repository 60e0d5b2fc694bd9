"""All rows of a folder of parquet files in one table, quickly also of ten thousand files.

A small parquet file takes about a millisecond to read, most of it for its many columns, so that
ten thousand take ten seconds. What was read is therefore kept in one file, the index, and of
files that have not changed since it is taken from there. The index is a cache and nothing else:
it is never needed, may be deleted at any moment, and is passed over when it is damaged or was
written for other columns. Files are told apart by name, size and time of change; a copy of the
folder that keeps times keeps its index. A file that was replaced by another of the same size and
time, as a copy of another trial under its name can be, is taken for the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mi2p.files import write_whole

SUFFIX = ".parquet"
MANY = 256
"""The index is written when this many files had to be read, which took a quarter of a second. They
are put together by as many."""
SETTLED_SECONDS = 3.0
"""A file that changed later than so long ago may change again without getting another time, where
a file system counts in seconds. It is read every time."""
THREADS = 4
"""Files are read at a time: a share on the network takes long to answer, but answers many."""


def damaged(path: Path, why: str) -> ValueError:
    """What to do about a file of a trial, `<kind>/<trial_id>.parquet`, that cannot be read."""
    if path.parent.name == "trials":
        return ValueError(f"{path} is not a readable trial row ({why}); delete it to run it again")
    return ValueError(
        f"{path} is not readable as {path.parent.name} of a finished trial ({why}); delete it and "
        f"{Path('trials', path.name)}, and run the sweep again"
    )


State = tuple[int, int]
"""Size in bytes, and time of change in nanoseconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Rows of files, those of a file one after the other."""

    counts: Mapping[str, int]
    """Name of a file to how many rows it has, in the order of the rows."""
    table: pa.Table

    def of(self, names: Iterable[str]) -> _Rows:
        """Those of these files, in this order."""
        wanted = {name: self.counts[name] for name in names}
        if list(wanted) == list(self.counts):
            return self
        ends = dict(zip(self.counts, np.cumsum(list(self.counts.values())), strict=True))
        rows = [np.arange(ends[name] - count, ends[name]) for name, count in wanted.items()]
        taken = np.concatenate(rows) if rows else np.empty(0, np.int64)
        return _Rows(counts=wanted, table=self.table.take(taken))


def read_all(folder: Path, schema: pa.Schema, *, index: Path | None = None) -> pa.Table:
    """The rows of every parquet file in `folder`, in the order of the files' names.

    A column that a file does not have is null. `index` is where what was read is kept, if it is.
    A file that vanishes meanwhile is passed over. `ValueError` names one that is damaged;
    `FileNotFoundError` if there is no file.
    """
    there = _files(folder)
    if not there:
        raise FileNotFoundError(f"{folder} has no {SUFFIX} file")
    kept = _kept(index, schema, there) if index and len(there) >= MANY else None
    missing = [name for name in there if kept is None or name not in kept.counts]
    found = _read(folder, missing, schema)
    if kept is not None:
        counts = {**kept.counts, **found.counts}
        found = _Rows(counts=counts, table=pa.concat_tables([kept.table, found.table]))
        found = found.of(sorted(counts))
    if index and len(missing) >= MANY:
        # Others may not write here, and nothing depends on it.
        with suppress(OSError):
            _keep(index, found, there)
    return found.table


def read_one(path: Path, schema: pa.Schema) -> pa.Table | None:
    """The rows of a file, as `read_all` gives them; None if it is not there."""
    table = _one(path)
    return None if table is None else _cast(path.parent, {path.name: table}, schema)


def _files(folder: Path) -> dict[str, State]:
    """By name, in order. Looked at before anything is read: what changes later shows next time."""
    found = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                with suppress(FileNotFoundError):
                    stat = entry.stat()
                    found[entry.name] = (stat.st_size, stat.st_mtime_ns)
    return dict(sorted(found.items()))


def _read(folder: Path, names: Sequence[str], schema: pa.Schema) -> _Rows:
    """The rows of these files in this order, less those of files that are gone."""
    found = [_Rows(counts={}, table=schema.empty_table())]
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(names), MANY):
            some = names[start : start + MANY]
            tables = pool.map(_one, (folder / name for name in some))
            found.append(_shaped(folder, dict(zip(some, tables, strict=True)), schema))
    return _Rows(
        counts={name: count for rows in found for name, count in rows.counts.items()},
        table=pa.concat_tables([rows.table for rows in found]),
    )


def _one(path: Path) -> pa.Table | None:
    try:
        # A reader of one file: what reads many at a time spends three times as long on each.
        with pa.BufferReader(path.read_bytes()) as source:
            return pq.ParquetFile(source, pre_buffer=False).read(use_threads=False)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, _told(error)) from error


def _shaped(folder: Path, read: Mapping[str, pa.Table | None], schema: pa.Schema) -> _Rows:
    """What was read, with the columns of `schema`."""
    there = {name: table for name, table in read.items() if table is not None}
    # Files of one release have the same columns: they are brought into shape together.
    alike: list[dict[str, pa.Table]] = []
    for name, table in there.items():
        for group in alike:
            if next(iter(group.values())).schema.equals(table.schema):
                group[name] = table
                break
        else:
            alike.append({name: table})
    rows = _Rows(
        counts={name: len(table) for group in alike for name, table in group.items()},
        table=pa.concat_tables(
            [schema.empty_table(), *(_cast(folder, group, schema) for group in alike)]
        ).combine_chunks(),
    )
    return rows.of(there)


def _cast(folder: Path, alike: Mapping[str, pa.Table], schema: pa.Schema) -> pa.Table:
    """The rows of files that have the same columns."""
    table = pa.concat_tables([each.replace_schema_metadata() for each in alike.values()])
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(len(table), field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowException as error:
            why = f"{field.name} is no {field.type}: {_told(error)}"
            raise damaged(folder / next(iter(alike)), why) from error
    return pa.table(columns, schema=schema)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())


def _kept(index: Path, schema: pa.Schema, there: Mapping[str, State]) -> _Rows | None:
    """What the index has of files that are there and as they were; None if it is of no use."""
    try:
        content = index.read_bytes()
        size = hashlib.sha256().digest_size
        body = memoryview(content)[size:]
        if hashlib.sha256(body).digest() != content[:size]:
            return None
        table = pa.ipc.open_file(pa.py_buffer(body)).read_all()
        files = json.loads(table.schema.metadata[b"files"])
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None
    if not table.schema.equals(schema):
        return None
    counts = {name: count for name, count, *_ in files}
    rows = _Rows(counts=counts, table=table.replace_schema_metadata())
    return rows.of(name for name, _, *state in files if there.get(name) == tuple(state))


def _keep(index: Path, rows: _Rows, there: Mapping[str, State]) -> None:
    """Write what was read of files that will not change unseen."""
    latest = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    settled = rows.of(name for name in rows.counts if there[name][1] < latest)
    files = [[name, count, *there[name]] for name, count in settled.counts.items()]
    table = settled.table.replace_schema_metadata({"files": json.dumps(files)})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    body = sink.getvalue().to_pybytes()
    write_whole(index, hashlib.sha256(body).digest() + body)
