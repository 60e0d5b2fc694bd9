"""A file system for tests that dies, fails or cuts short at a chosen step."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem

from mi2p.bucket import Bucket
from mi2p.files import write_whole


class Died(BaseException):
    """The process is gone; no `except Exception` sees it."""


class FaultyFiles:
    """A folder behind the methods of pyarrow's file systems that a bucket uses.

    As `s3` it has objects: one is there when it is closed, and folders need not be made.
    """

    def __init__(self, kind: str = "s3") -> None:
        self.type_name = kind
        self.real = LocalFileSystem()
        self.steps: list[str] = []
        """What was done, in order: reads and writes."""
        self.dies_at: int | None = None
        """The step that is not done, nor any after it."""
        self.faults: list[OSError] = []
        """Raised by the next steps, one each."""
        self.cuts: list[int] = []
        """Bytes that the next writes lose at their end, while they say that all went well."""
        self.short: list[int] = []
        """The same of the next reads."""

    def open_output_stream(self, path: str, compression: None) -> Any:
        self._step("write", path)
        return _Output(self, path)

    def open_input_file(self, path: str) -> Any:
        self._step("read", path)
        source = self.real.open_input_file(path)
        return _Input(source, self.short.pop(0)) if self.short else source

    def get_file_info(self, what: Any) -> Any:
        self._alive()
        return self.real.get_file_info(what)

    def delete_file(self, path: str) -> None:
        self._step("delete", path)
        self.real.delete_file(path)

    def move(self, source: str, target: str) -> None:
        self._step("move", target)
        self.real.move(source, target)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._alive()
        self.real.create_dir(path, recursive=recursive)

    def _alive(self) -> None:
        if self.dies_at is not None and len(self.steps) >= self.dies_at:
            raise Died

    def _step(self, what: str, path: str) -> None:
        self._alive()
        if self.faults:
            raise self.faults.pop(0)
        self.steps.append(f"{what} {Path(path).name}")


class _Input(io.BytesIO):
    def __init__(self, source: Any, lost: int) -> None:
        content = source.read()
        super().__init__(content[:-lost])
        self.whole = len(content)

    def size(self) -> int:
        return self.whole


class _Output(io.BytesIO):
    def __init__(self, files: FaultyFiles, path: str) -> None:
        super().__init__()
        self.files, self.path = files, Path(path)
        if files.type_name == "local":  # there at once, and grows
            self.path.write_bytes(b"half")

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            if self.files.cuts:
                content = content[: -self.files.cuts.pop(0)]
            if self.files.type_name == "s3":
                write_whole(self.path, content)
            else:
                self.path.write_bytes(content)
        super().close()


def bucket_in(folder: Path, kind: str = "s3") -> Bucket:
    """A place whose `files` are faulty on demand, and that tries three times at once."""
    return Bucket(FaultyFiles(kind), str(folder), f"{kind}://test", pauses=(0.0, 0.0))


def dying(
    start: Callable[[Path], Bucket],
    act: Callable[[Bucket], object],
    look: Callable[[Bucket, Path], object],
    folder: Path,
) -> int:
    """Let `act` die at its first step, its second, and so on until it ends; how often it died.

    `start` makes a bucket as it was before, in a folder; `look` sees what each death left there,
    and whether a second try ends well.
    """
    for deaths in itertools.count():
        bucket = start(folder / f"dies-at-{deaths}")
        files = bucket.files
        files.dies_at = len(files.steps) + deaths
        try:
            act(bucket)
        except Died:
            files.dies_at = None
            look(bucket, folder / f"seen-{deaths}")
            act(bucket)
            look(bucket, folder / f"seen-again-{deaths}")
        else:
            break
    files.dies_at = None
    look(bucket, folder / "seen")
    return deaths
