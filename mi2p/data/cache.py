"""Stores: arrays that are heavy to make and the same for many trials, made once, mapped by all.

A store is one Arrow IPC file named by the hash of what made it (its `Recipe.key`). It holds equal
cells (an image, a row of token ids, a word's features, a map) in record batches, each with a
checksum. The file is written to a temporary name under a file lock and renamed, so a killed build
leaves nothing that is read later; readers share its pages and copy only the rows they take.

A damaged file is found when it is opened (what Arrow needs to read it is gone) or verified (its
checksums differ), reported, and made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray

from mi2p.files import whole

FORMAT = 2
"""Raised when files written before could not be read."""
HEADER = b"mi2p"
PER_BATCH = b"mi2p-batch"
SUFFIX = ".arrow"
VARIABLE = re.compile(r"\$\{?(\w+)")
"""A variable of the environment in a path."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Cells of some consecutive examples."""

    values: NDArray[Any]
    """(cells, *cell)"""
    failures: Mapping[int, str] = field(default_factory=dict)
    """Rows (of examples, in the whole store) that could not be made, and why."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a store is made, here or by workers on other machines."""

    kind: str
    """`images`, `tokens`, `words` or `maps`."""
    key: Mapping[str, object]
    """All that decides the content, as JSON types; its hash names the store."""
    count: int
    """Number of examples."""
    step: int
    """Examples per chunk."""
    start: Callable[[], Callable[[slice], Chunk]]
    """Picklable: does the set-up in the process that makes chunks, and returns what makes them."""
    label: str = ""
    """What it is of and for, equal on machines whose files or versions make the keys differ."""

    def path(self, folder: Path) -> Path:
        """Where the store is or will be."""
        text = json.dumps({**self.key, "format": FORMAT}, sort_keys=True)
        return folder / f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}{SUFFIX}"

    def spans(self) -> list[slice]:
        """The examples of each chunk, in order."""
        edges = range(0, self.count, self.step)
        return [slice(first, min(first + self.step, self.count)) for first in edges]

    def chunks(self) -> Iterator[Chunk]:
        """Make every chunk in this process."""
        make = self.start()
        return (make(span) for span in self.spans())


def expanded(folder: Path) -> Path:
    """`folder` with the environment $VARIABLES of this machine; ValueError if one is not set."""
    unset = [name for name in VARIABLE.findall(str(folder)) if name not in os.environ]
    if unset:
        raise ValueError(
            f"every variable in {folder} must be set on each machine, but {unset[0]} is not"
        )
    return Path(os.path.expandvars(folder))


class Damaged(ValueError):
    """A store's file that cannot be read, or whose content is not what was written."""


