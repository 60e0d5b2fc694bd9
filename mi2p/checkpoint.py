"""Checkpoints of one trial: written whole, read with suspicion, never needed by another trial.

`last.pt` is the state after an epoch, `previous.pt` the one before, `best.pt` the weights of the
best epoch so far. A file is written to a temporary name, flushed to disk and renamed; one that
cannot be read is reported and the one before it is used, at worst the trial starts again. Epochs
are deterministic, so all three ways end with the same bits.
"""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
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

    def save(self, state: State, *, best: dict[str, Tensor] | None) -> Path:
        """Keep `state`; `best` are the weights when this epoch is the best so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if best is not None:
            _write(self.folder / "best.pt", best)
        last = self.folder / "last.pt"
        if last.exists():
            os.replace(last, self.folder / "previous.pt")
        _write(last, state)
        return last

    def load(self) -> State | None:
        """The newest state that can be read and whose best weights are there, or None."""
        for name in ("last.pt", "previous.pt"):
            state = _read(self.folder / name)
            if state is not None and _read(self.folder / "best.pt") is not None:
                return state
        return None

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch; `RuntimeError` if they are gone."""
        state = _read(self.folder / "best.pt")
        if state is None:
            raise RuntimeError(f"the weights of the best epoch are gone from {self.folder}")
        return state

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
