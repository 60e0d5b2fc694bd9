"""Checkpoints of one trial: written whole, read with suspicion, never needed by another trial.

`last.pt` is the state after an epoch, `previous.pt` the one before, `best-0003.pt` the weights of
the third epoch, because it was the best so far; a state names its best epoch. A file is written to
a temporary name, flushed to disk and renamed; one that cannot be read is reported and the one
before it is used, at worst the trial starts again. Epochs are deterministic, so all three ways end
with the same bits.

A process that was given up (its machine was cut off) may wake and write into the folder of its
successor. It replaces whole files, and deletes only what is older than its own states need: a
state is never read with the best weights of another epoch.
"""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mi2p.files import whole

State = dict[str, Any]

UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError)
"""What `torch.load` is known to raise on a damaged file."""


class Checkpoints:
    """The checkpoint folder of a trial."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._needed = 0
        """The best epoch of the state that the next save makes the previous one."""

    def save(self, state: State, *, best: dict[str, Tensor] | None) -> Path:
        """Keep `state`; `best` are the weights when its `best_epoch` is the one it is of."""
        self.folder.mkdir(parents=True, exist_ok=True)
        epoch: int = state["best_epoch"]
        if best is not None:
            _write(self._best(epoch), best)
        with suppress(FileNotFoundError):
            os.replace(self.last, self.folder / "previous.pt")
        _write(self.last, state)
        self._forget(before=min(epoch, self._needed))
        self._needed = epoch
        return self.last

    @property
    def last(self) -> Path:
        """The state of the last save."""
        return self.folder / "last.pt"

    def load(self) -> tuple[str, State] | None:
        """The newest state that can be read and whose best weights are there, or None.

        With the name by which `read` gives it to other processes.
        """
        for name in ("last.pt", "previous.pt"):
            state = self.read(name)
            if state is not None and _read(self._best(state["best_epoch"])) is not None:
                return name, state
        return None

    def read(self, name: str) -> State | None:
        """The state of that file, or None if it cannot be read; the next `save` follows on it."""
        state = _read(self.folder / name)
        if state is None or "best_epoch" not in state:  # of a version that named none
            return None
        self._needed = state["best_epoch"]
        return state

    def best(self, epoch: int) -> dict[str, Tensor]:
        """The weights of the best epoch; `RuntimeError` if they are gone."""
        state = _read(self._best(epoch))
        if state is None:
            raise RuntimeError(
                f"the weights of the best epoch, {epoch}, are gone from {self.folder}"
            )
        return state

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04}.pt"

    def _forget(self, *, before: int) -> None:
        """Delete the best weights of earlier epochs."""
        for path in self.folder.glob("best-*.pt"):
            if int(path.stem.removeprefix("best-")) < before:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete everything: the trial's row is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(path: Path, state: State) -> None:
    # Given a path, torch tells of a full disk as of a fault of its own.
    with whole(path) as partial, partial.open("wb") as file:
        torch.save(state, file)


def _read(path: Path) -> State | None:
    if not path.exists():
        return None
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        warnings.warn(f"{path} cannot be read and is left out: {error}", stacklevel=2)
        return None
    return state
