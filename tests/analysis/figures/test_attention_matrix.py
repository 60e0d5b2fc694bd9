"""Words by channels: which are drawn, and in what unit."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from analysis.attended import Attended, attended
from analysis.figures.attention_matrix import CHANNELS, columns, draw_matrix, times_uniform
from mi2p.attention_file import Unit
from tests.an_attention import an_attention


def unit_of(modality: str, heads: str = "mean") -> Attended:
    attention = an_attention(heads=heads)
    return attended(attention, [u for u in attention.units if u.modality == modality][-1])


def test_uniform_attention_is_1() -> None:
    attention = an_attention(sharpness=0)
    for unit in attention.units:
        assert np.allclose(times_uniform(attended(attention, unit)), 1)


@pytest.mark.parametrize(("modality", "axis"), [("textual", 1), ("visual", 0)])
def test_what_attends_gives_1_in_the_mean(modality: str, axis: int) -> None:
    # Every word of the example is one piece, so that nothing is lost by merging.
    assert np.allclose(times_uniform(unit_of(modality)).mean(axis), 1, atol=1e-6)


def test_channels_that_stand_out_are_drawn_by_number() -> None:
    found = unit_of("textual")
    contrast = np.zeros((5, 60))
    contrast[1, 40:60], contrast[2, 3], contrast[3, :3] = 0.1, -0.5, 0.2
    weights = np.full((5, 60), 1 / 60)
    wide = Attended(
        unit=Unit(modality="textual", tap=1, weights=found.unit.weights, maps=found.unit.maps),
        items=found.items,
        weights=weights,
        contrast=contrast,
        entropy=found.entropy,
        spread=1.0,
    )
    assert CHANNELS == 24
    assert columns(wide).tolist() == [0, 1, 2, 3, *range(40, 60)]
    assert columns(found).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("modality", ["textual", "visual"])
def test_the_same_bytes_and_a_caption(modality: str) -> None:
    one, other = (draw_matrix(unit_of(modality), "layer 3 of X", "name") for _ in range(2))
    assert one == other and one.pdf.startswith(b"%PDF")
    Image.open(io.BytesIO(one.png)).verify()
    count = len(columns(unit_of(modality)))
    assert f"The {count} of {count} channels" in one.caption and "layer 3 of X" in one.caption
