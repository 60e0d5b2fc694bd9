"""The contract that every model in MODELS holds, and what the frozen encoders may not do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mi2p.models import MODELS, build
from mi2p.models.classifier import Batch, Classifier, drawn_in, is_external
from mi2p.models.weights import fingerprint
from tests.tiny_models import (
    BACKBONES,
    BATCH,
    CLASSES,
    KINDS,
    batch_of,
    logits_of,
    model_of,
    same,
    snapshot,
    spec_of,
    step,
)

UNITED = [f"{model}/{pair}" for model in ("me_cnn", "me_bert") for pair in BACKBONES]
FUSED = [f"fusion-{kind}" for kind in KINDS]
ME_FUSED = [f"me_fusion-{kind}" for kind in KINDS]
EARLY = ["mmbt", "pixelbert", "visualbert", "vilt"]
ALL = [
    *(f"{model}/{pair}" for model in ("cnn", "bert", "centralnet") for pair in BACKBONES),
    *UNITED,
    *FUSED,
    "fusion-score/clip",
    *ME_FUSED,
    "me_fusion-concat/resnet-xlnet",
    *EARLY,
]
FROZEN = [*UNITED, *ME_FUSED, "visualbert"]
BLIND = ("attention.self.key.bias", "self_attn.k_proj.bias", "attention.attention.key.bias")
"""A bias of keys moves all scores of a query alike, which a softmax does not see: in exact
arithmetic it has no gradient. These are the libraries' own, and the shared one of a unit."""


def test_every_model_is_tested_here() -> None:
    assert set(MODELS) == {spec_of(name).model.name for name in ALL}


@pytest.mark.parametrize("name", ALL)
def test_logits_are_finite_and_one_per_class(name: str) -> None:
    logits = logits_of(model_of(name), batch_of())
    assert logits.shape == (BATCH, CLASSES)
    assert logits.isfinite().all()
    assert logits.std(0).min() > 0  # they depend on the example


@pytest.mark.parametrize("name", ALL)
def test_every_trained_parameter_learns(name: str) -> None:
    model = model_of(name)
    before = snapshot(model)
    step(model)
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    assert [k for k, p in trained.items() if p.grad is None] == []
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.values())
    blind = {k for k in trained if k.endswith(BLIND)}
    blind |= {k for k in trained if k.endswith("key.bias") and "units" in k.split(".")}
    still = {k for k, p in trained.items() if p.grad is not None and p.grad.abs().max() == 0}
    assert still <= blind
    assert {k for k, p in trained.items() if torch.equal(p, before[k])} <= blind


@pytest.mark.parametrize("name", ["cnn", *FUSED, "centralnet", "me_fusion-score", "visualbert"])
def test_several_labels_at_once(name: str) -> None:
    model = model_of(name, multilabel=True)
    step(model, multilabel=True)
    assert logits_of(model, batch_of()).isfinite().all()


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("cnn")])
def test_padding_does_not_change_logits(name: str) -> None:
    model, batch = model_of(name), batch_of()
    assert batch.tokens is not None and batch.is_word is not None
    more = 2 if name == "vilt" else 3  # 8 are the most it was built for
    tokens = nn.functional.pad(batch.tokens, (0, more), value=77)
    is_word = nn.functional.pad(batch.is_word, (0, more))
    padded = replace(batch, tokens=tokens, is_word=is_word)
    expected = logits_of(model, batch)
    torch.testing.assert_close(logits_of(model, padded), expected, atol=1e-5, rtol=0)
    # And the words themselves do.
    other = replace(batch, tokens=batch.tokens.flip(0), is_word=batch.is_word.flip(0))
    assert not torch.allclose(logits_of(model, other), expected, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("bert")])
