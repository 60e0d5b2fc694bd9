"""VisualBERT and ViLT against the library's own forward, called as its documentation has it."""

from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import ViltConfig, ViltModel, VisualBertConfig, VisualBertModel

from mi2p.backbones import MULTIMODAL, TextualCard
from mi2p.models.multimodal import (
    MULTIMODAL_FAMILIES,
    MultimodalBackbone,
    ViltBackbone,
    VisualBertBackbone,
)

LENGTHS = (6, 4, 2)
WIDTH, CHANNELS, SIDE = 8, 5, 3
SIZES = {
    "vocab_size": 20,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "initializer_range": 0.5,  # far from linear, so that mistakes show
}
Pooling = Literal["pooler", "mean"]


def card_of(family: Literal["visualbert", "vilt"], pooling: Pooling = "pooler") -> TextualCard:
    return TextualCard(
        title="toy", family=family, num_layers=2, num_heads=2, width=WIDTH, pooling=pooling
    )


def visualbert_of(pooling: Pooling = "pooler") -> tuple[VisualBertModel, VisualBertBackbone]:
    """The library's whole network, and ours around a copy of it."""
    torch.manual_seed(0)
    net = VisualBertModel(VisualBertConfig(**SIZES, visual_embedding_dim=CHANNELS)).eval()
    return net, VisualBertBackbone(card_of("visualbert", pooling), copy.deepcopy(net)).eval()


def vilt_of() -> tuple[ViltModel, ViltBackbone]:
    """The same of ViLT at 128 px, 4 x 4 patches; the library leaves positions at zero."""
    torch.manual_seed(0)
    net = ViltModel(ViltConfig(**SIZES, image_size=128, patch_size=32)).eval()
    nn.init.normal_(net.embeddings.position_embeddings)
    nn.init.normal_(net.embeddings.cls_token)
    return net, ViltBackbone(card_of("vilt"), copy.deepcopy(net)).eval()


def texts() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return torch.randint(4, 20, is_word.shape, generator=generator) * is_word, is_word


