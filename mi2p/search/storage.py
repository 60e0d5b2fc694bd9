"""Where Optuna's studies are kept: a journal file, or a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

JOURNAL = "studies.journal"
LEGAL = (
    "--storage is a journal file, such as studies.journal, or a URL of SQLAlchemy, such as "
    "sqlite:///studies.db"
)
LOCK_SECONDS = 10
"""A lock of the journal this old was left by a killed process: it is held for milliseconds."""
BEGINNING = b'{"op_code":'
"""Of every line that Optuna writes to a journal."""


@contextmanager
def alone(results: Path) -> Iterator[None]:
    """Be the only search in this results folder, or raise `RuntimeError`.

    A killed one leaves no lock: the system gives it back.
    """
    path = results / ".search.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(
            f"another search runs in {results}: wait for its end, or give this one its own "
            "--results"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_storage(uri: str | None, results: Path) -> BaseStorage:
    """The storage at `uri`: a journal's path or a database's URL; None is `results`' journal.

    The last line of a journal is removed if a killed process wrote half of it, so be `alone`.
    `ValueError` if it cannot be used, which says what is legal.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if uri is not None and "://" in uri:
            return _database(uri)
        return _journal((results / JOURNAL if uri is None else Path(uri).expanduser()).absolute())
    except OSError as error:
        raise ValueError(f"{LEGAL}, but {uri or results / JOURNAL} failed: {error}") from error


def _database(uri: str) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    # The dashboard may hold SQLite's lock for a while; its own patience is 5 seconds.
    patient = {"connect_args": {"timeout": 60}} if uri.startswith("sqlite") else None
    try:
        return RDBStorage(uri, engine_kwargs=patient)
    except (SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{LEGAL}, but {uri} failed: {told[0]}") from error


def _journal(path: Path) -> BaseStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    # An absolute path: the lock is a link, and a relative one from another folder leads nowhere.
    lock = JournalFileSymlinkLock(str(path), grace_period=LOCK_SECONDS)
    backend = JournalFileBackend(str(path), lock_obj=lock)  # makes the file
    lock.acquire()
    try:
        _drop_half_line(path)
    finally:
        lock.release()
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(
            f"{path} is no journal of Optuna's that it can read: {error!r}"
        ) from error


def _drop_half_line(path: Path) -> None:
    """Remove a last line without an end: Optuna would append to it, and then read neither."""
    content = path.read_bytes()
    whole, half = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
    for number, line in enumerate(whole.splitlines(), start=1):
        if not _is_record(line):
            raise ValueError(
                f"line {number} of {path} is no record of Optuna's. {LEGAL}. If this is a damaged "
                "journal, delete the line: what it said is lost, and no more"
            )
    if not half:
        return
    if not whole and not BEGINNING.startswith(half[: len(BEGINNING)]):
        raise ValueError(f"{LEGAL}, but {path} is something else")
    with path.open("r+b") as file:
        file.truncate(len(whole))


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "op_code" in record
