"""What the MI2P units of a model attend to, listened to while it predicts.

The weights are computed a second time, beside the prediction, from exactly what each unit is
called with: the fused kernels of training do not give them. Nothing is written into the stream.

Legend: B batch, H heads, c channels of h x w cells, l words (word pieces).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mi2p.model_spec import Modality
from mi2p.models import Batch, Classifier

Place = tuple[Modality, int]
"""Where a unit sits: in the backbone of a modality, at a tap."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """One unit in one forward pass."""

    weights: Tensor
    """Equation (1): (B, H, c, l), 0 on padding; equation (2): (B, H, l, c'), 0 for padding."""
    maps: Tensor
    """Its channels: Z (B, c, h, w) as they reach it, or Z' (B, c', h', w')."""


@contextmanager
def recorded(model: Classifier) -> Iterator[dict[Place, Recorded]]:
    """Inside, a forward pass of `model` leaves here what each unit did; the last one stays.

    `ValueError` for a model that trains: dropout would make other weights each time.
    """
    if model.training:
        raise ValueError("attention is recorded in evaluation, but the model is in training")
    found: dict[Place, Recorded] = {}
    is_word: list[Tensor | None] = []

    def begin(_: nn.Module, arguments: tuple[Batch]) -> None:
        found.clear()
        is_word[:] = [arguments[0].is_word]

    def listen(place: Place, unit: Any, arguments: tuple[Tensor, ...]) -> None:
        with torch.no_grad():
            weights = unit.attention(*arguments).float()
        if place[0] == "visual":
            maps = arguments[0]
        else:
            _, maps = arguments
            if is_word[0] is not None:  # padding asks, too, but nobody reads what it gets
                weights = weights * is_word[0][:, None, :, None]
        found[place] = Recorded(weights=weights, maps=maps.detach().float())

    with ExitStack() as hooks:  # removed even when the forward pass raises
        hooks.callback(model.register_forward_pre_hook(begin).remove)
        for modality, units in model.units().items():
            for tap, unit in units.items():
                place = (modality, int(tap))
                hook = unit.register_forward_pre_hook(_at(place, listen))
                hooks.callback(hook.remove)
        yield found


def _at(place: Place, listen: Any) -> Any:
    return lambda unit, arguments: listen(place, unit, arguments)
