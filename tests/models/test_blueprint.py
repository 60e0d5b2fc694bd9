"""Parts that builders ask for; what they make of them is held by `test_classifier`."""

from __future__ import annotations

import pytest
import torch

from mi2p.models.blueprint import Blueprint
from mi2p.models.injection import TextualUnit, VisualUnit
from tests.tiny_models import spec_of


def blueprint(name: str, *, stored: frozenset[str] = frozenset()) -> Blueprint:
    return Blueprint(
        spec=spec_of(name), num_classes=3, multilabel=False, weights=None, stored=stored
    )


def test_units_go_to_the_backbone_they_are_for() -> None:
    plan = blueprint("me_fusion-concat")
    visual, textual = plan.visual_branch(), plan.textual_branch()
    plan.attach_visual(visual)
    plan.attach_textual(textual)
    assert [type(unit) for unit in visual.units.values()] == [VisualUnit] * 4
    assert [type(unit) for unit in textual.units.values()] == [TextualUnit] * 3
    plain = blueprint("fusion-concat")
    plain.attach_visual(visual := plain.visual_branch())
    assert not visual.units and visual.external is None


@pytest.mark.parametrize("kind", ["words", "maps"])
def test_an_encoder_is_there_unless_batches_bring_its_features(kind: str) -> None:
    state = torch.get_rng_state()
    encoder = blueprint("me_fusion-concat").external(kind)  # type: ignore[arg-type]
    assert encoder is not None and not any(p.requires_grad for p in encoder.parameters())
    assert encoder.max_tokens == 8
    assert torch.equal(torch.get_rng_state(), state)  # units are drawn as without it
    plan = blueprint("me_fusion-concat", stored=frozenset({kind}))
    assert plan.external(kind) is None  # type: ignore[arg-type]
