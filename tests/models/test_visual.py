"""CNN backbones: the contract of `after_block`, and the library's own forward, bit for bit."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from mi2p.backbones import VISUAL, visual_card
from mi2p.models.visual import (
    Chain,
    DenseNet,
    EfficientNetLite,
    VisualBackbone,
    adapted,
    build_visual,
    network_of,
)

SIZE = 64
NAMES = [*VISUAL, "timm:resnet10t", "timm:mobilenetv3_small_050"]


@cache
def backbone_of(name: str) -> VisualBackbone:
    """Random weights; one per process, because large ones take a second to draw."""
    torch.manual_seed(0)
    return build_visual(name).eval()


def images(size: int = SIZE, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def library_maps(name: str, backbone: VisualBackbone, normalised: Tensor) -> Tensor:
    """Z' by the library that the network comes from, in its own forward."""
    if isinstance(backbone, DenseNet):
        return F.relu(backbone.features(normalised))  # as torchvision's DenseNet.forward
    net = network_of(name).eval()
    own = (backbone.net if isinstance(backbone, Chain) else backbone).state_dict()
    state = {k.replace("stages.", "blocks."): v for k, v in own.items()}
    lite = isinstance(backbone, EfficientNetLite)
    found = net.load_state_dict(state if lite else own, strict=False)
    # What a backbone leaves behind comes after its last map.
    assert all(k.startswith(("fc.", "conv_head.", "classifier.")) for k in found.missing_keys)
    assert not found.unexpected_keys
    if isinstance(net, torchvision.models.ResNet):
        net = create_feature_extractor(net, {"layer4": "maps"})
        maps: Tensor = net(normalised)["maps"]
        return maps
    maps = net.forward_features(normalised)
    return maps


@pytest.mark.parametrize("name", NAMES)
def test_identity_is_the_library(name: str) -> None:
    backbone = backbone_of(name)
    card, pixels = visual_card(name), images()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (card.mean, card.std))
    with torch.no_grad():
        expected = library_maps(name, backbone, (pixels / 255 - mean) / std)
        assert expected.std() > 0  # a network that died would agree with anything
        assert torch.equal(backbone(pixels), expected)
        assert torch.equal(backbone(pixels, lambda tap, maps: maps), expected)


@pytest.mark.parametrize("name", NAMES)
def test_taps_are_as_declared_and_called_once_in_order(name: str) -> None:
    card, seen = visual_card(name), list[tuple[int, torch.Size]]()

    def record(tap: int, maps: Tensor) -> Tensor:
        seen.append((tap, maps.shape))
        return maps

    with torch.no_grad():
        last = backbone_of(name)(images(), record)
    # Strides 4, 8, 16, 32: at 64 px 16, 8, 4 and 2 cells.
    sides = dict(zip(range(1, 5), (16, 8, 4, 2), strict=True))
    assert seen == [
        (tap, (1, card.tap_channels[tap - 1], side, side)) for tap, side in sides.items()
    ]
    assert [card.tap_side(tap, SIZE) for tap in sides] == list(sides.values())
    assert last.shape == (1, card.last_channels, card.last_side(SIZE), card.last_side(SIZE))


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize(
    "name",
    ["tiny_densenet", "tiny_resnet", "tiny_clip_resnet", "efficientnet_lite0", "timm:resnet10t"],
)
def test_sides_at_other_sizes(name: str, size: int) -> None:
    card, sides = visual_card(name), list[int]()

    def record(tap: int, maps: Tensor) -> Tensor:
        sides.append(maps.shape[-1])
        return maps

    with torch.no_grad():
        backbone_of(name)(images(size), record)
    assert sides == [card.tap_side(tap, size) for tap in range(1, 5)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_returned_flows_on_and_gets_gradients(name: str) -> None:
    backbone, card = backbone_of(name), visual_card(name)
    added = {tap: torch.zeros(c, 1, 1) for tap, c in enumerate(card.tap_channels, start=1)}
    for values in added.values():
        values.requires_grad_()
    result = backbone(images(), lambda tap, maps: maps + added[tap])
    probed = (result * torch.randn_like(result)).sum()
    gradients = torch.autograd.grad(probed, list(added.values()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    with torch.no_grad():
        unchanged = backbone(images())
        for tap in added:
            moved = backbone(images(), lambda at, maps, tap=tap: maps + (at == tap))
            assert not torch.equal(moved, unchanged), tap


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_is_dead(name: str) -> None:
    backbone = backbone_of(name)
    backbone.zero_grad()
    backbone(images()).sum().backward()
    assert [k for k, p in backbone.named_parameters() if p.grad is None] == []
    backbone.zero_grad()


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_holds_no_constants_of_the_card(name: str) -> None:
    assert not {"mean", "std"} & set(backbone_of(name).state_dict())


def test_normalisation_by_hand() -> None:
    backbone = backbone_of("tiny_densenet")
    seen: list[Tensor] = []
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    handle = backbone.get_submodule("features.conv0").register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        backbone(pixels)
    handle.remove()
    expected = [(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_pool_is_the_mean_over_cells() -> None:
    maps = torch.arange(8.0).view(1, 2, 2, 2)
    assert backbone_of("tiny_densenet").pool(maps).tolist() == [[1.5, 5.5]]


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("resnet50", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        # From preprocess of OpenAI's clip.load.
        (
            "resnet50_clip",
            (0.48145466, 0.4578275, 0.40821073),
            (0.26862954, 0.26130258, 0.27577711),
        ),
    ],
)
def test_what_a_pretrained_network_was_shown(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    assert (VISUAL[name].mean, VISUAL[name].std) == (mean, std)


@pytest.mark.parametrize("name", ["resnet50_clip", "tiny_clip_resnet"])
def test_clip_is_its_modified_resnet(name: str) -> None:
    # Three convolutions in the stem, and means where a ResNet skips every other cell.
    net = build_visual(name).get_submodule("net")
    strides = [m.stride for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [stride for stride in strides if stride != (1, 1)] == [(2, 2)]
    halving = [m for m in net.modules() if isinstance(m, torch.nn.AvgPool2d) and m.stride == 2]
    assert len(halving) == 1 + 2 * 3  # of the stem, and in both branches of three stages
    kernels = [net.get_parameter(f"stem.conv{i}.conv.weight").shape[2:] for i in (1, 2, 3)]
    assert kernels == [(3, 3)] * 3


def test_a_chain_needs_the_ends_of_its_card() -> None:
    net = network_of("tiny_resnet")
    with pytest.raises(ValueError, match="layer1, layer9 are not met in this order"):
        Chain(VISUAL["tiny_resnet"], net, ("layer1", "layer9"))


def test_kinds() -> None:
    assert isinstance(backbone_of("efficientnet_lite0"), EfficientNetLite)
    for name in ("resnet50", "resnet50_clip", "tiny_resnet", "timm:resnet10t"):
        assert isinstance(backbone_of(name), Chain)
    assert isinstance(adapted("tiny_densenet", network_of("tiny_densenet")), DenseNet)
    with pytest.raises(TypeError, match="abstract"):
        VisualBackbone(VISUAL["tiny_resnet"])  # type: ignore[abstract]
    with pytest.raises(ValueError, match="unknown visual backbone 'x'; known: densenet121"):
        build_visual("x")
