"""What a reader must know of a map is said below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.figures.attention import draw_unit
from analysis.figures.attention_caption import Source
from mi2p.attention_file import Attention
from mi2p.plan import Plan
from tests.an_attention import an_attention
from tests.analysis.conftest import Lab


def source(plan: Plan, key: str = "me_bert-1-3") -> Source:
    (row,) = (row for row in plan.rows if row.key == key)
    return Source(plan=plan, row=row, seed=0)


def caption(lab: Lab, attention: Attention, modality: str = "textual") -> str:
    unit = [unit for unit in attention.units if unit.modality == modality][-1]
    (made,) = draw_unit(attention, unit, source(lab.plan()), "name")
    return made.caption


def test_the_caption_tells_what_is_shown(lab: Lab) -> None:
    told = caption(lab, an_attention())
    assert "The MI2P unit" not in told and "unit at layer 3 of MiniLM attends to" in told
    assert "the channel that a word attends to most beyond the mean over words" in told
    assert "weight (the mean over heads) times Z'" in told
    assert "content words whose attention is least spread" in told
    assert "trained on this example" not in told and "differs" not in told
    visual = caption(lab, an_attention(), "visual")
    assert "unit at block 4 of DenseNet-121" in visual
    assert "the channel that attends to a word most beyond the mean over channels" in visual


def test_the_caption_tells_what_a_reader_must_know(lab: Lab) -> None:
    assert "The model was trained on this example." in caption(lab, an_attention(split="train"))
    assert "differs by up to 0.3." in caption(lab, an_attention(difference=0.3))
    assert "was not compared with them" in caption(lab, an_attention(difference=None))
    told = caption(lab, an_attention(asked=("the",), heads="1", channels=3))
    assert "the 3 channels that a word attends to" in told and "weight (head 1)" in told
    assert "content words" not in told


def test_the_caption_tells_when_a_map_says_nothing(lab: Lab) -> None:
    told = "within 3 % of uniform"
    assert told in caption(lab, an_attention(sharpness=0.01))
    assert told not in caption(lab, an_attention(sharpness=3))


def test_the_caption_tells_of_a_map_without_anything_in_it(lab: Lab) -> None:
    attention, told = an_attention(), "of one colour"
    assert told not in caption(lab, attention)
    flat = tuple(replace(unit, maps=np.zeros_like(unit.maps)) for unit in attention.units)
    assert told in caption(lab, replace(attention, units=flat))
