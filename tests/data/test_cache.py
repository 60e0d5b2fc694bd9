"""The store of heavy arrays: made once, by one process, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import mi2p
from mi2p.data.cache import stored, stored_path

KEY = {"data": "f00d", "size": 4}


def array() -> NDArray[np.generic]:
    return np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def never() -> NDArray[np.generic]:
    raise AssertionError("made again")


def files(folder: Path) -> list[str]:
    """What is there beside locks."""
    return sorted(f.name for f in folder.iterdir() if f.suffix != ".lock")


def test_made_once_and_equal(tmp_path: Path) -> None:
    first = stored(tmp_path, "images", KEY, array)
    second = stored(tmp_path, "images", KEY, never)
    for found in (first, second):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array())
    assert files(tmp_path) == [stored_path(tmp_path, "images", KEY).name]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("maps", KEY),
        ("images", {**KEY, "size": 5}),
        ("images", {**KEY, "data": "beef"}),
        ("images", {**KEY, "view": 1}),
    ],
)
def test_another_kind_or_key_is_another_array(
    tmp_path: Path, kind: str, key: dict[str, object]
) -> None:
    stored(tmp_path, "images", KEY, array)
    other = stored(tmp_path, kind, key, lambda: np.zeros(1, np.float32))
    assert other.shape == (1,)


def test_the_order_of_a_key_does_not_matter(tmp_path: Path) -> None:
    swapped = dict(reversed(list(KEY.items())))
    assert stored_path(tmp_path, "images", KEY) == stored_path(tmp_path, "images", swapped)


def test_an_array_in_another_memory_order_keeps_its_values(tmp_path: Path) -> None:
    found = stored(tmp_path, "images", KEY, lambda: array().transpose(2, 0, 1))
    np.testing.assert_array_equal(found, array().transpose(2, 0, 1))
    assert found.flags.c_contiguous


def test_a_read_only_memory_map(tmp_path: Path) -> None:
    big = np.ones(1 << 20, np.uint8)
    stored(tmp_path, "images", KEY, lambda: big)
    before = pa.total_allocated_bytes()
    found = stored(tmp_path, "images", KEY, never)
    assert pa.total_allocated_bytes() - before < 4096  # a view of the file's pages, no copy
    assert not found.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 2
    assert found.sum(dtype=np.int64) == 1 << 20


def test_a_build_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> NDArray[np.generic]:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stored(tmp_path, "images", KEY, broken)
    assert files(tmp_path) == []
    np.testing.assert_array_equal(stored(tmp_path, "images", KEY, array), array())


def test_a_write_that_raises_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def full(tensor: object, sink: pa.NativeFile) -> None:
            sink.write(b"half")
            raise OSError("no space left")

        patch.setattr(pa.ipc, "write_tensor", full)
        with pytest.raises(OSError, match="no space left"):
            stored(tmp_path, "images", KEY, array)
    assert files(tmp_path) == []
    np.testing.assert_array_equal(stored(tmp_path, "images", KEY, array), array())


KILLED = """
import os, sys
from pathlib import Path
import pyarrow as pa
from mi2p.data.cache import stored
import numpy as np

def half(tensor, sink):
    sink.write(b"half")
    sink.flush()
    os._exit(9)

pa.ipc.write_tensor = half
stored(Path(sys.argv[1]), "images", {"data": "f00d", "size": 4}, lambda: np.zeros(9))
"""

WAITING = """
import sys, time
from pathlib import Path
import numpy as np
from mi2p.data.cache import stored

folder = Path(sys.argv[1])

def make():
    with open(folder / "makers.log", "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    return np.arange(5)

(folder / f"ready-{sys.argv[2]}").touch()
while len(list(folder.glob("ready-*"))) < 2:  # both want it at the same time
    time.sleep(0.01)
print(stored(folder, "images", {}, make).sum())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    root = str(Path(mi2p.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_is_not_read_and_blocks_nobody(tmp_path: Path) -> None:
    assert start(KILLED, str(tmp_path)).wait(30) == 9
    assert not stored_path(tmp_path, "images", KEY).exists()
    np.testing.assert_array_equal(stored(tmp_path, "images", KEY, array), array())


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    processes = [start(WAITING, str(tmp_path), name) for name in "ab"]
    results = [process.communicate(timeout=30) for process in processes]
    assert [out.strip() for out, _ in results] == ["10", "10"], results
    assert (tmp_path / "makers.log").read_text() == "made\n"
