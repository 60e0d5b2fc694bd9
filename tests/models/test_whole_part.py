"""A share of a part computed as in the whole part: BatchNorm, noise, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.models.whole_part import WholePart, dropout_along
from mi2p.team import Team
from tests.teams import in_a_team

COUNT, SIZE = 7, 3
"""Uneven: shares of 3, 2 and 2 examples."""
TEAM = [Team(rank, SIZE) for rank in range(SIZE)]


def heads(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_after_another(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """What each process of the team makes of its share, put together, and a number drawn last."""
    parts, last = [], []
    for team in TEAM:
        torch.manual_seed(0)
        with WholePart(team, COUNT):
            parts.append(function(x[team.share(COUNT)]))
        last.append(torch.rand(()))
    assert len(set(map(float, last))) == 1  # all are in step with the generator
    return torch.cat(parts), last[0]


NOISE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda x: F.dropout(x, 0.3),
    "the module": lambda x: nn.Dropout(0.3)(x),
    "in place": lambda x: F.dropout(x * 1, 0.3, inplace=True),
    "other layout": lambda x: F.dropout(x.permute(0, 2, 3, 1), 0.3),
    "channels last": lambda x: F.dropout(x.contiguous(memory_format=torch.channels_last), 0.3),
    "batch second": lambda x: dropout_along(x.transpose(0, 1), 0.3, True, axis=1).transpose(0, 1),
    "of an expanded tensor": lambda x: dropout_along(
        x[:1].transpose(0, 1).expand(-1, len(x), -1, -1), 0.3, True, axis=1
    ).transpose(0, 1),
    "stochastic depth": lambda x: x * x.new_empty(len(x), 1, 1, 1).bernoulli_(0.5),
    "uniform": lambda x: torch.rand(len(x), 4),
    "no noise in evaluation": lambda x: F.dropout(x, 0.3, training=False),
}


@pytest.mark.parametrize("name", NOISE)
def test_noise_has_the_bits_of_one_process(name: str) -> None:
    x = heads(0, 1, 2, 5, 4).expand(COUNT, -1, -1, -1).contiguous()
    torch.manual_seed(0)
    expected, last = NOISE[name](x), torch.rand(())
    found, last_found = one_after_another(NOISE[name], x)
    assert torch.equal(found, expected) and torch.equal(last, last_found)


MASKS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "words": {"attn_mask": (torch.arange(5) < 3).expand(1, 1, 5, 5)},
    "added": {"attn_mask": heads(3, 1, 2, 5, 5)},
    "causal": {"is_causal": True},
}


@pytest.mark.parametrize("name", MASKS)
def test_attention_draws_the_noise_of_one_process(name: str) -> None:
    x = heads(0, COUNT, 2, 5, 4)

    def function(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x + 1, x, x, dropout_p=0.4, **MASKS[name])

    torch.manual_seed(0)
    expected, last = function(x), torch.rand(())
    found, last_found = one_after_another(function, x)
    torch.testing.assert_close(found, expected)
    assert torch.equal(last, last_found)
    torch.manual_seed(1)
    assert not torch.allclose(function(x), expected)


def test_noise_for_others_than_the_share_is_refused() -> None:
    rule = r"this process's share of examples, 3 of 7, but the tensor has 4"
    with WholePart(TEAM[0], COUNT), pytest.raises(RuntimeError, match=rule):
        F.dropout(torch.ones(4, 2))


SHAPES: Mapping[str, tuple[int, ...]] = {"2d": (COUNT, 3, 4, 5), "1d": (COUNT, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_is_that_of_one_process(shape: str) -> None:
    x, target = heads(0, *SHAPES[shape]) * 3 + 100, heads(1, *SHAPES[shape])
    alone = normalised(x, target, None)
    found = in_a_team(SIZE, normalised, x, target, COUNT)
    for name, value in alone.items():
        each = [one[name] for one in found]
        if name in ("out", "of_input"):
            together = torch.cat(each)
        elif name.startswith("of_"):  # gradients of parameters are to be added up
            together = torch.stack(each).sum(0)
        else:
            together = each[0]
            assert all(torch.equal(together, other) for other in each)
        torch.testing.assert_close(together, value, rtol=1e-4, atol=1e-4, msg=name)
    local = normalised(x[:3], target[:3], None)
    assert not torch.allclose(local["out"], alone["out"][:3], rtol=1e-2, atol=1e-2)


def normalised(x: Tensor, target: Tensor, count: int | None) -> dict[str, Tensor]:
    """A training step of BatchNorm, on this process's share if there is a team."""
    team = Team.current()
    share = team.share(len(x))
    own = x[share].clone().requires_grad_()
    norm = nn.BatchNorm2d(3) if x.dim() == 4 else nn.BatchNorm1d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
    if count is None:
        out = norm(own)
        (out * target[share]).sum().backward()
    else:
        with WholePart(team, count):
            out = norm(own)
            (out * target[share]).sum().backward()
    assert own.grad is not None and norm.weight.grad is not None and norm.bias.grad is not None
    return {
        "out": out.detach(),
        "of_input": own.grad,
        "of_weight": norm.weight.grad,
        "of_bias": norm.bias.grad,
        **{name: value.clone() for name, value in norm.named_buffers()},
    }