def maps_of() -> Tensor:
    return torch.randn(3, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def images_of(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(256, (3, 3, size, size), dtype=torch.uint8, generator=generator)


def library_on_cells(net: VisualBertModel, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Last states and pooled features of texts and the cells of maps, one after another."""
    tokens, is_word = texts()
    cells = [maps[:, :, y, x] for y in range(SIDE) for x in range(SIDE)]
    regions = torch.stack(cells, 1)  # (B, 9, c')
    out = net(
        input_ids=tokens,
        attention_mask=is_word.long(),
        token_type_ids=torch.zeros_like(tokens),
        visual_embeds=regions,
        visual_token_type_ids=torch.ones(3, 9, dtype=torch.long),
        visual_attention_mask=torch.ones(3, 9),
    )
    return out.last_hidden_state, out.pooler_output


@torch.no_grad()
def test_visualbert_is_the_librarys_with_cells_as_regions() -> None:
    net, backbone = visualbert_of()
    _, pooled = library_on_cells(net, maps_of())
    assert torch.equal(backbone(*texts(), maps_of()), pooled)


@torch.no_grad()
def test_the_mean_of_visualbert_is_over_words_and_cells() -> None:
    net, backbone = visualbert_of("mean")
    states, _ = library_on_cells(net, maps_of())
    for row, length in enumerate(LENGTHS):
        seen = [*states[row, :length], *states[row, max(LENGTHS) :]]
        assert len(seen) == length + 9
        expected = sum(seen) / len(seen)
        assert torch.allclose(backbone(*texts(), maps_of())[row], expected, atol=1e-6)


def test_visualbert_keeps_only_the_position_that_is_read() -> None:
    net, backbone = visualbert_of()
    kept = backbone.net.embeddings.visual_position_embeddings.weight
    assert torch.equal(kept, net.embeddings.visual_position_embeddings.weight[:1])
    assert backbone.net.pooler is not None
    assert visualbert_of("mean")[1].net.pooler is None


@torch.no_grad()
@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_vilt_is_the_librarys_at_any_size(size: int) -> None:
    # Its 4 x 4 positions are interpolated for 1 x 1, 2 x 2 and 8 x 8 patches.
    net, backbone = vilt_of()
    (tokens, is_word), images = texts(), images_of(size)
    library = net(
        input_ids=tokens,
        attention_mask=is_word.long(),
        token_type_ids=torch.zeros_like(tokens),
        pixel_values=(images / 255 - 0.5) / 0.5,
        pixel_mask=torch.ones(3, size, size),
    )
    assert library.last_hidden_state.shape == (3, 6 + 1 + (size // 32) ** 2, WIDTH)
    found = backbone(tokens, is_word, images)
    assert torch.allclose(found, library.pooler_output, atol=1e-5)
    assert library.pooler_output.std(0).max() > 0.1  # they are not all alike


@torch.no_grad()
@pytest.mark.parametrize("size", [64, 128, 256])
def test_nothing_but_positions_tells_patches_apart(size: int) -> None:
    _, backbone = vilt_of()
    images = images_of(size)
    turned = images.unflatten(-1, (-1, 32)).flip(-2).flatten(-2)  # columns of patches
    assert torch.equal(turned[..., :32], images[..., -32:])
    found, moved = (backbone(*texts(), each) for each in (images, turned))
    assert (found - moved).abs().max() > 1e-3
    nn.init.zeros_(backbone.net.embeddings.position_embeddings)
    found, moved = (backbone(*texts(), each) for each in (images, turned))
    assert torch.allclose(found, moved, atol=1e-5)


@torch.no_grad()
def test_vilt_draws_nothing_in_evaluation() -> None:
    _, backbone = vilt_of()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = backbone(*texts(), images_of(256))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(backbone(*texts(), images_of(256)), first)


def either(name: str) -> tuple[MultimodalBackbone, Tensor]:
    """A network of ours and what it sees besides texts."""
    if name == "vilt":
        return vilt_of()[1], images_of(64)
    return visualbert_of("mean" if name == "visualbert-mean" else "pooler")[1], maps_of()


NAMES = ("visualbert", "visualbert-mean", "vilt")


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name: str) -> None:
    backbone, seen = either(name)
    tokens, is_word = texts()
    expected = backbone(tokens, is_word, seen)
    other_ids = torch.where(is_word, tokens, 7)
    assert torch.allclose(backbone(other_ids, is_word, seen), expected, atol=1e-5)
    for row, length in enumerate(LENGTHS):
        part = slice(row, row + 1)
        alone = backbone(tokens[part, :length], is_word[part, :length], seen[part])
        assert torch.allclose(alone[0], expected[row], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_every_word_and_every_cell_is_read(name: str) -> None:
    backbone, seen = either(name)
    tokens, is_word = texts()
    expected = backbone(tokens, is_word, seen)
    for row, length in enumerate(LENGTHS):
        for word in range(length):
            changed = tokens.clone()
            changed[row, word] = 4 + (tokens[row, word] - 3) % 16
            moved = (backbone(changed, is_word, seen) - expected).abs().amax(1)
            assert moved[row] > 1e-4 and moved.sum() == moved[row]
    cell = 32 if name == "vilt" else 1
    for y in range(0, seen.shape[2], cell):
        for x in range(0, seen.shape[3], cell):
            changed = seen.clone()
            changed[:, :, y : y + cell, x : x + cell] = 1
            moved = (backbone(tokens, is_word, changed) - expected).abs().amax(1)
            assert moved.min() > 1e-5, (y, x)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_gradient(name: str) -> None:
    backbone, seen = either(name)
    feature = backbone(*texts(), seen)
    (feature * torch.randn_like(feature)).sum().backward()
    parameters = dict(backbone.named_parameters())
    assert all(p.requires_grad for p in parameters.values())
    still = {k for k, p in parameters.items() if p.grad is None or p.grad.abs().max() == 0}
    # A bias of keys moves all scores of a query alike; its gradient is zero but for rounding.
    assert {k for k in still if not k.endswith("key.bias")} == set()


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_of_the_kind_that_the_library_has(name: str) -> None:
    # Asked for another, it raises.
    backbone, _ = either(name)
    assert backbone.net.config._attn_implementation == "eager"


def test_drawn_names_are_those_of_the_module() -> None:
    net, _ = visualbert_of()
    backbone = VisualBertBackbone(
        card_of("visualbert"), net, ["embeddings.visual_projection.bias"]
    )
    assert backbone.drawn == {"net.embeddings.visual_projection.bias"}
    assert backbone.drawn <= backbone.state_dict().keys()
    assert vilt_of()[1].drawn == frozenset()


def test_every_family_has_an_adapter() -> None:
    assert {card.family for card in MULTIMODAL.values()} == set(MULTIMODAL_FAMILIES)
