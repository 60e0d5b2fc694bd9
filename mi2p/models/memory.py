"""Activation checkpointing: what the backward pass needs is computed again, not kept.

Between its blocks a trained backbone keeps its activations, inside of them only while the
backward pass is in the block; so does a MI2P unit. As far as the device repeats itself the result
has the same bits: dropout draws the same numbers again and BatchNorm leaves its statistics alone
the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint

from mi2p.models.chains import is_block
from mi2p.models.classifier import Classifier
from mi2p.models.visual import VisualBackbone
from mi2p.models.whole_part import WholePart


def checkpoint_activations(model: Classifier) -> None:
    """Make training compute blocks of trained backbones, and units, twice: nothing is kept.

    Nothing changes without gradients or in eval mode, nor does the state dict. Heads and fusion
    keep what they compute. The model must not be copied afterwards: the copy's blocks would
    compute with the weights of the original.
    """
    for backbone in model.backbones().values():
        for part in parts(backbone):
            part.forward = _recomputed(part, model)
    for units in model.units().values():
        for unit in units.values():
            unit.forward = _recomputed(unit, model)


def parts(network: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a CNN and the layers of a transformer, in whatever they are wrapped."""
    if isinstance(network, VisualBackbone):
        for row, _ in network.rows:
            if any(True for _ in row.parameters()):  # else there is little to save
                yield from _blocks(row)
    elif isinstance(network, nn.ModuleList):  # the layers, in all of the library's encoders
        yield from network
    else:
        for child in network.children():
            yield from parts(child)


def _blocks(stage: nn.Module) -> Iterator[nn.Module]:
    """The residual blocks or dense layers of a stage; anything else as it is."""
    blocks = [child for child in stage.children() if is_block(child)]
    # Classes of their own that are Sequential, such as stems, are meant as one.
    if blocks and (type(stage) is nn.Sequential or isinstance(stage, nn.ModuleDict)):
        for block in blocks:
            yield from _blocks(block)
    else:
        yield stage


def _recomputed(part: nn.Module, model: nn.Module) -> Callable[..., Any]:
    """A `forward` of `part` that keeps its inputs alone while `model` is trained."""
    keeping = part.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not (torch.is_grad_enabled() and model.training):
            return keeping(*args, **kwargs)
        # Flat: torch guards only tensors that are arguments themselves against changes in place,
        # and the list that a dense layer is given is longer when its time comes again.
        values, tree = tree_flatten((args, kwargs))

        def again(*values: Any) -> Any:
            args, kwargs = tree_unflatten(values, tree)
            return keeping(*args, **kwargs)

        contexts = partial(_contexts, part)
        return checkpoint(again, *values, use_reentrant=False, context_fn=contexts)

    return forward


def _contexts(part: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Those of the forward pass and of its repetition."""
    return nullcontext(), _Inside(_BuffersAsBefore(part), *WholePart.active[-1:])


class _Inside(AbstractContextManager[None]):
    """Inside of all of some contexts, as often as the backward pass is repeated."""

    def __init__(self, *contexts: AbstractContextManager[Any]) -> None:
        self.contexts = contexts

    def __enter__(self) -> None:
        with ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context)
            self.entered = stack.pop_all()

    def __exit__(self, *error: Any) -> None:
        self.entered.__exit__(*error)


class _BuffersAsBefore(AbstractContextManager[None]):
    """Inside, the buffers of `part` are copies with the values they had when this was made.

    They are the running statistics of BatchNorm, which has moved them once already.
    """

    def __init__(self, part: nn.Module) -> None:
        self.part = part
        self.before = {name: value.clone() for name, value in self._buffers()}

    def __enter__(self) -> None:
        self.own = dict(self._buffers())
        self._set({name: value.clone() for name, value in self.before.items()})

    def __exit__(self, *error: object) -> None:
        self._set(self.own)

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        return self.part.named_buffers(remove_duplicate=False)

    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            owner, _, buffer = name.rpartition(".")
            setattr(self.part.get_submodule(owner), buffer, value)
