"""CNN backbones that call `after_block(tap, maps) -> maps` where a unit may be attached.

Legend: B batch, c channels, h x w cells, S image side in pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import timm
import torch
import torchvision
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn

from mi2p.backbones import TIMM, VisualCard, visual_card
from mi2p.models.chains import Step, in_rows, prune, steps_to, timm_ends

AfterBlock = Callable[[int, Tensor], Tensor]
"""Called with the tap's number (from 1) and the state there; what it returns flows on."""


def unchanged(tap: int, state: Tensor) -> Tensor:
    """The `after_block` of a backbone without units."""
    return state


class VisualBackbone(nn.Module, ABC):
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
        for row, tap in self.rows:
            x = row(x)
            if tap:
                x = after_block(tap, x)  # (B, c, h, w)
        return x

    @abstractmethod
    def steps(self) -> Iterable[Step]:
        """The modules that run one after another, each with the tap (from 1) behind it, or 0."""

    @cached_property
    def rows(self) -> list[Step]:
        """The steps, those between two blocks as one: see `in_rows`.

        A list, so that a row is no second name of its modules in the state dict.
        """
        return in_rows(self.steps())

    def pool(self, maps: Tensor) -> Tensor:
        """The global feature (B, c') of Z'."""
        return maps.mean((-2, -1))


class DenseNet(VisualBackbone):
    """torchvision's DenseNet; a tap is the end of a dense block (Table 5's blocks 1 to 4)."""

    def __init__(self, card: VisualCard, net: torchvision.models.DenseNet) -> None:
        super().__init__(card)
        self.features = net.features  # the classifier stays behind: no dead parameters

    def steps(self) -> Iterable[Step]:
        for name, layer in self.features.named_children():
            is_tap = name.startswith("denseblock")
            yield layer, int(name.removeprefix("denseblock")) if is_tap else 0
        yield nn.ReLU(), 0  # a function in torchvision's forward


TAP_AFTER_STAGE = {1: 1, 2: 2, 4: 3, 6: 4}
"""EfficientNet-Lite0: the last block stage (from 0) of each resolution, and its tap."""


class EfficientNetLite(VisualBackbone):
    """timm's EfficientNet-Lite0; a tap is the last block stage of each resolution."""

    def __init__(self, card: VisualCard, net: Any) -> None:
        super().__init__(card)
        self.conv_stem, self.bn1, self.stages = net.conv_stem, net.bn1, net.blocks
        self.conv_head, self.bn2 = net.conv_head, net.bn2

    def steps(self) -> Iterable[Step]:
        yield from ((layer, 0) for layer in (self.conv_stem, self.bn1))
        for index, stage in enumerate(self.stages):
            yield stage, TAP_AFTER_STAGE.get(index, 0)
        yield from ((layer, 0) for layer in (self.conv_head, self.bn2))


class Chain(VisualBackbone):
    """A library's CNN whose modules run one after another; a tap is the end of a named one.

    Z' is the output of the last: of the two ResNets it has gone through its ReLU.
    """

    def __init__(self, card: VisualCard, net: nn.Module, ends: Sequence[str]) -> None:
        super().__init__(card)
        self.names = steps_to(net, ends)
        self.tap_after = {end: tap for tap, end in enumerate(ends, start=1)}
        prune(net, self.names)  # the classifier stays behind: no dead parameters
        self.net = net

    def steps(self) -> Iterable[Step]:
        return [(self.net.get_submodule(k), self.tap_after.get(k, 0)) for k in self.names]


RESNET_ENDS = ("layer1", "layer2", "layer3", "layer4")
CLIP_TRUNK = "resnet50_clip_gap"
"""timm's name of CLIP's ResNet without the attention pool, which is bound to 224 px."""


class SlimBottleneck(torchvision.models.resnet.Bottleneck):
    """torchvision's block with as many channels behind it as its stage is wide: 64 to 512."""

    expansion = 1


def build_visual(name: str) -> VisualBackbone:
    """The backbone called `name` with random weights; `mi2p.models.weights` loads pretrained."""
    return adapted(name, network_of(name))


def network_of(name: str) -> Any:
    """The network that the backbone `name` is made of, whole, as its library builds it."""
    card = visual_card(name)
    if name.startswith(TIMM):
        return timm.create_model(name.removeprefix(TIMM))
    if name == "efficientnet_lite0":
        return timm.create_model("tf_efficientnet_lite0", num_classes=0)
    if name == "resnet50_clip":
        return timm.create_model(CLIP_TRUNK)
    if name == "tiny_densenet":
        return torchvision.models.DenseNet(
            growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16, bn_size=2
        )
    if name == "tiny_resnet":
        return torchvision.models.ResNet(SlimBottleneck, [1, 1, 1, 1], width_per_group=4)
    if name == "tiny_clip_resnet":
        return _tiny_clip(card)
    return torchvision.models.get_model(name, weights=None)


def _tiny_clip(card: VisualCard) -> Any:
    """timm's resnet50_clip_gap but for its sizes."""
    blocks = tuple(
        ByoBlockCfg(type="bottle", d=1, c=channels, s=2 if stage else 1, br=0.25)
        for stage, channels in enumerate(card.tap_channels)
    )
    config = ByoModelCfg(
        blocks=blocks,
        stem_chs=(8, 8, 16),
        stem_type="",
        stem_pool="avg2",
        downsample="avg",
        aa_layer="avg",
    )
    # Residual branches that start at zero are for training from scratch; this one is as if
    # trained.
    return ByobNet(config, num_classes=0, zero_init_last=False)


def adapted(name: str, net: Any) -> VisualBackbone:
    """The backbone `name` around the network of its library; what it does not use is dropped."""
    card = visual_card(name)
    if isinstance(net, torchvision.models.DenseNet):
        return DenseNet(card, net)
    if isinstance(net, torchvision.models.ResNet):
        return Chain(card, net, RESNET_ENDS)
    if name == "efficientnet_lite0":
        return EfficientNetLite(card, net)
    return Chain(card, net, timm_ends(net))
