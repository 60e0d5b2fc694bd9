"""A reader finds the previous set of files or the new one, wherever a writer dies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mi2p import checkpoint_sync
from mi2p.bucket import Bucket
from tests.faulty_files import Died, bucket_in, dying

Set = dict[str, bytes]
EPOCHS: list[Set] = [
    {"best-0001.pt": b"best 1", "last.pt": b"epoch 1"},
    {"best-0002.pt": b"best 2", "previous.pt": b"epoch 1", "last.pt": b"epoch 2"},
    {"best-0002.pt": b"best 2", "previous.pt": b"epoch 2", "last.pt": b"epoch 3"},
]


def fill(folder: Path, files: Set) -> Path:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def held(folder: Path) -> Set:
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def pulled(place: Bucket, folder: Path) -> Set:
    checkpoint_sync.pull(place, "t", folder)
    return held(folder)


@pytest.fixture(params=["s3", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    return bucket_in(tmp_path / "bucket", request.param)


def writes(place: Bucket) -> int:
    return sum(step.startswith("write") for step in place.files.steps)


def test_each_epoch_comes_back(place: Bucket, tmp_path: Path) -> None:
    for files in EPOCHS:
        checkpoint_sync.push(place, "t", fill(tmp_path / "here", files))
        assert pulled(place, tmp_path / "new") == files  # over what was pulled before
        assert pulled(place, tmp_path / f"new-{len(files)}") == files
        # Nothing that the manifest does not name is kept.
        assert len(place.list("checkpoints/t")) == len(files) + 1


def test_only_what_changed_is_written_and_read(place: Bucket, tmp_path: Path) -> None:
    here = tmp_path / "here"
    checkpoint_sync.push(place, "t", fill(here, EPOCHS[1]))
    before = writes(place)
    checkpoint_sync.push(place, "t", fill(here, EPOCHS[2]))
    assert writes(place) - before == 2  # the new last.pt, and the manifest
    before = len(place.files.steps)
    assert pulled(place, here) == EPOCHS[2]
    assert [step.split()[1] for step in place.files.steps[before:]] == ["manifest.json"]


def test_last_is_written_after_the_weights_it_needs(place: Bucket, tmp_path: Path) -> None:
    here = fill(tmp_path / "here", {"last.pt": b"1", "a.pt": b"2", "z.pt": b"3"})
    assert [path.name for path in checkpoint_sync._files(here)] == ["a.pt", "z.pt", "last.pt"]
    checkpoint_sync.push(place, "t", here)
    assert list(json.loads(place.get("checkpoints/t/manifest.json"))) == [
        "a.pt",
        "z.pt",
        "last.pt",
    ]


def test_half_written_files_stay_here(place: Bucket, tmp_path: Path) -> None:
    here = fill(tmp_path / "here", {**EPOCHS[0], ".last.pt.12-34.partial": b"ha"})
    checkpoint_sync.push(place, "t", here)
    assert pulled(place, tmp_path / "new") == EPOCHS[0]


@pytest.mark.parametrize("kind", ["s3", "local"])
@pytest.mark.parametrize("old", [{}, EPOCHS[0]], ids=["first", "second"])
def test_a_push_that_dies_leaves_the_previous_set_or_the_new(
    old: Set, kind: str, tmp_path: Path
) -> None:
    new, here = EPOCHS[1], tmp_path / "here"
    found: list[Set] = []

    def start(folder: Path) -> Bucket:
        place = bucket_in(folder, kind)
        if old:
            checkpoint_sync.push(place, "t", fill(here, old))
        fill(here, new)
        return place

    def look(place: Bucket, folder: Path) -> None:
        found.append(pulled(place, folder))

    deaths = dying(start, lambda place: checkpoint_sync.push(place, "t", here), look, tmp_path)
    assert deaths >= 4
    assert found[0] == old
    assert all(files in (old, new) for files in found[::2])
    assert all(files == new for files in (*found[1::2], found[-1]))


@pytest.mark.parametrize("kind", ["s3", "local"])
def test_what_a_push_that_died_left_is_cleared(kind: str, tmp_path: Path) -> None:
    place, here = bucket_in(tmp_path / "bucket", kind), tmp_path / "here"
    place.files.dies_at = 3
    with pytest.raises(Died):
        checkpoint_sync.push(place, "t", fill(here, EPOCHS[0]))
    place.files.dies_at = None
    checkpoint_sync.push(place, "t", fill(here, EPOCHS[2]))
    assert len(place.list("checkpoints/t")) == len(EPOCHS[2]) + 1


def test_a_pull_that_dies_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    found: list[Set] = []

    def start(folder: Path) -> Bucket:
        place = bucket_in(folder)
        checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[1]))
        fill(tmp_path / "reader", EPOCHS[0])
        return place

    def act(place: Bucket) -> None:
        found.append(pulled(place, tmp_path / "reader"))

    assert dying(start, act, lambda *_: None, tmp_path) >= 3
    assert all(files == EPOCHS[1] for files in found)


def test_forgetting_that_dies_leaves_the_set_or_nothing(tmp_path: Path) -> None:
    found: list[Set] = []

    def start(folder: Path) -> Bucket:
        place = bucket_in(folder)
        checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[1]))
        return place

    def look(place: Bucket, folder: Path) -> None:
        found.append(pulled(place, folder))

    dying(start, lambda place: checkpoint_sync.forget(place, "t"), look, tmp_path)
    assert all(files in (EPOCHS[1], {}) for files in found[::2])
    assert all(files == {} for files in (*found[1::2], found[-1]))


def test_without_a_set_what_is_here_is_old(place: Bucket, tmp_path: Path) -> None:
    # A trial that --force or --retry-failed runs again must not go on from what it had.
    assert pulled(place, fill(tmp_path / "here", EPOCHS[0])) == {}
    assert pulled(place, tmp_path / "nowhere") == {}


@pytest.mark.parametrize("name", EPOCHS[1])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_file_is_left_out(name: str, damage: str, place: Bucket, tmp_path: Path) -> None:
    checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[1]))
    key = f"checkpoints/t/{json.loads(place.get('checkpoints/t/manifest.json'))[name]}"
    if damage == "gone":
        place.delete(key)
    else:
        place.put(key, b"X" * len(EPOCHS[1][name]) if damage == "flipped" else b"X")
    with pytest.warns(UserWarning, match=rf"{name} of checkpoints/t/.* is gone or damaged"):
        found = pulled(place, tmp_path / "reader")
    assert found == {other: EPOCHS[1][other] for other in EPOCHS[1] if other != name}
    if damage != "flipped":  # the next epoch makes up for it
        checkpoint_sync.push(place, "t", tmp_path / "here")
        assert pulled(place, tmp_path / "reader") == EPOCHS[1]


@pytest.mark.parametrize("content", [b"", b"{", b'{"../../evil.pt": "0"}'])
def test_a_damaged_manifest_starts_again(content: bytes, place: Bucket, tmp_path: Path) -> None:
    checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[0]))
    place.put("checkpoints/t/manifest.json", content)
    with pytest.warns(UserWarning, match="is no manifest and is left out"):
        assert pulled(place, tmp_path / "reader") == {}


def test_a_set_that_is_replaced_while_it_is_read(
    place: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a worker that was thought dead.
    checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[0]))
    fetch = Bucket.fetch

    def slow(self: Bucket, key: str, path: Path) -> None:
        monkeypatch.setattr(Bucket, "fetch", fetch)
        checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[2]))
        fetch(self, key, path)

    monkeypatch.setattr(Bucket, "fetch", slow)
    assert pulled(place, tmp_path / "reader") == EPOCHS[2]


def test_a_cut_upload_is_made_again(place: Bucket, tmp_path: Path) -> None:
    place.files.cuts = [3, 1]
    checkpoint_sync.push(place, "t", fill(tmp_path / "here", EPOCHS[1]))
    assert pulled(place, tmp_path / "reader") == EPOCHS[1]