def test_images_change_logits(name: str) -> None:
    model, batch = model_of(name), batch_of()
    assert batch.images is not None
    other = replace(batch, images=batch.images.flip(0))
    assert not torch.allclose(logits_of(model, other), logits_of(model, batch), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_added_parameters_are_what_the_backbones_lack(name: str) -> None:
    model = model_of(name)
    added = [id(p) for p in model.added_parameters()]
    assert len(set(added)) == len(added)  # each once
    pretrained = [id(p) for m in model.backbones() for p in model.pretrained_parameters(m)]
    assert not set(added) & set(pretrained)
    assert set(added) | set(pretrained) == {id(p) for p in model.trained_parameters()}
    # What a file had is the same whatever the seed; what is added is drawn from it.
    other = dict(model_of(name, seed=7).named_parameters())
    values = {id(p): other[k] for k, p in model.named_parameters()}
    parameters = {id(p): p for p in model.parameters()}
    assert all(torch.equal(parameters[key], values[key]) for key in pretrained)
    random = {key for key in added if not _is_constant(parameters[key])}
    assert random and not any(torch.equal(parameters[key], values[key]) for key in random)


def _is_constant(parameter: nn.Parameter) -> bool:
    """Ones and zeros, such as a norm starts from."""
    return bool((parameter == parameter.flatten()[0]).all())


@pytest.mark.parametrize("name", ALL)
def test_backbones_are_trained_and_their_fingerprint_is_that_of_their_weights(name: str) -> None:
    spec, model = spec_of(name).model, model_of(name)
    backbones = model.backbones()
    assert tuple(backbones) == spec.trains
    again = model_of(name, seed=7).backbones()
    for modality, backbone in backbones.items():
        assert drawn_in(backbone) <= set(backbone.state_dict())
        assert fingerprint(backbone) == fingerprint(again[modality])
    before = {modality: fingerprint(backbone) for modality, backbone in backbones.items()}
    step(model)
    assert all(fingerprint(backbones[m]) != before[m] for m in before)


@pytest.mark.parametrize("name", FROZEN)
def test_the_frozen_encoders_are_unchanged_by_training(name: str) -> None:
    model = model_of(name)
    externals = model.externals()
    assert tuple(externals) == spec_of(name).model.frozen
    before = {kind: snapshot(each) for kind, each in externals.items()}
    trained = {id(p) for p in model.trained_parameters()}
    step(model)
    step(model)
    for kind, external in externals.items():
        assert same(snapshot(external), before[kind])  # BatchNorm's statistics included
        assert not any(module.training for module in external.modules())
        assert all(p.grad is None for p in external.parameters())
        assert not trained & {id(p) for p in external.parameters()}
    assert model.training and all(net.training for net in model.backbones().values())
    if "maps" in externals:  # there were statistics to move
        assert any("running_mean" in key for key in before["maps"])


@pytest.mark.parametrize("name", ALL)
def test_trained_state_round_trips(name: str) -> None:
    model = model_of(name)
    step(model)
    state = {k: v.clone() for k, v in model.trained_state().items()}
    assert not [key for key in state if is_external(key)]
    for stored in ((), ("words", "maps")):
        other = model_of(name, seed=9, stored=stored)
        other.load_trained_state(state)
        assert same(other.trained_state(), state)
    reloaded = model_of(name, seed=9)
    reloaded.load_trained_state(state)
    assert torch.equal(logits_of(reloaded, batch_of()), logits_of(model, batch_of()))


@pytest.mark.parametrize("name", ["cnn", "me_bert", "me_fusion-gmu"])
def test_a_state_that_does_not_fit_is_refused(name: str) -> None:
    state = model_of(name).trained_state()
    first, *_ = (k for k, _ in model_of(name).named_parameters() if k in state)
    without = {k: v for k, v in state.items() if k != first}
    with pytest.raises(RuntimeError, match=rf"missing=\['{first}'\]"):
        model_of(name).load_trained_state(without)
    with pytest.raises(RuntimeError, match=r"unexpected=\['more'\]"):
        model_of(name).load_trained_state({**state, "more": torch.zeros(1)})


@pytest.mark.parametrize("name", FROZEN)
def test_stored_features_give_the_logits_of_the_encoders_themselves(name: str) -> None:
    batch = batch_of()
    assert batch.tokens is not None and batch.is_word is not None and batch.images is not None
    model = model_of(name)
    expected, externals = logits_of(model, batch), model.externals()
    stored = Batch(tokens=batch.tokens, is_word=batch.is_word)
    if spec_of(name).model.reads_images:
        stored.images = batch.images
    if "words" in externals:
        stored.words = externals["words"].words(batch.tokens, batch.is_word)
    if "maps" in externals:
        stored.maps = externals["maps"].maps(batch.images)
    assert torch.equal(logits_of(model_of(name, stored=tuple(externals)), stored), expected)


@pytest.mark.parametrize("name", FROZEN)
def test_the_frozen_encoders_do_not_move_the_draw_of_the_rest(name: str) -> None:
    # Search and confirm may store features or not; the trial is the same.
    with_them = model_of(name).trained_state()
    assert same(with_them, model_of(name, stored=("words", "maps")).trained_state())


@pytest.mark.parametrize("name", ["cnn", "fusion-concat", "fusion-score", *EARLY])
def test_dropout_is_that_of_the_spec(name: str) -> None:
    spec = spec_of(name)
    model: Classifier = build(replace(spec, model=replace(spec.model, head_dropout=0.25)), CLASSES)
    assert 0.25 in {m.p for m in model.modules() if isinstance(m, nn.Dropout)}


def test_map_changes_what_is_there() -> None:
    batch = Batch(tokens=torch.ones(1), labels=torch.ones(2))
    doubled = batch.map(lambda tensor: tensor * 2)
    assert doubled.tokens is not None and doubled.labels is not None
    assert doubled.tokens.tolist() == [2] and doubled.labels.tolist() == [2, 2]
