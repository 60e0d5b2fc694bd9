"""Files that are there whole or not at all, however the process that writes them ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes its name when the block ends well.

    The content is on the disk before the name is, so a power cut leaves the old file or the new
    one. Parent folders are made. When the block raises, the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two writers of one path, on other machines, in other processes or threads, do not meet; the
    # last one wins. Containers have the same few process ids.
    writer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.name}.{writer}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write `content` (text as UTF-8) and return the path; see `whole`."""
    data = content.encode() if isinstance(content, str) else content
    with whole(path) as partial:
        partial.write_bytes(data)
    return path


def check_writable(folder: Path) -> None:
    """`OSError` that says what to do, if a megabyte cannot be written below `folder`."""
    path = folder / f".write-{socket.gethostname()}-{os.getpid()}"
    try:
        write_whole(path, bytes(1 << 20))
    except OSError as error:
        raise OSError(
            error.errno,
            f"{folder} cannot be written to ({error.strerror}). Finished trials are kept: mend "
            "that, and the same command goes on from the last checkpoints",
        ) from error
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
