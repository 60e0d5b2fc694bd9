"""A step of training: how an epoch is cut into batches, what optimises, what one step does.

Apart from `mi2p.train`, so that what a spec changes can be seen without data
(`mi2p.checks.preflight`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mi2p.models.classifier import Batch, Classifier
from mi2p.parameters import parameter_groups
from mi2p.runtime import bfloat16
from mi2p.spec import TrainSpec, TrialSpec


def make_optimiser(model: Classifier, spec: TrialSpec) -> torch.optim.Optimizer:
    """What trains `model`, which may be on any device."""
    return torch.optim.Adam(
        parameter_groups(model, spec), weight_decay=spec.train.weight_decay, fused=True
    )


def epoch_batches(train: TrainSpec, rows: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
    """The rows of an epoch cut into batches, and each into the parts that are computed at once."""
    # Equal parts, so that no batch is too small for BatchNorm.
    batches = np.array_split(rows, -(-len(rows) // train.batch_size))
    largest = train.micro_batch or train.batch_size
    return [np.array_split(batch, -(-len(batch) // largest)) for batch in batches]


def step(
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    parts: Iterable[Batch],
    *,
    size: int,
    where: str,
) -> float:
    """One step on a batch of `size` examples; the sum of their losses.

    `FloatingPointError` for a loss that is not finite names `where` that is; nothing has moved.
    """
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for batch in parts:
        assert batch.labels is not None
        value, count = _supervised_loss(model, batch), len(batch.labels)
        if not torch.isfinite(value):
            raise FloatingPointError(f"loss is {value.item()} at {where}")
        (value * (count / size)).backward()
        total += value.item() * count
    optimiser.step()
    return total


def _supervised_loss(model: Classifier, batch: Batch) -> Tensor:
    """The sum over all predictions of the model that are supervised."""
    assert batch.labels is not None
    with autocast(batch.labels.device):
        supervised = model.supervised(batch)
    first, *others = (loss(logits.float(), batch.labels) for logits in supervised)
    return sum(others, start=first)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where the device computes in it; a CPU trains in float32, which is faster."""
    return torch.autocast("cuda", torch.bfloat16, enabled=bfloat16(device))


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, or binary cross-entropy when labels (B, K) are indicators."""
    if labels.dim() == 2:
        return F.binary_cross_entropy_with_logits(logits, labels)
    return F.cross_entropy(logits, labels)
