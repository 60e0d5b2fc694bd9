"""Stores of heavy arrays: made once, by one process, whole or not at all, and shared."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import mi2p
from mi2p.data.cache import Chunk, Damaged, Recipe, Stored, stored

CELL = (3, 4)


def array(count: int = 10) -> NDArray[Any]:
    return np.arange(count * 12, dtype=np.uint8).reshape(count, *CELL)


def recipe_of(values: NDArray[Any], step: int = 4, **key: object) -> Recipe:
    def start() -> Callable[[slice], Chunk]:
        return lambda rows: Chunk(values=values[rows])

    key = {"data": "f00d", "size": 4, **key}
    return Recipe(kind="images", key=key, count=len(values), step=step, start=start)


def never() -> Callable[[slice], Chunk]:
    raise AssertionError("made again")


def everything(store: Stored) -> NDArray[Any]:
    return store.take(np.arange(len(store)))


def files(folder: Path) -> list[str]:
    """What is there beside locks."""
    return sorted(f.name for f in folder.iterdir() if f.suffix != ".lock")


@pytest.mark.parametrize("step", [1, 3, 4, 10, 99])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float16])
def test_made_once_and_equal(tmp_path: Path, step: int, dtype: Any) -> None:
    values, seen = array().astype(dtype), list[int]()
    first = stored(tmp_path, recipe_of(values, step), progress=seen.append)
    assert seen == [*range(step, 10, step), 10]
    second = stored(
        tmp_path, replace(recipe_of(values, step), start=never), progress=seen.append, verify=True
    )
    assert seen[-1] == 10 and seen.count(10) == 1  # nothing to report
    for found in (first, second):
        assert (len(found), found.cell, found.dtype) == (10, CELL, dtype)
        np.testing.assert_array_equal(everything(found), values)
        np.testing.assert_array_equal(found.take(np.array([9, 0, 4, 4])), values[[9, 0, 4, 4]])
    assert files(tmp_path) == [recipe_of(values).path(tmp_path).name]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "maps"},
        {"key": {"data": "f00d", "size": 5}},
        {"key": {"data": "beef", "size": 4}},
        {"key": {"data": "f00d", "size": 4, "view": 1}},
    ],
)
def test_another_kind_or_key_is_another_store(tmp_path: Path, other: dict[str, Any]) -> None:
    one = recipe_of(array())
    assert replace(one, **other).path(tmp_path) != one.path(tmp_path)


def test_the_order_of_a_key_does_not_matter(tmp_path: Path) -> None:
    one = recipe_of(array())
    swapped = replace(one, key=dict(reversed(list(one.key.items()))))
    assert swapped.path(tmp_path) == one.path(tmp_path)


def test_what_a_store_says_of_itself(tmp_path: Path) -> None:
    found = stored(tmp_path, recipe_of(array(), view={"kind": "fit"}))
    assert (found.kind, found.count) == ("images", 10)
    assert found.key == {"data": "f00d", "size": 4, "view": {"kind": "fit"}}
    assert found.nbytes == 120


def test_cells_of_ragged_chunks(tmp_path: Path) -> None:
    # The words of texts: more or fewer cells than examples in a chunk.
    words = np.arange(24, dtype=np.float32).reshape(12, 2)
    edges = [0, 3, 3, 8, 12]  # four examples; the second has none

    def start() -> Callable[[slice], Chunk]:
        return lambda rows: Chunk(values=words[edges[rows.start] : edges[rows.stop]])

    recipe = Recipe(kind="words", key={}, count=4, step=2, start=start)
    found = stored(tmp_path, recipe)
    assert (len(found), found.count) == (12, 4)
    for first, end in itertools.pairwise(edges):
        np.testing.assert_array_equal(found.cells(first, end), words[first:end])


def test_an_array_in_another_memory_order_keeps_its_values(tmp_path: Path) -> None:
    values = np.asfortranarray(array())
    np.testing.assert_array_equal(everything(stored(tmp_path, recipe_of(values))), array())


def test_a_read_only_memory_map(tmp_path: Path) -> None:
    recipe = recipe_of(np.ones((4, 1 << 20), np.uint8))
    stored(tmp_path, recipe)
    before = pa.total_allocated_bytes()
    found = stored(tmp_path, replace(recipe, start=never))
    assert pa.total_allocated_bytes() - before < 4096  # a view of the file's pages, no copy
    cells = found.cells(1, 3)
    assert not cells.flags.writeable and not cells.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        cells[0] = 2
    assert cells.sum(dtype=np.int64) == 2 << 20


def test_failures_are_kept(tmp_path: Path) -> None:
    def start() -> Callable[[slice], Chunk]:
        return lambda rows: Chunk(
            values=array()[rows],
            failures={r: f"bad {r}" for r in (1, 9) if rows.start <= r < rows.stop},
        )

    recipe = replace(recipe_of(array()), start=start)
    for _ in range(2):
        assert stored(tmp_path, recipe).failures == {1: "bad 1", 9: "bad 9"}


def test_a_build_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def start() -> Callable[[slice], Chunk]:
        def make(rows: slice) -> Chunk:
            if rows.start:
                raise RuntimeError("stop")
            return Chunk(values=array()[rows])

        return make

    with pytest.raises(RuntimeError, match="stop"):
        stored(tmp_path, replace(recipe_of(array()), start=start))
    assert files(tmp_path) == []
    np.testing.assert_array_equal(everything(stored(tmp_path, recipe_of(array()))), array())


def test_chunks_that_are_missing_are_an_error(tmp_path: Path) -> None:
    recipe = recipe_of(array())

    def short() -> Iterator[Chunk]:
        return iter(list(recipe.chunks())[:-1])

    with pytest.raises(ValueError, match="shorter"):
        stored(tmp_path, recipe, chunks=short)
    assert files(tmp_path) == []


def test_chunks_made_elsewhere(tmp_path: Path) -> None:
    recipe = recipe_of(array())
    chunks = list(recipe.chunks())
    found = stored(tmp_path, replace(recipe, start=never), chunks=lambda: chunks)
    np.testing.assert_array_equal(everything(found), array())


def test_too_small_a_disk_is_found_at_the_first_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2_000_000))
    seen: list[int] = []
    recipe = recipe_of(np.ones((40, 100_000), np.uint8))
    with pytest.raises(
        OSError, match=r"40 examples\) needs about 4 MB, but 2 MB are free in"
    ) as full:
        stored(tmp_path, recipe, progress=seen.append)
    assert full.value.__notes__ == [f"while making {recipe.path(tmp_path)}"]
    assert seen == [] and files(tmp_path) == []


def middle(content: bytes) -> bytes:
    """One byte of the cells is another."""
    at = content.index(array().tobytes()[:40]) + 20
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-1],
    "something else": lambda content: b"no Arrow file" * 99,
    "another Arrow file": lambda content: other_arrow(),
}


def other_arrow() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": [1]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_store_is_reported_and_made_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    recipe = recipe_of(array())
    path = stored(tmp_path, recipe).path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged):
        Stored(path)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        found = stored(tmp_path, recipe)
    np.testing.assert_array_equal(everything(found), array())


def test_a_changed_byte_is_found_when_a_store_is_verified(tmp_path: Path) -> None:
    recipe = recipe_of(array())
    path = stored(tmp_path, recipe).path
    path.write_bytes(middle(path.read_bytes()))
    found = stored(tmp_path, replace(recipe, start=never))  # structure is all that is looked at
    assert not np.array_equal(everything(found), array())
    with pytest.raises(Damaged, match="checksum of record batch 0 differs"):
        found.verify()
    with pytest.warns(UserWarning, match="checksum"):
        again = stored(tmp_path, recipe, verify=True)
    np.testing.assert_array_equal(everything(again), array())


def test_every_bit_of_a_small_store_matters_or_is_padding(tmp_path: Path) -> None:
    # Whatever single byte is damaged, what is read is right or refused, never silently wrong.
    path = stored(tmp_path, recipe_of(array(2), step=1)).path
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            found = Stored(path)
            found.verify()
        except Damaged:
            continue
        assert found.cell != CELL or np.array_equal(everything(found), array(2)), at


KILLED = """
import os, sys
from pathlib import Path
from mi2p.data.cache import Chunk, Recipe, stored
import numpy as np

