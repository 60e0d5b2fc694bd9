"""Objects of every kind of file system, and what is told when they cannot be had."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem, SubTreeFileSystem

from mi2p.bucket import Bucket, masked, opened
from mi2p.faults import of_storage
from tests.faulty_files import Died, FaultyFiles, bucket_in, dying


def in_memory() -> FileSystem:
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

    class Own(MemoryFileSystem):
        cachable = False

    Own.store, Own.pseudo_dirs = {}, [""]  # of this one, not of all
    return PyFileSystem(FSSpecHandler(Own()))


@pytest.fixture(params=["file", "subtree", "memory", "mock", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "file":
        return opened(f"file://{tmp_path}/made/here")
    if request.param == "subtree":
        tree = SubTreeFileSystem(str(tmp_path), FileSystem.from_uri("file:///")[0])
        return Bucket(tree, "results", "subtree")
    if request.param == "memory":
        return Bucket(in_memory(), "/results", "memory")
    if request.param == "mock":
        return Bucket(FileSystem.from_uri("mock:///x")[0], "results", "mock")
    return bucket_in(tmp_path)


def test_objects_come_back(place: Bucket, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(bytes(range(256)) * 9000)
    place.put("trials/a.parquet", b"row")
    place.put("trials/a.parquet", b"another row")
    place.put("checkpoints/a/last.pt", source)
    place.put("empty.gz", b"")
    assert place.get("trials/a.parquet") == b"another row"
    assert place.get("empty.gz") == b""
    place.fetch("checkpoints/a/last.pt", target)
    assert target.read_bytes() == source.read_bytes()
    assert [p.name for p in target.parent.iterdir()] == ["target"]
    assert place.has("trials/a.parquet")
    assert not place.has("trials")  # a folder is no object
    assert place.list("trials") == {"trials/a.parquet": 11}
    assert place.list("checkpoints") == {"checkpoints/a/last.pt": 256 * 9000}
    assert place.list("partial") == {}
    place.delete("trials/a.parquet")
    assert not place.has("trials/a.parquet")
    assert place.list("trials") == {}


def test_what_is_not_there(place: Bucket, tmp_path: Path) -> None:
    place.put("other", b"")
    assert not place.has("trials/a")
    assert place.list("trials") == {}
    place.delete("trials/a")
    with pytest.raises(FileNotFoundError):
        place.get("trials/a")
    with pytest.raises(FileNotFoundError):
        place.fetch("trials/a", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_check_leaves_nothing(place: Bucket) -> None:
    place.check()
    assert place.list("check") == {}


@pytest.mark.parametrize("kind", ["s3", "local"])
def test_a_write_that_dies_leaves_the_old_object(kind: str, tmp_path: Path) -> None:
    found: list[bytes] = []

    def start(folder: Path) -> Bucket:
        place = bucket_in(folder, kind)
        place.put("key", b"old")
        return place

    dying(
        start,
        lambda place: place.put("key", b"new"),
        lambda place, _: found.append(place.get("key")),
        tmp_path,
    )
    assert {*found[::2]} == {b"old", b"new"}
    assert {*found[1::2], found[-1]} == {b"new"}  # the second tries


@pytest.mark.parametrize("kind", ["s3", "local"])
def test_a_write_that_is_cut_short_is_made_again(kind: str, tmp_path: Path) -> None:
    place = bucket_in(tmp_path, kind)
    place.files.cuts = [1, 4]
    place.put("key", b"content")
    assert place.get("key") == b"content"
    assert place.list("partial") == {}


def test_a_read_that_is_cut_short_is_made_again(tmp_path: Path) -> None:
    place, target = bucket_in(tmp_path / "bucket"), tmp_path / "target"
    place.put("key", b"content")
    place.files.short = [1, 4]
    assert place.get("key") == b"content"
    place.files.short = [1, 4]
    place.fetch("key", target)
    assert target.read_bytes() == b"content"
    place.files.short = [1, 2, 3]
    with pytest.raises(OSError, match=r"cannot read key .*\(4 of 7 bytes arrived\)"):
        place.fetch("key", target)
    assert target.read_bytes() == b"content"


def test_passing_errors_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    place = Bucket(FaultyFiles(), str(tmp_path), "s3://test")
    place.files.faults = [OSError("SLOW_DOWN"), OSError("curlCode: 28")]
    place.put("key", b"content")
    assert slept == [1.0, 2.0]
    place.files.faults = [OSError("SLOW_DOWN")] * 6
    assert place.get("key") == b"content"
    assert slept[2:] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_errors_that_stay_are_raised_in_the_end(tmp_path: Path) -> None:
    place = bucket_in(tmp_path)
    place.files.faults = [OSError(errno.ENOSPC, "No space left on device")] * 4
    with pytest.raises(OSError, match=r"cannot write key in s3://test: .*No space left") as caught:
        place.put("key", b"content")
    assert caught.value.errno == errno.ENOSPC
    # Object stores give no number; no trial is to blame for what they say.
    place.files.faults = [OSError("AWS Error SLOW_DOWN during PutObject operation")] * 4
    with pytest.raises(OSError) as caught:
        place.put("a", b"1")
    assert of_storage(caught.value)
    assert len(place.files.faults) == 1  # three tries


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (OSError("AWS Error NO_SUCH_BUCKET during PutObject"), "the bucket must exist"),
        (FileNotFoundError("Bucket 'b' not found"), "the bucket must exist"),
        (OSError("AWS Error ACCESS_DENIED during PutObject"), "the credentials .* must allow to"),
        (OSError("(HTTP status 403)"), "the credentials .* must allow to"),
        (PermissionError(13, "Permission denied"), "the credentials .* must allow to"),
        (OSError(errno.EROFS, "Read-only file system"), "the credentials .* must allow to"),
    ],
)
def test_what_will_not_pass_is_told_at_once(error: OSError, rule: str, tmp_path: Path) -> None:
    place = bucket_in(tmp_path)
    place.files.faults = [error, Died()]
    with pytest.raises(OSError, match=f"cannot write key in s3://test: {rule}") as caught:
        place.put("key", b"content")
    # It must not be taken for an object that is not there.
    assert not isinstance(caught.value, FileNotFoundError)


def test_a_check_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited"))
    place = Bucket(FaultyFiles(), str(tmp_path), "s3://test")
    place.files.faults = [OSError("AWS Error NETWORK_CONNECTION: Could not connect to server")]
    with pytest.raises(OSError, match=r"cannot write check/.* must be reachable from here"):
        place.check()


def test_a_check_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bucket, "get", lambda self, key: b"what a stale cache gives")
    with pytest.raises(OSError, match="s3://test must give back what was written"):
        bucket_in(tmp_path).check()


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("results", "must be a URI such as s3://BUCKET"),
        ("/results", "must be a URI such as s3://BUCKET"),
        ("s4://bucket/prefix", "but got 's4://bucket/prefix' .*Unrecognized filesystem"),
        ("s3://bucket/p?colour=red", "Unexpected query parameter in S3 URI: 'colour'"),
        ("file://host/results", "Unsupported hostname"),
        ("s3://", "must name a bucket or folder, as s3://BUCKET"),
        ("file:///", "must name a bucket or folder"),
    ],
)
def test_a_bad_uri_is_told(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        opened(uri)


def test_passwords_are_not_told() -> None:
    assert masked("no s3://key:secret@bucket/p here") == "no s3://...@bucket/p here"
    assert masked("s3://bucket/a@b") == "s3://bucket/a@b"
    with pytest.raises(ValueError, match="unknown") as caught:
        opened("s3://key:secret@bucket/p?unknown=1&endpoint_override=127.0.0.1:1")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    shown = opened("s3://key:secret@bucket/p?endpoint_override=127.0.0.1:1&scheme=http").shown
    assert "secret" not in shown


def test_keys_that_lead_out_are_not_listed(tmp_path: Path) -> None:
    class Evil(FaultyFiles):
        def get_file_info(self, what: object) -> list[object]:
            found = FileSystem.from_uri("file:///")[0].get_file_info([__file__])[0]
            return [type("Info", (), {"path": f"{tmp_path}/a/../../x", "type": found.type})()]

    assert Bucket(Evil(), str(tmp_path), "s3://test").list("a") == {}