class Stored:
    """An open store: cells in one order, memory-mapped.

    Raises Damaged when the file is not a store, and OSError when it may not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.stat().st_size:
                raise Damaged("the file is empty")
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            header = json.loads(reader.schema.metadata[HEADER])
            batches = [
                reader.get_batch_with_custom_metadata(i) for i in range(reader.num_record_batches)
            ]
            notes = [json.loads(batch.custom_metadata[PER_BATCH]) for batch in batches]
            self.kind: str = header["kind"]
            self.key: dict[str, object] = header["key"]
            self.cell = tuple(header["cell"])
            self.count: int = header["count"]
            self._chunks = [_cells(batch.batch, self.cell) for batch in batches]
            self._crcs = [note["crc"] for note in notes]
            self.failures = {int(row): why for n in notes for row, why in n["failures"].items()}
        except (FileNotFoundError, PermissionError):
            raise
        # Arrow reports what it cannot parse as OSError as well as ArrowInvalid (a ValueError).
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
            raise Damaged(str(error)) from error
        sizes = [len(chunk) for chunk in self._chunks]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.dtype = self._chunks[0].dtype if self._chunks else np.dtype(np.uint8)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of all cells."""
        return sum(chunk.nbytes for chunk in self._chunks)

    def cells(self, start: int, stop: int) -> NDArray[Any]:
        """Cells `start` to `stop`, which one chunk must hold, as a read-only view of the file."""
        at = int(np.searchsorted(self._starts, start, side="right")) - 1
        first = start - int(self._starts[at])
        return self._chunks[at][first : first + stop - start]

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The cells at `rows`, copied: (len(rows), *cell)."""
        out = np.empty((len(rows), *self.cell), self.dtype)
        for at, row in enumerate(rows.tolist()):
            out[at] = self.cells(row, row + 1)[0]
        return out

    def verify(self) -> None:
        """Read everything; Damaged if a checksum differs."""
        for number, (chunk, crc) in enumerate(zip(self._chunks, self._crcs, strict=True)):
            if _checksum(chunk) != crc:
                raise Damaged(f"the checksum of record batch {number} differs")


def stored(
    folder: Path,
    recipe: Recipe,
    *,
    chunks: Callable[[], Iterable[Chunk]] | None = None,
    progress: Callable[[int], None] = lambda done: None,
    verify: bool = False,
) -> Stored:
    """The store of `recipe` in `folder`, made first if it is not there or damaged.

    `chunks` makes its chunks in order (default: in this process). `progress` is called with the
    number of examples made so far, and not at all when the store is there. `verify` reads the
    whole file to compare its checksums.

    Raises OSError, with what is needed and free, when the disk is too small.
    """
    path = recipe.path(folder)
    found = open_store(path, verify)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            found = open_store(path, verify)  # another process may have made it meanwhile
            if found is None:
                try:
                    _write(path, recipe, (chunks or recipe.chunks)(), progress)
                except OSError as error:  # Arrow's own message does not say which file
                    error.add_note(f"while making {path}")
                    raise
                found = Stored(path)
    return found


def open_store(path: Path, verify: bool = False) -> Stored | None:
    """The store at `path`; None, with a warning, if it is damaged, or if there is none."""
    if not path.exists():
        return None
    try:
        found = Stored(path)
        if verify:
            found.verify()
    except Damaged as error:
        warnings.warn(f"{path} is damaged ({error}) and is made again", stacklevel=3)
        return None
    return found


def _cells(batch: pa.RecordBatch, cell: tuple[int, ...]) -> NDArray[Any]:
    """A record batch's cells (n, *cell) as a view of the file."""
    batch.validate()  # that buffers are as long as the metadata says
    values: NDArray[Any] = batch.column(0).values.to_numpy(zero_copy_only=True)
    return values.reshape(batch.num_rows, *cell)


def _write(
    path: Path, recipe: Recipe, chunks: Iterable[Chunk], progress: Callable[[int], None]
) -> None:
    for left_by_killed in path.parent.glob(f".{path.name}.*.partial"):
        left_by_killed.unlink(missing_ok=True)  # nobody else writes: this process has the lock
    writer: pa.RecordBatchFileWriter | None = None
    with whole(path) as partial, pa.OSFile(str(partial), "wb") as sink:
        try:
            for span, chunk in zip(recipe.spans(), chunks, strict=True):
                cell = chunk.values.shape[1:]
                if writer is None:
                    _check_space(path, chunk.values.nbytes / (span.stop - span.start), recipe)
                    writer = pa.ipc.new_file(sink, _schema(recipe, cell, chunk.values.dtype))
                _write_chunk(writer, chunk)
                progress(span.stop)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ValueError(f"a store needs at least one example, but {recipe.kind} has none")


def _schema(recipe: Recipe, cell: tuple[int, ...], dtype: np.dtype[Any]) -> pa.Schema:
    header = {"kind": recipe.kind, "key": recipe.key, "count": recipe.count, "cell": cell}
    kind = pa.list_(pa.from_numpy_dtype(dtype), math.prod(cell))
    return pa.schema([("cells", kind)], metadata={HEADER: json.dumps(header)})


def _write_chunk(writer: pa.RecordBatchFileWriter, chunk: Chunk) -> None:
    values = np.ascontiguousarray(chunk.values)
    flat = pa.array(values.reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, math.prod(values.shape[1:]))
    notes = {
        "crc": _checksum(values),
        "failures": dict(chunk.failures),
    }
    batch = pa.record_batch([column], names=["cells"])
    writer.write_batch(batch, custom_metadata={PER_BATCH: json.dumps(notes)})


def _checksum(values: NDArray[Any]) -> int:
    return zlib.crc32(values.reshape(-1).view(np.uint8).data)


def _check_space(path: Path, bytes_per_example: float, recipe: Recipe) -> None:
    """Better now than after hours."""
    needed, free = bytes_per_example * recipe.count, shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"the store of {recipe.kind} ({recipe.count} examples) needs about "
            f"{needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free in {path.parent}",
        )
