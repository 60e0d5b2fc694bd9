"""Checkpoints: written whole, read with suspicion, and gone when asked."""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from mi2p.checkpoint import Checkpoints


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "model": {"w": torch.full((100,), float(epoch))}}


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((100,), value)}


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Two epochs, of which the first was the best."""
    checkpoints = Checkpoints(tmp_path / "trial")
    checkpoints.save(state(1), best=weights(1))
    checkpoints.save(state(2), best=None)
    return checkpoints


def epoch_of(checkpoints: Checkpoints) -> int | None:
    found = checkpoints.load()
    return None if found is None else int(found["epoch"])


def test_nothing_kept_is_no_state(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "never")
    assert checkpoints.load() is None
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_disk_that_takes_no_more_is_told_as_such(kept: Checkpoints, size: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises((OSError, RuntimeError)) as told:
            kept.save({"epoch": 3, "w": torch.zeros(size)}, best=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    chain: list[BaseException] = [told.value]
    while (cause := chain[-1].__context__) is not None:
        chain.append(cause)
    assert errno.EFBIG in {error.errno for error in chain if isinstance(error, OSError)}
    assert epoch_of(kept) == 2


def test_save_names_the_file_that_load_reads(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "a" / "trial")
    path = checkpoints.save(state(1), best=weights(1))
    assert path == checkpoints.folder / "last.pt"
    found = checkpoints.load()
    assert found is not None
    assert found["epoch"] == 1
    assert torch.equal(found["model"]["w"], state(1)["model"]["w"])


def test_the_newest_state_and_the_best_weights(kept: Checkpoints) -> None:
    assert epoch_of(kept) == 2
    assert torch.equal(kept.best()["w"], weights(1)["w"])
    kept.save(state(3), best=weights(3))
    assert epoch_of(kept) == 3
    assert torch.equal(kept.best()["w"], weights(3)["w"])
    # Three files whatever the number of epochs; nothing half-written stays.
    assert sorted(f.name for f in kept.folder.iterdir()) == ["best.pt", "last.pt", "previous.pt"]


DAMAGE = {
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "cut to its head": lambda whole: whole[:100],
    "empty": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "text": lambda whole: b"no space left on device\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_last_state_falls_back_to_the_previous(kept: Checkpoints, damage: str) -> None:
    last = kept.folder / "last.pt"
    last.write_bytes(DAMAGE[damage](last.read_bytes()))
    with pytest.warns(UserWarning, match=r"last\.pt cannot be read and is left out"):
        assert epoch_of(kept) == 1


def test_a_missing_last_state_falls_back_silently(kept: Checkpoints) -> None:
    # Killed between the two renames of a save: nothing was damaged.
    (kept.folder / "last.pt").unlink()
    assert epoch_of(kept) == 1


def test_two_damaged_states_start_again(kept: Checkpoints) -> None:
    for name in ("last.pt", "previous.pt"):
        (kept.folder / name).write_bytes(b"")
    with pytest.warns(UserWarning) as warned:
        assert kept.load() is None
    for name, warning in zip(("last.pt", "previous.pt"), warned, strict=True):
        assert f"{name} cannot be read and is left out" in str(warning.message)


@pytest.mark.parametrize("damage", [None, *DAMAGE])
def test_without_best_weights_it_starts_again(kept: Checkpoints, damage: str | None) -> None:
    # The state alone would train on and then have nothing to test.
    best = kept.folder / "best.pt"
    if damage is None:
        best.unlink()
        assert kept.load() is None
        return
    best.write_bytes(DAMAGE[damage](best.read_bytes()))
    with pytest.warns(UserWarning, match=r"best\.pt cannot be read"):
        assert kept.load() is None


def test_best_weights_that_are_gone_are_an_error(kept: Checkpoints) -> None:
    (kept.folder / "best.pt").unlink()
    with pytest.raises(RuntimeError, match=r"weights of the best epoch are gone from .*trial"):
        kept.best()


def test_a_save_that_dies_leaves_a_readable_state(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.save

    def dies(value: Any, file: Any) -> None:
        if "epoch" in value:
            file.write(b"half")
            raise KeyboardInterrupt
        original(value, file)

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        kept.save(state(3), best=weights(3))
    assert epoch_of(kept) == 2  # now named previous.pt


def test_remove(kept: Checkpoints) -> None:
    beside = kept.folder.parent / "other"
    beside.mkdir()
    kept.remove()
    assert not kept.folder.exists()
    assert beside.exists()
    kept.remove()  # twice is no error
