"""Writing files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mi2p.files import whole, write_whole


def test_text_and_bytes_arrive_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    assert write_whole(path, "Δ = 1\n") == path
    assert path.read_bytes() == "Δ = 1\n".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt), whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_appears_only_when_the_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, done = tmp_path / "file", list[str]()
    sync, replace = os.fsync, os.replace

    def syncing(descriptor: int) -> None:
        done.append("sync")
        sync(descriptor)

    def naming(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", naming)
    with whole(path) as partial:
        partial.write_text("text")
        assert not path.exists()
    assert done == ["sync", "name"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole(path) as one:
        one.write_text("one")
        # Another process has another id; here the name is all that can be compared.
        assert str(os.getpid()) in one.name and one.parent == path.parent
    assert path.read_text() == "one"
