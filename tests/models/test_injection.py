"""The MI2P unit against the literal one: convolve, pool, and attend head by head."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.models.injection import PooledConv, TextualUnit, VisualUnit, window_means
from mi2p.spec import UnitSpec

TOLERANCE = 1e-5
BATCH, CHANNELS, SIDE, WORDS, WIDTH = 3, 5, 4, 6, 12
LENGTHS = (6, 4, 1)
SIDES = [(4, 4), (5, 7), (2, 2), (1, 3), (1, 1)]  # the last three are smaller than a kernel


def literal_pooled(maps: Tensor, conv: PooledConv) -> Tensor:
    """Convolve every channel with its kernels, then average over the map: (B, c, K)."""
    responses = []
    for channel in range(maps.shape[1]):
        own = conv.weight.dim() == 3
        weight = conv.weight[channel] if own else conv.weight
        bias = conv.bias[channel] if own and conv.bias is not None else conv.bias
        kernels = weight.to(maps.dtype).unflatten(-1, (conv.kernel, conv.kernel)).unsqueeze(1)
        response = F.conv2d(
            maps[:, channel : channel + 1],
            kernels,
            None if bias is None else bias.to(maps.dtype),
            padding=conv.kernel // 2,
        )
        responses.append(response.mean((-2, -1)))
    return torch.stack(responses, 1)


def literal_attention(
    queries: Tensor, keys: Tensor, heads: int, is_key: Tensor
) -> list[list[Tensor]]:
    """Weights of each sample and head over the keys that are there."""
    d_k = queries.shape[-1] // heads
    weights: list[list[Tensor]] = []
    for sample in range(len(queries)):
        weights.append([])
        for head in range(heads):
            own = slice(head * d_k, (head + 1) * d_k)
            scores = queries[sample, :, own] @ keys[sample, is_key[sample], own].T
            weights[-1].append((scores / math.sqrt(d_k)).softmax(-1))
    return weights


def literal_delta(
    unit: Any, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor
) -> Tensor:
    """Equations (1) and (2) with loops over samples and heads: (B, queries, wanted)."""
    d_v = values.shape[-1] // unit.heads
    weights = literal_attention(queries, keys, unit.heads, mask)
    rows = []
    for sample, of_sample in enumerate(weights):
        found = [
            of_head @ values[sample, mask[sample], head * d_v : (head + 1) * d_v]
            for head, of_head in enumerate(of_sample)
        ]
        rows.append(torch.cat(found, -1))
    delta = torch.stack(rows)
    if unit.out is not None:
        delta = delta @ unit.out.weight.T
    return delta if unit.gate is None else unit.gate * delta


def literal_visual(unit: VisualUnit, maps: Tensor, words: Tensor, is_word: Tensor) -> Tensor:
    queries = literal_pooled(maps, unit.query)
    keys, values = words @ unit.key.weight.T, words @ unit.value.weight.T
    return maps + literal_delta(unit, queries, keys, values, is_word).view_as(maps)


def literal_textual(unit: TextualUnit, words: Tensor, maps: Tensor) -> Tensor:
    queries, keys = words @ unit.query.weight.T, literal_pooled(maps, unit.key)
    values = maps.flatten(2) @ unit.value.weight.T  # one row of cells per channel
    every = torch.ones(maps.shape[:2], dtype=torch.bool)
    return words + literal_delta(unit, queries, keys, values, every)


def is_word() -> Tensor:
    return torch.arange(WORDS) < torch.tensor(LENGTHS)[:, None]


def draw(*shape: int) -> Tensor:
    # Not centred, so that sums over a map matter.
    return torch.randn(*shape) + 0.3


def randomised(unit: nn.Module) -> None:
    """Weights large enough for attention far from uniform, and a gate that is open."""
    for name, parameter in unit.named_parameters():
        nn.init.normal_(parameter, std=0.6)
        if name == "gate":
            nn.init.constant_(parameter, 0.7)


def assert_close(found: Tensor, expected: Tensor, what: str) -> None:
    assert found.shape == expected.shape, what
    scale = max(1.0, float(expected.abs().max()))
    worst = float((found.double() - expected).abs().max())
    assert worst <= TOLERANCE * scale, f"{what}: {worst:.2e} at a scale of {scale:.2e}"


def assert_same_function(
    unit: VisualUnit | TextualUnit, inputs: list[Tensor], mask: Tensor | None
) -> None:
    """Results and all gradients of the float32 unit are those of the literal one in float64."""
    extra = [] if mask is None else [mask]
    mine = [x.clone().requires_grad_() for x in inputs]
    result = unit(*mine, *extra)
    probe = torch.randn_like(result)
    (result * probe).sum().backward()
    gradients = {name: p.grad for name, p in unit.named_parameters()}

    twin = copy.deepcopy(unit).double()
    twin.zero_grad()
    theirs = [x.double().requires_grad_() for x in inputs]
    if isinstance(twin, VisualUnit):
        assert mask is not None
        expected = literal_visual(twin, theirs[0], theirs[1], mask)
    else:
        expected = literal_textual(twin, theirs[0], theirs[1])
    (expected * probe.double()).sum().backward()

    assert_close(result.detach(), expected.detach(), "result")
    for at, (x, y) in enumerate(zip(mine, theirs, strict=True)):
        assert x.grad is not None and y.grad is not None
        assert_close(x.grad, y.grad, f"gradient of input {at}")
    for name, parameter in twin.named_parameters():
        found = gradients[name]
        assert found is not None and parameter.grad is not None, name
        assert_close(found, parameter.grad, f"gradient of {name}")


def visual_unit(**units: Any) -> VisualUnit:
    spec = UnitSpec(**{"attach": (1,), "heads": 4, "d_k": 3, **units})
    return VisualUnit(spec, channels=CHANNELS, side=SIDE, textual_width=WIDTH)


def textual_unit(**units: Any) -> TextualUnit:
    spec = UnitSpec(**{"attach": (1,), "heads": 4, "d_k": 3, **units})
    return TextualUnit(spec, textual_width=WIDTH, channels=CHANNELS, side=SIDE)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("size", SIDES)
def test_window_means_are_pooled_unit_responses(kernel: int, size: tuple[int, int]) -> None:
    # A kernel that is 1 in one cell and 0 elsewhere, literally convolved and pooled.
    maps = torch.randn(2, 3, *size)
    units = torch.eye(kernel * kernel).unflatten(-1, (kernel, kernel)).unsqueeze(1)
    literal = F.conv2d(maps.flatten(0, 1).unsqueeze(1), units, padding=kernel // 2)
    expected = literal.mean((-2, -1)).unflatten(0, (2, 3)).double()
    assert_close(window_means(maps, kernel), expected, "window means")


def test_window_means_by_hand() -> None:
    # Row 0 of the kernel reads the row above: the map's first row sees zeros there.
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    expected = torch.tensor([[1, 3, 2], [4, 10, 6], [3, 7, 4]]) / 4
    assert torch.equal(window_means(maps, 3).view(3, 3), expected)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("sharing", ["shared", "per_channel"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", SIDES)
def test_pooled_conv_is_convolve_then_pool(
    kernel: int, sharing: str, bias: bool, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = PooledConv(CHANNELS, 6, kernel=kernel, sharing=sharing, bias=bias)
    maps = draw(2, CHANNELS, *size)
    expected = literal_pooled(maps.double(), conv)
    assert_close(conv(maps).detach(), expected.detach(), "responses")
    # The two factors of a head multiply to <response, other>.
    other = torch.randn(2, 3, 4, 2)
    mine, folded = conv.factors(maps, other)
    by_head = expected.unflatten(-1, (3, 2)).transpose(1, 2)  # (B, H, c, dk)
    assert_close(
        (mine @ folded.transpose(-1, -2)).detach(),
        (by_head @ other.double().transpose(-1, -2)).detach(),
        "products",
    )


def test_channels_last_maps_give_the_same_responses() -> None:
    conv = PooledConv(CHANNELS, 6, kernel=3, sharing="shared", bias=True)
    maps = draw(2, CHANNELS, 8, 8)
    assert torch.allclose(conv(maps.to(memory_format=torch.channels_last)), conv(maps), atol=1e-6)


QUERIES = list(itertools.product((1, 3, 5, 7), ("shared", "per_channel"), (True, False)))
VARIANTS: list[dict[str, Any]] = [
    {"heads": 1},
    {"heads": 2, "d_k": 8},
    {"d_k": 1},
    {"out_projection": True},
    {"init": "gate"},
    {"init": "gate", "out_projection": True, "query_sharing": "per_channel"},
    {"init": "zero_value"},
]


@pytest.mark.parametrize(("kernel", "sharing", "bias"), QUERIES)
@pytest.mark.parametrize("direction", ["visual", "textual"])
def test_every_kind_of_query_is_the_literal_unit(
    direction: str, kernel: int, sharing: str, bias: bool
) -> None:
    check(direction, query_kernel=kernel, query_sharing=sharing, query_bias=bias)


@pytest.mark.parametrize("units", [*VARIANTS, {"heads": 3, "head_mode": "project"}], ids=str)
@pytest.mark.parametrize("direction", ["visual", "textual"])
def test_every_other_option_is_the_literal_unit(direction: str, units: dict[str, Any]) -> None:
    # 3 heads do not divide the 16 cells: values of size 6, then 18 -> 16.
    check(direction, **units)


def check(direction: str, **units: Any) -> None:
    torch.manual_seed(0)
    maps, words = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH)
    if direction == "visual":
        visual = visual_unit(**units)
        randomised(visual)
        assert_same_function(visual, [maps, words], is_word())
    else:
        textual = textual_unit(**units)
        randomised(textual)
        assert_same_function(textual, [words, maps], None)


def test_project_maps_to_the_cells() -> None:
    unit = visual_unit(heads=3, head_mode="project")
    assert unit.value.weight.shape == (3 * 6, WIDTH)  # ceil(16 / 3) = 6 per head
    assert unit.out is not None and unit.out.weight.shape == (16, 18)
    assert visual_unit(heads=4, head_mode="project").out is None  # nothing to lift


@pytest.mark.parametrize("direction", ["visual", "textual"])
@pytest.mark.parametrize("init", ["zero_value", "gate"])
@pytest.mark.parametrize("extra", [{}, {"out_projection": True}])
def test_a_neutral_init_leaves_the_state_untouched(
    direction: str, init: str, extra: dict[str, Any]
) -> None:
    maps, words = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH)
    if direction == "visual":
        unit = visual_unit(init=init, **extra)
        assert torch.equal(unit(maps, words, is_word()), maps)
    else:
        other = textual_unit(init=init, **extra)
        assert torch.equal(other(words, maps), words)


@pytest.mark.parametrize("direction", ["visual", "textual"])
def test_the_default_init_does_not(direction: str) -> None:
    maps, words = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH)
    if direction == "visual":
        assert not torch.equal(visual_unit()(maps, words, is_word()), maps)
    else:
        assert not torch.equal(textual_unit()(words, maps), words)


@pytest.mark.parametrize("sharing", ["shared", "per_channel"])
def test_attention_of_channels_over_words(sharing: str) -> None:
    torch.manual_seed(0)
    unit = visual_unit(query_sharing=sharing)
    randomised(unit)
    maps, words, mask = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH), is_word()
    found = unit.attention(maps, words, mask).detach()
    assert found.shape == (BATCH, 4, CHANNELS, WORDS)
    assert torch.allclose(found.sum(-1), torch.ones(BATCH, 4, CHANNELS))
    padding = ~mask[:, None, None, :].expand_as(found)
    assert torch.equal(found[padding], torch.zeros(int(padding.sum())))
    queries = literal_pooled(maps.double(), unit.query)
    keys = words.double() @ unit.key.weight.double().T
    for sample, weights in enumerate(literal_attention(queries, keys, 4, mask)):
        for head, expected in enumerate(weights):
            assert expected.std() > 0.01 or LENGTHS[sample] == 1  # not uniform
            present = found[sample, head][:, mask[sample]]
            assert_close(present, expected.detach(), f"sample {sample}, head {head}")


@pytest.mark.parametrize("sharing", ["shared", "per_channel"])
def test_attention_of_words_over_channels(sharing: str) -> None:
    torch.manual_seed(0)
    unit = textual_unit(query_sharing=sharing)
    randomised(unit)
    maps, words = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH)
    found = unit.attention(words, maps).detach()
    assert found.shape == (BATCH, 4, WORDS, CHANNELS)
    assert torch.allclose(found.sum(-1), torch.ones(BATCH, 4, WORDS))
    keys = literal_pooled(maps.double(), unit.key)
    queries = words.double() @ unit.query.weight.double().T
    every = torch.ones(BATCH, CHANNELS, dtype=torch.bool)
    for sample, weights in enumerate(literal_attention(queries, keys, 4, every)):
        for head, expected in enumerate(weights):
            assert expected.std() > 0.01
            assert_close(found[sample, head], expected.detach(), f"sample {sample}, head {head}")


def test_padding_does_not_reach_the_maps() -> None:
    torch.manual_seed(0)
    unit = visual_unit()
    randomised(unit)
    maps, words, mask = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH), is_word()
    other = torch.where(mask.unsqueeze(-1), words, 100 * torch.randn_like(words))
    assert torch.equal(unit(maps, words, mask), unit(maps, other, mask))
    longer = F.pad(words, (0, 0, 0, 3), value=9.0), F.pad(mask, (0, 3))
    assert torch.allclose(unit(maps, *longer), unit(maps, words, mask), atol=1e-5)


@pytest.mark.parametrize("direction", ["visual", "textual"])
@pytest.mark.parametrize("sharing", ["shared", "per_channel"])
def test_reduced_precision_stays_near(direction: str, sharing: str) -> None:
    # As on a GPU: the backbone computes in bfloat16 under autocast, stored features are float32.
    torch.manual_seed(0)
    maps, words = draw(BATCH, CHANNELS, SIDE, SIDE), draw(BATCH, WORDS, WIDTH)
    unit = (visual_unit if direction == "visual" else textual_unit)(query_sharing=sharing)
    state, rest = (maps, [words, is_word()]) if direction == "visual" else (words, [maps])
    expected = unit(state, *rest)
    with torch.autocast("cpu", torch.bfloat16):
        found = unit(state.bfloat16(), *rest)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), expected, atol=0.05)
