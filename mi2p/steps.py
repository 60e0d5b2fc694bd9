"""A step of training: how an epoch is cut into batches, what optimises, what one step does.

Apart from `mi2p.train`, so that what a spec changes can be seen without data
(`mi2p.checks.preflight`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from mi2p.legality import require
from mi2p.models.classifier import Batch, Classifier
from mi2p.models.whole_part import WholePart, name_batch_axes
from mi2p.parameters import parameter_groups
from mi2p.runtime import bfloat16
from mi2p.spec import TrainSpec, TrialSpec
from mi2p.team import Team

ALONE = Team()


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


def check_shares(train: TrainSpec, examples: int, processes: int) -> None:
    """Every part of every batch has an example for each process; else `ValueError`."""
    parts = [part for batch in epoch_batches(train, np.arange(examples)) for part in batch]
    fewest = min(map(len, parts))
    require(
        fewest >= processes,
        f"a trial's processes (GPUs) <= examples of the smallest part of a batch, here {fewest}: "
        f"1 to {fewest} are legal, or a larger batch_size or micro_batch",
        processes=processes,
        batch_size=train.batch_size,
        micro_batch=train.micro_batch,
        examples=examples,
    )


class Learner:
    """A model that learns from this process's share of each part of a batch.

    Alone it is the model itself. In a team, gradients, BatchNorm and noise are those of the whole
    parts, so all processes keep the same weights.
    """

    def __init__(self, model: Classifier, team: Team = ALONE) -> None:
        self.team = team
        self.supervised = model.supervised
        self.averaging: DistributedDataParallel | None = None
        if not team.alone:
            name_batch_axes(model)
            # Buffers are the same everywhere, or nothing would say which are right.
            self.averaging = DistributedDataParallel(_Supervised(model), broadcast_buffers=False)
            self.supervised = self.averaging

    @contextmanager
    def part(self, count: int, *, last: bool) -> Iterator[None]:
        """Inside, forwards and backwards, is computed the share of a part of `count` examples.

        Gradients are averaged over the team behind the `last` part of a batch.
        """
        if self.averaging is None:
            yield
            return
        with (
            WholePart(self.team, count),
            nullcontext() if last else self.averaging.no_sync(),
        ):
            yield


class _Supervised(nn.Module):
    """What DistributedDataParallel listens to."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        return self.model.supervised(batch)


def step(
    learner: Learner,
    optimiser: torch.optim.Optimizer,
    parts: Iterable[Batch],
    *,
    sizes: Sequence[int],
    where: str,
) -> float:
    """One step on a batch; the sum of its examples' losses.

    Its `parts`, of which a process of a team brings its share, have `sizes` examples.
    `FloatingPointError` for a loss that is not finite names `where` that is, in all processes of
    a team; nothing has moved.
    """
    optimiser.zero_grad(set_to_none=True)
    size, total, team = sum(sizes), 0.0, learner.team
    for number, (batch, whole) in enumerate(zip(parts, sizes, strict=True), start=1):
        assert batch.labels is not None
        count = len(batch.labels)
        with learner.part(whole, last=number == len(sizes)):
            value = _supervised_loss(learner, batch)
            summed = team.sum(value.item() * count)
            if not np.isfinite(summed):
                raise FloatingPointError(f"loss is {summed / whole} at {where}")
            # Gradients are averaged over the team, and are to be added up.
            (value * (team.size * count / size)).backward()
        total += summed
    optimiser.step()
    return total


def _supervised_loss(learner: Learner, batch: Batch) -> Tensor:
    """The sum over all predictions of the model that are supervised."""
    assert batch.labels is not None
    with autocast(batch.labels.device):
        supervised = learner.supervised(batch)
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
