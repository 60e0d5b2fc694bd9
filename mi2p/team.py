"""The processes that train one trial together, each with a share of every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """A process's place among them. What is done together must be done by all, in one order."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Team:
        """That of torch's process group; without one, a process alone."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` examples are this process's, as `np.array_split` would cut them."""
        least, more = divmod(count, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def turns(self, things: Sequence[T]) -> Sequence[T]:
        """Those of the things, dealt in turn, that are this process's."""
        return things[self.rank :: self.size]

    def sum(self, value: float) -> float:
        """The sum over all processes, the same on each."""
        if self.alone:
            return value
        return float(self.add_up(self._tensor(value, torch.float64)))

    def add_up(self, values: Tensor) -> Tensor:
        """`values` with those of all processes added in place; on the team's kind of device."""
        if not self.alone:
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> Tensor:
        """(size, ...) the `values` of all processes, which have one shape."""
        found = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(found, values)
        return torch.stack(found)

    def agrees(self, value: int) -> bool:
        """Whether all processes have the same `value`, told to each."""
        if self.alone:
            return True
        return bool((self.gather(self._tensor(value, torch.int64)) == value).all())

    def told(self, value: T) -> T:
        """The first process's `value`, which must be plain data."""
        if self.alone:
            return value
        told = [value]
        dist.broadcast_object_list(told)
        return told[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if not self.alone:
            dist.barrier()

    def _tensor(self, value: float, dtype: torch.dtype) -> Tensor:
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        return torch.tensor(value, dtype=dtype, device=device)
