"""What units attend to, beside an undisturbed prediction: sums, padding, and a literal loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mi2p.model_spec import Modality
from mi2p.models import Batch, Classifier
from mi2p.models.injection import TextualUnit, VisualUnit
from mi2p.recording import recorded
from tests.models.test_injection import literal_attention, literal_pooled, randomised
from tests.tiny_models import BATCH, LENGTHS, WORDS, batch_of, logits_of, model_of, step

NAMES = (
    *("me_cnn", "me_bert", "me_bert/resnet-xlnet"),
    *(f"me_fusion-{kind}" for kind in ("score", "concat", "cross_attention")),
)


def made(name: str, **options: Any) -> Classifier:
    """With units that are not as drawn: those hardly prefer anything."""
    model = model_of(name, **options).eval()
    torch.manual_seed(1)
    for units in model.units().values():
        for unit in units.values():
            randomised(unit)
    return model


def hooks_of(model: Classifier) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_weights_sum_to_1_over_words_and_are_0_on_padding(name: str) -> None:
    assert len(set(LENGTHS)) > 1
    model, batch = made(name), batch_of()
    is_word = torch.arange(WORDS) < torch.tensor(LENGTHS)[:, None]
    expected = logits_of(model, batch)
    with torch.no_grad(), recorded(model) as found:
        logits = model(batch)
    assert torch.equal(logits, expected)  # nobody disturbed it
    assert hooks_of(model) == 0
    places = {(m, int(tap)) for m, units in model.units().items() for tap in units}
    assert found.keys() == places and places
    for (modality, _), one in found.items():
        sums = one.weights.sum(-1)
        if modality == "visual":
            assert one.weights.shape == (BATCH, 4, one.maps.shape[1], WORDS)
            assert torch.allclose(sums, torch.ones_like(sums), atol=1e-6)
            padding = ~is_word[:, None, None, :].expand_as(one.weights)
        else:
            assert one.weights.shape == (BATCH, 4, WORDS, one.maps.shape[1])
            assert torch.allclose(sums, is_word[:, None].float().expand_as(sums), atol=1e-6)
            padding = ~is_word[:, None, :, None].expand_as(one.weights)
        assert padding.any() and not one.weights[padding].any()
        assert one.weights.std() > 1e-4


@pytest.mark.parametrize("name", ["me_cnn", "me_bert", "me_fusion-concat"])
def test_weights_are_those_of_the_literal_equations(name: str) -> None:
    # Of what each unit is called with, seen by other means than hooks.
    model, batch = made(name), batch_of()
    seen: dict[tuple[Modality, int], tuple[Tensor, ...]] = {}
    for modality, units in model.units().items():
        for tap, unit in units.items():
            unit.forward = _spied(unit.forward, seen, (modality, int(tap)))
    with torch.no_grad(), recorded(model) as found:
        model(batch)
    for place, one in found.items():
        unit = model.units()[place[0]][str(place[1])]
        for sample, expected in enumerate(_literal(unit, seen[place])):
            length = LENGTHS[sample]
            for head, weights in enumerate(expected):
                got = one.weights[sample, head]
                if isinstance(unit, TextualUnit):
                    got, weights = got[:length], weights[:length]
                else:
                    got = got[:, :length]
                assert weights.std() > 1e-4, "uniform: nothing is seen"
                assert torch.allclose(got.double(), weights, atol=1e-5)


def _spied(forward: Any, seen: dict[Any, Any], place: object) -> Any:
    def call(*arguments: Tensor) -> Tensor:
        seen[place] = arguments
        out: Tensor = forward(*arguments)
        return out

    return call


@torch.no_grad()
def _literal(unit: Any, arguments: tuple[Tensor, ...]) -> list[list[Tensor]]:
    """Convolve and pool each channel, then loop over samples and heads."""
    if isinstance(unit, VisualUnit):
        maps, words, is_key = arguments
        queries = literal_pooled(maps.double(), unit.query)
        keys = words.double() @ unit.key.weight.double().T
    else:
        words, maps = arguments
        queries = words.double() @ unit.query.weight.double().T
        keys = literal_pooled(maps.double(), unit.key)
        is_key = torch.ones(len(maps), maps.shape[1], dtype=torch.bool)
    return literal_attention(queries, keys, unit.heads, is_key)


def test_the_last_forward_pass_stays() -> None:
    model, batch = made("me_bert"), batch_of()
    assert batch.images is not None
    other = Batch(images=255 - batch.images, tokens=batch.tokens, is_word=batch.is_word)
    with torch.no_grad():
        with recorded(model) as alone:
            model(other)
        with recorded(model) as found:
            model(batch)
            model(other)
    assert all(torch.equal(found[place].weights, alone[place].weights) for place in found)


def test_hooks_are_gone_after_an_error() -> None:
    model = made("me_fusion-concat")
    with pytest.raises(RuntimeError, match="mine"), recorded(model):
        assert hooks_of(model) > 0
        raise RuntimeError("mine")
    assert hooks_of(model) == 0


def test_a_model_that_trains_is_refused() -> None:
    model = model_of("me_cnn")
    step(model)
    with pytest.raises(ValueError, match="recorded in evaluation"), recorded(model.train()):
        pass


def test_models_without_units_have_nothing_to_record() -> None:
    model = model_of("bert").eval()
    with torch.no_grad(), recorded(model) as found:
        model(batch_of())
    assert found == {}
