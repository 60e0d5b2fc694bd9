"""What a finished trial has learnt, kept in `results/weights/<trial_id>.pt`.

Checkpoints are deleted when a trial's row is written; a sweep with `--keep-weights`, and whoever
trains a trial again to look into its model, leaves this. The frozen encoders are not in it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mi2p.checkpoint import UNREADABLE, Checkpoints
from mi2p.files import whole
from mi2p.store import Store


def keep_best(store: Store, trial_id: str, epoch: int) -> None:
    """Keep a trial's weights of that epoch, out of its checkpoints; `RuntimeError` if gone."""
    keep(store, trial_id, Checkpoints(store.checkpoints(trial_id)).best(epoch))


def keep(store: Store, trial_id: str, weights: dict[str, Tensor]) -> Path:
    """Write what `Classifier.trained_state` gives, whole or not at all."""
    path = store.weights(trial_id)
    with whole(path) as partial, partial.open("wb") as file:
        torch.save({"trial_id": trial_id, "model": weights}, file)
    return path


def kept(store: Store, trial_id: str) -> dict[str, Tensor] | None:
    """The weights of a trial, None if they are not kept.

    `ValueError` for a file that cannot be read, or is of another trial.
    """
    path = store.weights(trial_id)
    if not path.exists():
        return None
    again = "delete it, and the trial is trained again"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found, weights = state["trial_id"], state["model"]
    except (*UNREADABLE, TypeError) as error:
        raise ValueError(f"{path} is not readable as weights ({error}); {again}") from error
    if found != trial_id:
        raise ValueError(f"{path} has the weights of trial {found}, not {trial_id}; {again}")
    kept_weights: dict[str, Tensor] = weights
    return kept_weights
