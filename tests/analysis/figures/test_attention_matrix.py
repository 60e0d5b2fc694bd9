"""Words by channels: which are drawn, and in what unit."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from analysis.attended import Attended, attended
from analysis.figures.attention_caption import Source
from analysis.figures.attention_matrix import CHANNELS, columns, draw_matrix, times_uniform
from analysis.figures.canvas import Drawn
from mi2p.attention_file import Unit
from tests.an_attention import an_attention
from tests.analysis.conftest import Lab


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
def test_the_same_bytes_and_a_caption(lab: Lab, modality: str) -> None:
    def made(heads: str = "mean", split: str = "test") -> Drawn:
        attention = replace(an_attention(heads=heads), split=split)
        plan = lab.plan()
        key = "me_bert-1-3" if modality == "textual" else "me_cnn-1-4"
        (row,) = (row for row in plan.rows if row.key == key)
        source = Source(plan=plan, row=row, seed=0)
        return draw_matrix(attention, unit_of(modality, heads), source, "name")

    one, other = made(), made()
    assert one == other and one.pdf.startswith(b"%PDF")
    Image.open(io.BytesIO(one.png)).verify()
    count = len(columns(unit_of(modality)))
    assert f"The {count} of {count} channels" in one.caption
    where = "layer 3 of MiniLM" if modality == "textual" else "block 4 of DenseNet-121"
    assert f"unit at {where} attends to in example" in one.caption
    assert "trained on" not in one.caption and "is no distribution" not in one.caption
    assert "The model was trained on this example." in made(split="train").caption
    assert "the maximum over heads, which is no distribution" in made(heads="max").caption
