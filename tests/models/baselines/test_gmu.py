"""The gated multimodal unit against its equations, unit by unit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mi2p.model_spec import FusionSpec
from mi2p.models.baselines.gmu import GMU, WIDTH

BATCH, VISUAL, TEXTUAL = 3, 4, 5


def unit() -> GMU:
    torch.manual_seed(0)
    return GMU(VISUAL, TEXTUAL, FusionSpec(kind="gmu"))


def features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(BATCH, VISUAL, generator=generator)
    return v, torch.randn(BATCH, TEXTUAL, generator=generator)


def test_it_is_what_its_equations_say() -> None:
    gmu, (v, t) = unit(), features()
    state = {name: value.double() for name, value in gmu.state_dict().items()}
    found = gmu(v, t)
    for b in range(BATCH):
        for i in range(WIDTH):
            of_visual = math.tanh(
                sum(float(state["visual.weight"][i, j] * v[b, j]) for j in range(VISUAL))
            )
            of_textual = math.tanh(
                sum(float(state["textual.weight"][i, j] * t[b, j]) for j in range(TEXTUAL))
            )
            score = sum(float(state["gate.weight"][i, j] * v[b, j]) for j in range(VISUAL))
            score += sum(
                float(state["gate.weight"][i, VISUAL + j] * t[b, j]) for j in range(TEXTUAL)
            )
            z = 1 / (1 + math.exp(-score))
            wanted = z * of_visual + (1 - z) * of_textual
            assert found[b, i].item() == pytest.approx(wanted, abs=1e-5)
    assert found.shape == (BATCH, gmu.width)


@pytest.mark.parametrize(("sign", "heard"), [(1, "visual"), (-1, "textual")])
def test_an_open_gate_hears_one_modality_alone(sign: int, heard: str) -> None:
    gmu, (v, t) = unit(), features()
    v[:, 0] = 1
    with torch.no_grad():
        gmu.gate.weight.zero_()
        gmu.gate.weight[:, 0] = 1e3 * sign  # z is 1 or 0
    kept, lost = (v, t) if heard == "visual" else (t, v)
    other = lost.flip(0)
    pair = (kept, other) if heard == "visual" else (other, kept)
    assert torch.equal(gmu(*pair), gmu(v, t))
    changed = (v.flip(0), t) if heard == "visual" else (v, t.flip(0))
    assert not torch.allclose(gmu(*changed), gmu(v, t), atol=1e-3)
