"""CNN backbones that call `after_block(tap, maps) -> maps` where a unit may be attached.

Legend: B batch, c channels, h x w cells, S image side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.backbones import VisualCard, visual_card

AfterBlock = Callable[[int, Tensor], Tensor]
"""Called with the tap's number (from 1) and the state there; what it returns flows on."""


def unchanged(tap: int, state: Tensor) -> Tensor:
    """The `after_block` of a backbone without units."""
    return state


class VisualBackbone(nn.Module):
    """A CNN from uint8 images to Z', the map before aggregation."""

    mean: Tensor
    std: Tensor

    def __init__(self, card: VisualCard) -> None:
        super().__init__()
        self.card = card
        # Not persistent: they belong to the card, and a checkpoint must not override it.
        for name in ("mean", "std"):
            values = torch.tensor(getattr(card, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Tensor, after_block: AfterBlock = unchanged) -> Tensor:
        """Z' (B, c', S/32, S/32) of images (B, 3, S, S) uint8."""
        normalised = (images.float() / 255 - self.mean) / self.std  # (B, 3, S, S)
        return self.blocks(normalised, after_block)

    def blocks(self, x: Tensor, after_block: AfterBlock) -> Tensor:
        """Z' of normalised images, with `after_block` called at each tap in order."""
        raise NotImplementedError

    def pool(self, maps: Tensor) -> Tensor:
        """The global feature (B, c') of Z'."""
        return maps.mean((-2, -1))


class DenseNet(VisualBackbone):
    """torchvision's DenseNet; a tap is the end of a dense block (Table 5's blocks 1 to 4)."""

    def __init__(self, card: VisualCard, net: torchvision.models.DenseNet) -> None:
        super().__init__(card)
        self.features = net.features  # the classifier stays behind: no dead parameters

    def blocks(self, x: Tensor, after_block: AfterBlock) -> Tensor:
        for name, layer in self.features.named_children():
            x = layer(x)
            if name.startswith("denseblock"):
                x = after_block(int(name.removeprefix("denseblock")), x)  # (B, c, h, w)
        return F.relu(x)


TAP_AFTER_STAGE = {1: 1, 2: 2, 4: 3, 6: 4}
"""EfficientNet-Lite0: the last block stage (from 0) of each resolution, and its tap."""


class EfficientNetLite(VisualBackbone):
    """timm's EfficientNet-Lite0; a tap is the last block stage of each resolution."""

    def __init__(self, card: VisualCard, net: Any) -> None:
        super().__init__(card)
        self.conv_stem, self.bn1, self.stages = net.conv_stem, net.bn1, net.blocks
        self.conv_head, self.bn2 = net.conv_head, net.bn2

    def blocks(self, x: Tensor, after_block: AfterBlock) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAP_AFTER_STAGE:
                x = after_block(TAP_AFTER_STAGE[index], x)  # (B, c, h, w)
        out: Tensor = self.bn2(self.conv_head(x))
        return out


def build_visual(name: str) -> VisualBackbone:
    """The backbone called `name` with random weights; `mi2p.models.weights` loads pretrained."""
    card = visual_card(name)
    if name == "efficientnet_lite0":
        return EfficientNetLite(card, timm.create_model("tf_efficientnet_lite0", num_classes=0))
    if name == "tiny_densenet":
        return DenseNet(
            card,
            torchvision.models.DenseNet(
                growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16, bn_size=2
            ),
        )
    return DenseNet(card, torchvision.models.get_model(name, weights=None))
