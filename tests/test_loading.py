"""The index never shows: what is read with it is what is in the files, however they changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mi2p import loading
from mi2p.loading import read_all, read_one

SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float64()), ("count", pa.int64())])
LONG_AGO = 1_600_000_000_000_000_000


class Folder:
    """Files of some rows each, and an index that is written for two files already."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loading, "MANY", 2)
        self.root, self.files, self.index = root, root / "trials", root / "index/trials.arrow"
        self.files.mkdir()
        self.opened: list[str] = []
        original = loading._one

        def one(path: Path) -> pa.Table | None:
            self.opened.append(path.stem)
            return original(path)

        monkeypatch.setattr(loading, "_one", one)

    def write(self, name: str, *values: float, at: int = LONG_AGO) -> Path:
        path = self.files / f"{name}.parquet"
        rows = [{"name": name, "value": value, "count": len(values)} for value in values]
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
        os.utime(path, ns=(at, at))
        return path

    def read(self) -> list[tuple[str, float]]:
        """The rows, which are the same with the index and without; what was opened is kept."""
        self.opened.clear()
        found = read_all(self.files, SCHEMA, index=self.index)
        opened = sorted(self.opened)
        assert found.schema.metadata is None
        assert found.equals(read_all(self.files, SCHEMA))
        self.opened = opened
        return list(zip(found["name"].to_pylist(), found["value"].to_pylist(), strict=True))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    made = Folder(tmp_path, monkeypatch)
    made.write("b", 1, 2)
    made.write("a", 3)
    made.write("c")
    return made


ROWS = [("a", 3.0), ("b", 1.0), ("b", 2.0)]


def test_what_has_not_changed_is_not_read_again(folder: Folder) -> None:
    assert folder.read() == ROWS
    assert folder.opened == ["a", "b", "c"]
    assert folder.index.exists()
    assert folder.read() == ROWS
    assert folder.opened == []


def test_what_was_added_changed_or_removed_shows(folder: Folder) -> None:
    folder.read()
    folder.write("aa", 4)
    assert folder.read() == [ROWS[0], ("aa", 4.0), *ROWS[1:]]
    assert folder.opened == ["aa"]
    folder.write("b", 5, at=LONG_AGO + 1)
    assert folder.read() == [ROWS[0], ("aa", 4.0), ("b", 5.0)]
    assert folder.opened == ["aa", "b"]
    assert folder.read() == [ROWS[0], ("aa", 4.0), ("b", 5.0)]
    assert folder.opened == []  # both were put into the index
    (folder.files / "a.parquet").unlink()
    assert folder.read() == [("aa", 4.0), ("b", 5.0)]
    folder.write("a", 6, at=LONG_AGO + 1)
    assert folder.read()[0] == ("a", 6.0)


def test_a_size_that_differs_at_the_same_time_shows(folder: Folder) -> None:
    folder.read()
    folder.write("b", *range(1000))
    assert len(folder.read()) == 1001


def test_what_changed_just_now_is_read_again(folder: Folder) -> None:
    # A clock of seconds does not tell two changes in one second apart.
    now = time.time_ns()
    folder.write("a", 7, at=now)
    folder.read()
    folder.write("a", 8, at=now)
    assert folder.read()[0] == ("a", 8.0)
    assert folder.opened == ["a"]


def test_few_files_make_no_index(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MANY", 4)
    assert folder.read() == ROWS
    assert not folder.index.parent.exists()


def flip(content: bytes) -> bytes:
    """With another value of a row: as a reader of Arrow would not notice."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    "harm", [flip, lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"x" * 5000]
)
def test_a_damaged_index_is_passed_over(folder: Folder, harm: Callable[[bytes], bytes]) -> None:
    folder.read()
    folder.index.write_bytes(harm(folder.index.read_bytes()))
    assert folder.read() == ROWS
    assert folder.opened == ["a", "b", "c"]
    assert folder.read() == ROWS
    assert folder.opened == []  # it was written again


def test_an_index_of_other_columns_is_passed_over(folder: Folder) -> None:
    folder.read()
    more = SCHEMA.append(pa.field("new", pa.string()))
    found = read_all(folder.files, more, index=folder.index)
    assert found["new"].null_count == len(found) == 3
    assert folder.read() == ROWS


def test_a_folder_that_cannot_be_written_to_is_read(folder: Folder) -> None:
    folder.index.parent.write_text("a file where the folder would be")
    assert folder.read() == ROWS
    assert folder.read() == ROWS


@pytest.mark.parametrize("indexed", [True, False])
def test_a_truncated_file_is_named(folder: Folder, indexed: bool) -> None:
    if indexed:
        folder.read()
    path = folder.files / "b.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"b\.parquet is not a readable trial row .*; delete it"):
        folder.read()


def test_a_file_that_vanishes_while_others_are_read_is_passed_over(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = loading._files(folder.files)
    (folder.files / "b.parquet").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(loading, "_files", lambda _: listed)
        assert folder.read() == ROWS[:1]
    assert folder.read() == ROWS[:1]


def test_files_with_other_columns_are_brought_into_shape(folder: Folder) -> None:
    old = pa.table({"extra": [1], "count": pa.array([2], pa.int32()), "name": ["old"]})
    for name in ("aa", "d", "0"):
        pq.write_table(old, folder.files / f"{name}.parquet")
    found = read_all(folder.files, SCHEMA)
    assert found.schema == SCHEMA
    assert found["name"].to_pylist() == ["old", "a", "old", "b", "b", "old"]
    assert found["value"].to_pylist() == [None, 3, None, 1, 2, None]
    assert found["count"].to_pylist() == [2, 1, 2, 2, 2, 2]


def test_a_column_of_another_kind_is_named(folder: Folder) -> None:
    pq.write_table(pa.table({"value": ["much"]}), folder.files / "d.parquet")
    with pytest.raises(ValueError, match=r"d\.parquet is not .*\(value is no double: .*much"):
        folder.read()


def test_one_file(folder: Folder) -> None:
    for name in "abc":
        alone = read_one(folder.files / f"{name}.parquet", SCHEMA)
        together = read_all(folder.files, SCHEMA)
        assert alone == together.filter(pc.equal(together["name"], name))
    pq.write_table(pa.table({"count": pa.array([2], pa.int32())}), folder.files / "d.parquet")
    old = read_one(folder.files / "d.parquet", SCHEMA)
    assert old is not None
    assert (old.schema, old.to_pylist()) == (SCHEMA, [{"name": None, "value": None, "count": 2}])
    assert read_one(folder.files / "none.parquet", SCHEMA) is None
    (folder.files / "d.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"d\.parquet is not a readable"):
        read_one(folder.files / "d.parquet", SCHEMA)


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=r"has no \.parquet file"):
            read_all(folder, SCHEMA)


def test_two_that_write_the_index_at_once_leave_a_whole_one(folder: Folder) -> None:
    for number in range(20):
        folder.write(f"n{number:02}", number)
    expected = read_all(folder.files, SCHEMA)
    with ThreadPoolExecutor(4) as pool:
        reads = [
            pool.submit(read_all, folder.files, SCHEMA, index=folder.index) for _ in range(20)
        ]
    assert all(read.result().equals(expected) for read in reads)
    assert [path.name for path in folder.index.parent.iterdir()] == ["trials.arrow"]
    folder.read()
    assert folder.opened == []
