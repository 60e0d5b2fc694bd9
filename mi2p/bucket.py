"""Objects under a URI: in S3 and its like, or in a folder. Whole or not there, and sizes checked.

Nothing here locks: who writes an object last wins.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType

from mi2p.files import whole

Found = TypeVar("Found")

LEGAL = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, abfs://CONTAINER/PREFIX or file:///FOLDER"
OBJECT_STORES = ("s3", "gcs", "abfs")
"""pyarrow's names of file systems where an object appears when all of it is there."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between tries, after those that pyarrow makes on its own."""

_ADVICE: Mapping[str, str] = {
    "NO_SUCH_BUCKET|[Bb]ucket '.*' (not found|does not exist)": "the bucket must exist",
    "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|InvalidAccessKeyId"
    "|SignatureDoesNotMatch|HTTP status 40[13]|[Pp]ermission ?[Dd]enied|Read-only": (
        "the credentials (or the user) must allow to list, read, write and delete there"
    ),
}
"""What is required, by what the text of an error says; trying again would not help."""
_HINTS: Mapping[str, str] = {
    "NETWORK_CONNECTION|[Cc]ould not connect|curlCode|[Tt]imed? ?out": (
        "it must be reachable from here (see endpoint_override, scheme and region)"
    ),
    "": "it failed",
}
"""The same for errors that may pass; the first that fits."""


@dataclass(frozen=True)
class Bucket:
    """A place for objects, named by keys such as `trials/0123.parquet`.

    All methods raise OSError that says what failed where, after a few tries.
    """

    files: FileSystem
    root: str
    """Its path in `files`, without a slash at the end."""
    shown: str
    """What messages call it."""
    pauses: tuple[float, ...] = PAUSES

    def once(self) -> Bucket:
        """The same place, for callers that do not want to wait for another try."""
        return replace(self, pauses=())

    def check(self) -> None:
        """Write, read, list and delete a small object, or raise OSError with what is missing."""
        key, content = f"check/{uuid.uuid4().hex}", b"mi2p"
        here = self.once()
        here.put(key, content)
        if here.get(key) != content or key not in here.list("check"):
            raise OSError(f"{self.shown} must give back what was written, but {key} differs")
        here.delete(key)

    def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, or a file as one; who reads it finds the old one or all of it."""
        if self.files.type_name in OBJECT_STORES:
            self._tried(f"write {key}", lambda: self._write(self._path(key), content))
        else:
            self._tried(f"write {key}", lambda: self._move_in(key, content))

    def get(self, key: str) -> bytes:
        """An object's content; FileNotFoundError if there is none."""

        def read() -> bytes:
            with self.files.open_input_file(self._path(key)) as source:
                found: bytes = source.read()
                _check_size(len(found), source.size())
                return found

        return self._tried(f"read {key}", read)

    def fetch(self, key: str, path: Path) -> None:
        """Copy an object to a file, which is there whole or not at all; FileNotFoundError."""

        def copy() -> None:
            with (
                self.files.open_input_file(self._path(key)) as source,
                whole(path) as partial,
                partial.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
                _check_size(target.tell(), source.size())

        self._tried(f"read {key}", copy)

    def has(self, key: str) -> bool:
        """Whether there is such an object."""

        def is_file() -> bool:
            found: bool = self.files.get_file_info(self._path(key)).type == FileType.File
            return found

        return self._tried(f"look for {key}", is_file)

    def delete(self, key: str) -> None:
        """Delete an object; none is no error."""

        def delete() -> None:
            with suppress(FileNotFoundError):
                self.files.delete_file(self._path(key))

        self._tried(f"delete {key}", delete)

    def list(self, prefix: str) -> dict[str, int]:
        """Bytes of all objects below a folder, by their keys; none with `..` in its key, which
        would lead out of a folder that it is copied to."""
        base = self._path(prefix)
        selector = FileSelector(base, allow_not_found=True, recursive=True)
        found = self._tried(f"list {prefix}", lambda: self.files.get_file_info(selector))
        return {
            prefix + info.path.removeprefix(base): info.size
            for info in found
            if info.type == FileType.File and ".." not in info.path.split("/")
        }

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _write(self, path: str, content: bytes | Path) -> None:
        with self.files.open_output_stream(path, compression=None) as target:
            if isinstance(content, Path):
                with content.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
            else:
                target.write(content)
            size = target.tell()
        _check_size(self.files.get_file_info(path).size, size)

    def _move_in(self, key: str, content: bytes | Path) -> None:
        """Write to a temporary name first. It is not flushed to a disk: closing a file hands it
        to the server of a shared folder, which is the one that must not lose it."""
        partial, target = self._path(f"partial/{uuid.uuid4().hex}"), self._path(key)
        for path in (partial, target):
            self.files.create_dir(path.rpartition("/")[0], recursive=True)
        try:
            self._write(partial, content)
            self.files.move(partial, target)
        except OSError:
            with suppress(OSError):
                self.files.delete_file(partial)
            raise

    def _tried(self, what: str, action: Callable[[], Found]) -> Found:
        pauses = iter(self.pauses)
        while True:
            try:
                return action()
            except OSError as error:
                advice = _advice(str(error))
                if isinstance(error, FileNotFoundError) and not advice:
                    raise
                pause = next(pauses, None)
                if advice or pause is None:
                    raise _told(f"cannot {what} in {self.shown}", error) from error
            time.sleep(pause)


def opened(uri: str) -> Bucket:
    """The place that `uri` names, which pyarrow's file systems know; nothing is written.

    ValueError for a URI that is none, or of an unknown kind; OSError if asking for it failed.
    """
    shown = masked(uri)
    if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", uri):
        raise ValueError(f"--remote must be a URI such as {LEGAL}, but got {shown!r}")
    try:
        files, root = FileSystem.from_uri(uri)
    except OSError as error:
        raise _told(f"cannot open {shown}", error) from None
    except (pa.ArrowException, ValueError, ImportError) as error:
        why = masked(" ".join(str(error).split()))
        # Not `from error`, which has the URI's password.
        raise ValueError(
            f"--remote must be a URI such as {LEGAL}, but got {shown!r} ({why})"
        ) from None
    root = root.rstrip("/")
    if not root:
        raise ValueError(f"--remote must name a bucket or folder, as {LEGAL} do; got {shown!r}")
    return Bucket(files, root, shown)


def masked(text: str) -> str:
    """A text without what stands before the @ of a URI, where passwords are."""
    return re.sub(r"://[^/@\s'\"]*@", "://...@", text)


def _advice(text: str) -> str:
    return _first(_ADVICE, text)


def _first(told: Mapping[str, str], text: str) -> str:
    return next((told[words] for words in told if re.search(words, text)), "")


def _told(what: str, error: OSError) -> OSError:
    """The error to raise: what failed, what is required, and what the file system said."""
    text = masked(" ".join(str(error).split()))
    told = OSError(f"{what}: {_advice(text) or _first(_HINTS, text)} ({text})")
    # Those of object stores have no number. None is an error of the trial that met it.
    told.errno = error.errno or errno.EIO
    return told


def _check_size(found: int, expected: int) -> None:
    if found != expected:
        raise OSError(f"{found} of {expected} bytes arrived")
