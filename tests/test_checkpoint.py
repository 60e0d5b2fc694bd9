"""Checkpoints: written whole, read with suspicion, and gone when asked."""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from mi2p.checkpoint import Checkpoints


def state(epoch: int, best: int) -> dict[str, Any]:
    return {"epoch": epoch, "best_epoch": best, "model": {"w": torch.full((100,), float(epoch))}}


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((100,), value)}


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Two epochs, of which the first was the best."""
    checkpoints = Checkpoints(tmp_path / "trial")
    checkpoints.save(state(1, best=1), best=weights(1))
    checkpoints.save(state(2, best=1), best=None)
    return checkpoints


def epoch_of(checkpoints: Checkpoints) -> int | None:
    found = checkpoints.load()
    return None if found is None else int(found[1]["epoch"])


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(file.name for file in checkpoints.folder.iterdir())


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
            kept.save({**state(3, best=1), "large": torch.zeros(size)}, best=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    chain: list[BaseException] = [told.value]
    while (cause := chain[-1].__context__) is not None:
        chain.append(cause)
    assert errno.EFBIG in {error.errno for error in chain if isinstance(error, OSError)}
    assert epoch_of(kept) == 2


def test_save_names_the_file_that_load_reads(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "a" / "trial")
    path = checkpoints.save(state(1, best=1), best=weights(1))
    found = checkpoints.load()
    assert found is not None
    name, kept = found
    assert path == checkpoints.folder / name == checkpoints.folder / "last.pt"
    assert kept["epoch"] == 1
    assert torch.equal(kept["model"]["w"], state(1, best=1)["model"]["w"])
    again = Checkpoints(checkpoints.folder).read(name)  # as other processes of the trial do
    assert again is not None and again["epoch"] == 1


def test_the_newest_state_and_the_best_weights(kept: Checkpoints) -> None:
    assert epoch_of(kept) == 2
    assert torch.equal(kept.best(1)["w"], weights(1)["w"])
    kept.save(state(3, best=3), best=weights(3))
    assert epoch_of(kept) == 3
    assert torch.equal(kept.best(3)["w"], weights(3)["w"])


def test_what_both_states_need_is_kept_and_no_more(kept: Checkpoints) -> None:
    for epoch in range(3, 7):
        kept.save(state(epoch, best=epoch), best=weights(epoch))
        before = 1 if epoch == 3 else epoch - 1
        # Nothing half-written stays.
        expected = [f"best-{before:04}.pt", f"best-{epoch:04}.pt", "last.pt", "previous.pt"]
        assert names(kept) == expected
        again = Checkpoints(kept.folder)
        again.last.unlink()
        assert epoch_of(again) == epoch - 1
        kept.save(state(epoch, best=epoch), best=None)  # as it was
        (kept.folder / "previous.pt").unlink(missing_ok=True)
    resumed = Checkpoints(kept.folder)
    assert epoch_of(resumed) == 6
    resumed.save(state(7, best=6), best=None)
    resumed.save(state(8, best=6), best=None)
    assert names(kept) == ["best-0006.pt", "last.pt", "previous.pt"]


def test_a_writer_that_was_given_up_does_not_mix_states(kept: Checkpoints) -> None:
    # It had come to epoch 2; its successor is at epoch 4 when it wakes.
    successor = Checkpoints(kept.folder)
    assert epoch_of(successor) == 2
    for epoch in (3, 4):
        successor.save(state(epoch, best=epoch), best=weights(epoch))
    kept.save(state(3, best=3), best=weights(3.5))  # other bits, as a GPU may have
    assert epoch_of(Checkpoints(kept.folder)) == 3
    assert torch.equal(successor.best(4)["w"], weights(4)["w"])  # its own is still there
    successor.save(state(5, best=5), best=weights(5))
    kept.save(state(4, best=3), best=None)
    found = Checkpoints(kept.folder).load()
    # What it has written last needs weights that its successor has deleted: that one's is taken.
    assert found is not None and found[0] == "previous.pt" and found[1]["epoch"] == 5
    assert torch.equal(Checkpoints(kept.folder).best(5)["w"], weights(5)["w"])


def test_states_of_a_version_without_best_epochs_start_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    torch.save({"epoch": 2, "model": weights(2)}, tmp_path / "last.pt")
    torch.save(weights(1), tmp_path / "best.pt")
    assert checkpoints.load() is None
    checkpoints.save(state(1, best=1), best=weights(1))
    assert epoch_of(checkpoints) == 1


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
    best = kept.folder / "best-0001.pt"
    if damage is None:
        best.unlink()
        assert kept.load() is None
        return
    best.write_bytes(DAMAGE[damage](best.read_bytes()))
    with pytest.warns(UserWarning, match=r"best-0001\.pt cannot be read"):
        assert kept.load() is None


def test_best_weights_that_are_gone_are_an_error(kept: Checkpoints) -> None:
    (kept.folder / "best-0001.pt").unlink()
    with pytest.raises(RuntimeError, match=r"weights of the best epoch, 1, are gone from .*trial"):
        kept.best(1)


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
        kept.save(state(3, best=3), best=weights(3))
    assert epoch_of(kept) == 2  # now named previous.pt


def test_remove(kept: Checkpoints) -> None:
    beside = kept.folder.parent / "other"
    beside.mkdir()
    kept.remove()
    assert not kept.folder.exists()
    assert beside.exists()
    kept.remove()  # twice is no error
