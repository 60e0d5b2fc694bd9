"""CNN backbones: the contract of `after_block`, and the library's own forward, bit for bit."""

from __future__ import annotations

from functools import cache

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from mi2p.backbones import VISUAL
from mi2p.models.visual import DenseNet, EfficientNetLite, VisualBackbone, build_visual

SIZE = 64


@cache
def backbone_of(name: str) -> VisualBackbone:
    """Random weights; one per process, because large ones take a second to draw."""
    torch.manual_seed(0)
    return build_visual(name).eval()


def images(size: int = SIZE, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def library_maps(backbone: VisualBackbone, normalised: Tensor) -> Tensor:
    """Z' by the library that the network comes from."""
    if isinstance(backbone, DenseNet):
        return F.relu(backbone.features(normalised))  # as torchvision's DenseNet.forward
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    state = backbone.state_dict()
    net.load_state_dict({k.replace("stages.", "blocks."): v for k, v in state.items()})
    maps: Tensor = net.forward_features(normalised)
    return maps


@pytest.mark.parametrize("name", VISUAL)
def test_identity_is_the_library(name: str) -> None:
    backbone = backbone_of(name)
    card, pixels = VISUAL[name], images()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (card.mean, card.std))
    with torch.no_grad():
        expected = library_maps(backbone, (pixels / 255 - mean) / std)
        assert expected.std() > 0  # a network that died would agree with anything
        assert torch.equal(backbone(pixels), expected)
        assert torch.equal(backbone(pixels, lambda tap, maps: maps), expected)


@pytest.mark.parametrize("name", VISUAL)
def test_taps_are_as_declared_and_called_once_in_order(name: str) -> None:
    card, seen = VISUAL[name], list[tuple[int, torch.Size]]()

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
@pytest.mark.parametrize("name", ["tiny_densenet", "efficientnet_lite0"])
def test_sides_at_other_sizes(name: str, size: int) -> None:
    card, sides = VISUAL[name], list[int]()

    def record(tap: int, maps: Tensor) -> Tensor:
        sides.append(maps.shape[-1])
        return maps

    with torch.no_grad():
        backbone_of(name)(images(size), record)
    assert sides == [card.tap_side(tap, size) for tap in range(1, 5)]


@pytest.mark.parametrize("name", VISUAL)
def test_what_is_returned_flows_on_and_gets_gradients(name: str) -> None:
    backbone, card = backbone_of(name), VISUAL[name]
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


@pytest.mark.parametrize("name", VISUAL)
def test_no_parameter_is_dead(name: str) -> None:
    backbone = backbone_of(name)
    backbone.zero_grad()
    backbone(images()).sum().backward()
    assert [k for k, p in backbone.named_parameters() if p.grad is None] == []
    backbone.zero_grad()


@pytest.mark.parametrize("name", VISUAL)
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


def test_kinds() -> None:
    assert isinstance(backbone_of("efficientnet_lite0"), EfficientNetLite)
    with pytest.raises(ValueError, match="unknown visual backbone 'x'; known: densenet121"):
        build_visual("x")