def start():
    def make(rows):
        if rows.start:
            os._exit(9)
        return Chunk(values=np.zeros((4, 3, 4), np.uint8))
    return make

key = {"data": "f00d", "size": 4}
stored(Path(sys.argv[1]), Recipe(kind="images", key=key, count=10, step=4, start=start))
"""

WAITING = """
import sys, time
from pathlib import Path
import numpy as np
from mi2p.data.cache import Chunk, Recipe, stored

folder = Path(sys.argv[1])

def start():
    with open(folder / "makers.log", "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    return lambda rows: Chunk(values=np.arange(5)[rows, None])

(folder / f"ready-{sys.argv[2]}").touch()
while len(list(folder.glob("ready-*"))) < 2:  # both want it at the same time
    time.sleep(0.01)
store = stored(folder, Recipe(kind="images", key={}, count=5, step=5, start=start))
print(store.take(np.arange(5)).sum())
"""


def start_process(code: str, *arguments: str) -> subprocess.Popen[str]:
    root = str(Path(mi2p.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_is_not_read_blocks_nobody_and_is_cleared_away(tmp_path: Path) -> None:
    killed = start_process(KILLED, str(tmp_path))
    assert killed.wait(30) == 9, killed.communicate()
    assert len(files(tmp_path)) == 1 and files(tmp_path)[0].endswith(".partial")
    assert not recipe_of(array()).path(tmp_path).exists()
    np.testing.assert_array_equal(everything(stored(tmp_path, recipe_of(array()))), array())
    assert files(tmp_path) == [recipe_of(array()).path(tmp_path).name]


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    processes = [start_process(WAITING, str(tmp_path), name) for name in "ab"]
    results = [process.communicate(timeout=30) for process in processes]
    assert [out.strip() for out, _ in results] == ["10", "10"], results
    assert (tmp_path / "makers.log").read_text() == "made\n"


READING = """
import sys
from pathlib import Path
import numpy as np
from mi2p.data.cache import Stored

def unique():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kib = {l.split(":")[0]: int(l.split()[1]) for l in lines[1:]}
    return 1024 * (kib["Private_Clean"] + kib["Private_Dirty"])

tiny = Stored(Path(sys.argv[2]))
tiny.take(np.arange(1))  # Arrow's own 30 MB, whatever it reads
before = unique()
store = Stored(Path(sys.argv[1]))
total = 0
for first in range(0, len(store), 32):  # as trials read: batches of rows, copied
    total += int(store.take(np.arange(first, min(first + 32, len(store)))).sum(dtype=np.int64))
print(total, flush=True)
input()
print(unique() - before, flush=True)
input()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux only")
def test_readers_on_one_machine_share_one_copy(tmp_path: Path) -> None:
    # Eight trials on a node: the pages of the first serve all, each adds under 5 % of its own.
    values = np.random.default_rng(0).integers(0, 256, (1280, 3, 128, 128), np.uint8)
    path = stored(tmp_path, recipe_of(values, step=64)).path
    tiny = stored(tmp_path / "tiny", recipe_of(array())).path
    readers = [start_process(READING, str(path), str(tiny)) for _ in range(8)]
    for reader in readers:
        assert reader.stdout is not None and reader.stdin is not None
        assert int(reader.stdout.readline()) == int(values.sum(dtype=np.int64))
    added = []
    for reader in readers:  # all of them still have the store open and read
        assert reader.stdout is not None and reader.stdin is not None
        reader.stdin.write("\n")
        reader.stdin.flush()
        added.append(int(reader.stdout.readline()))
    for reader in readers:
        reader.communicate("\n", timeout=30)
    # A batch of 32 images is 1.6 MB of the 63; the rest of it is shared.
    assert max(added) < 0.05 * values.nbytes, added
