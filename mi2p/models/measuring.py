"""Operations and memory of a training step, on tensors that may be fake: without values.

A fake tensor has a shape, a type and a device, which need not be there.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mi2p.models.classifier import Batch, Classifier


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One training step of a batch."""

    forward_flops: int
    step_flops: int
    kept: int
    peak: int
    """Bytes, parameters, their gradients and the batch aside."""


def measured(model: Classifier, batch: Batch) -> Measured:
    """A training step in float32 on the tensors there are, real or fake."""
    model.train()
    for parameter in model.trained_parameters():
        parameter.grad = torch.zeros_like(parameter)
    with Meter((*state_of(model), *tensors_of(batch))) as meter:
        loss = _loss(model, batch)
        forward, kept = meter.flops, meter.held
        loss.backward()
    model.zero_grad()
    return Measured(forward_flops=forward, step_flops=meter.flops, kept=kept, peak=meter.peak)


def kept_in_bfloat16(model: Classifier, batch: Batch) -> int:
    """What the forward pass leaves where a GPU autocasts to bfloat16; its tensors are fake.

    The backward pass cannot be run: it asks for the GPU's streams.
    """
    model.train()
    batch = batch.map(lambda tensor: tensor.to("cuda"))
    with Meter((*state_of(model), *tensors_of(batch))) as meter:
        with _autocast_without_gpu():
            loss = _loss(model, batch)
        kept: int = meter.held
    del loss
    return kept


def _backward_of_convolution(
    gradient: Tensor, maps: Tensor, weight: Tensor, *rest: Any, out_val: Any
) -> int:
    """Operations of its two gradients, or of the one that is asked for.

    Each has the products of the forward pass. The library's own formula forgets that channels may
    be in groups: it counts the gradient of a depthwise kernel as if that were a full one.
    """
    transposed, (of_maps, of_weight, _) = rest[4], rest[7]
    places = math.prod((maps if transposed else gradient).shape[2:])
    operations: int = 2 * len(maps) * places * weight.numel()
    return operations * (bool(of_maps) + bool(of_weight))


FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten.convolution_backward: _backward_of_convolution,
}
"""Operations of a matrix product, a convolution or an attention, two per multiply-add."""


class Meter(TorchDispatchMode):
    """Counts operations, and bytes of the storages made inside that are still referred to.

    The library's `FlopCounterMode` follows modules as well, and thereby refers to what they made.
    """

    def __init__(self, others: Collection[Tensor]) -> None:
        """`others` are not counted, also where an operation in place returns them."""
        super().__init__()
        self.flops = self.held = self.peak = 0
        self.known = weakref.WeakSet(tensor.untyped_storage() for tensor in others)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        if storage in self.known:
            return
        self.known.add(storage)
        self.held += storage.nbytes()
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, storage.nbytes()).atexit = False

    def _release(self, nbytes: int) -> None:
        self.held -= nbytes


def _loss(model: Classifier, batch: Batch) -> Tensor:
    """Something to minimise; a real loss has a few numbers more per sample."""
    return torch.stack([logits.float().sum() for logits in model.supervised(batch)]).sum()


def tensors_of(batch: Batch) -> list[Tensor]:
    """All that is there."""
    found: list[Tensor] = []
    batch.map(lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


def state_of(model: Classifier) -> list[Tensor]:
    """Parameters, buffers, and the gradients that are there."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [*model.parameters(), *model.buffers(), *gradients]


@contextmanager
def attention_of_gpus() -> Iterator[None]:
    """Inside, attention is fused and keeps no weights, as on GPUs; a CPU takes it apart.

    A patch, because torch has taken it apart before a mode for operations sees it, and a mode for
    functions is off while the backward pass computes a part again.
    """
    own = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = fused_attention  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = own


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Tensor:
    """`F.scaled_dot_product_attention` by the memory-efficient kernel, for fake tensors."""
    device = query.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(
                attn_mask.logical_not(), -torch.inf
            )
        attn_mask = attn_mask.to(query.dtype).expand(*query.shape[:3], key.shape[2])
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    out: Tensor = kernel(query, key, value, attn_mask, True, dropout_p, is_causal, scale=scale)[0]
    return out


@contextmanager
def _autocast_without_gpu() -> Iterator[None]:
    """`torch.autocast("cuda", torch.bfloat16)`, which is off where there is no GPU."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)
