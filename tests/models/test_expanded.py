"""The contract that every model in MODELS holds, and what the frozen encoder may not do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mi2p.models import MODELS, build
from mi2p.models.expanded import EXTERNAL, Batch, Classifier, TextualClassifier, VisualClassifier
from mi2p.models.weights import load_textual, load_visual
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec

CLASSES, BATCH, WORDS = 3, 4, 6
LENGTHS = (6, 3, 4, 2)
BACKBONES = {
    "densenet-bert": ("tiny_densenet", "tiny_bert"),
    "resnet-xlnet": ("tiny_resnet", "tiny_xlnet"),
    "clip": ("tiny_clip_resnet", "tiny_clip_text"),
}
EXPANDED = [f"{model}/{pair}" for model in ("me_cnn", "me_bert") for pair in BACKBONES]
UNIMODAL = {name: name.removeprefix("me_") for name in EXPANDED}
ALL = [*EXPANDED, *UNIMODAL.values()]


def spec_of(name: str, *, seed: int = 0, **units: Any) -> TrialSpec:
    kind, _, pair = name.partition("/")
    visual, textual = BACKBONES[pair or "densenet-bert"]
    expanded = kind.startswith("me_")
    attach = (1, 2, 3, 4) if kind == "me_cnn" else (1, 2, 3)
    model = ModelSpec(
        name=kind,  # type: ignore[arg-type]
        visual=visual if expanded or kind == "cnn" else None,
        textual=textual if expanded or kind == "bert" else None,
        units=UnitSpec(**{"attach": attach, "heads": 4, "d_k": 8, **units}) if expanded else None,
    )
    return TrialSpec(
        data=DataSpec(name="none", image_size=64, max_tokens=8),
        model=model,
        train=TrainSpec(lr=1e-3, epochs=1),
        seed=seed,
    )


def model_of(name: str, *, external: bool = True, **options: Any) -> Classifier:
    return build(spec_of(name, **options), CLASSES, external=external)


def batch_of() -> Batch:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(WORDS) < torch.tensor(LENGTHS)[:, None]
    tokens = torch.randint(4, 512, is_word.shape, generator=generator) * is_word
    images = torch.randint(256, (BATCH, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.tensor([0, 1, 2, 1])
    return Batch(images=images, tokens=tokens, is_word=is_word, labels=labels)


def step(model: Classifier) -> None:
    """One step of training, as `mi2p.train` makes it."""
    batch = batch_of()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    assert batch.labels is not None
    nn.functional.cross_entropy(model(batch), batch.labels).backward()
    optimiser.step()


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@torch.no_grad()
def logits_of(model: Classifier, batch: Batch) -> Tensor:
    found: Tensor = model.eval()(batch)
    return found


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
    # A bias of keys moves all scores of a query alike, which a softmax does not see: in exact
    # arithmetic it has no gradient. These are BERT's own, and the shared one of a textual unit.
    blind = {
        k for k in trained if k.endswith(("attention.self.key.bias", "self_attn.k_proj.bias"))
    }
    blind |= {k for k in trained if name.startswith("me_bert") and k.endswith("key.bias")}
    still = {k for k, p in trained.items() if p.grad is not None and p.grad.abs().max() == 0}
    assert still <= blind
    assert {k for k, p in trained.items() if torch.equal(p, before[k])} <= blind


@pytest.mark.parametrize("name", EXPANDED)
@pytest.mark.parametrize("init", ["zero_value", "gate"])
def test_a_neutral_start_equals_the_unimodal_model_and_can_leave_it(name: str, init: str) -> None:
    model = model_of(name, init=init)
    expected = logits_of(model_of(UNIMODAL[name]), batch_of())
    assert torch.equal(logits_of(model, batch_of()), expected)
    opens = "value.weight" if init == "zero_value" else "gate"
    step(model)
    gradients = {k: p.grad for k, p in model.units.named_parameters() if k.endswith(opens)}
    assert len(gradients) == len(model.units)
    assert all(g is not None and g.abs().max() > 0 for g in gradients.values())


@pytest.mark.parametrize("name", EXPANDED)
def test_units_change_the_logits(name: str) -> None:
    expected = logits_of(model_of(UNIMODAL[name]), batch_of())
    assert not torch.allclose(logits_of(model_of(name), batch_of()), expected, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("cnn")])
def test_padding_does_not_change_logits(name: str) -> None:
    model, batch = model_of(name), batch_of()
    assert batch.tokens is not None and batch.is_word is not None
    tokens = nn.functional.pad(batch.tokens, (0, 3), value=77)
    is_word = nn.functional.pad(batch.is_word, (0, 3))
    padded = replace(batch, tokens=tokens, is_word=is_word)
    expected = logits_of(model, batch)
    torch.testing.assert_close(logits_of(model, padded), expected, atol=1e-5, rtol=0)
    # And the words themselves do.
    other = replace(batch, tokens=batch.tokens.flip(0), is_word=batch.is_word.flip(0))
    assert not torch.allclose(logits_of(model, other), expected, atol=1e-4)


@pytest.mark.parametrize("name", EXPANDED)
def test_units_at_no_tap_are_the_unimodal_model(name: str) -> None:
    # Bit for bit, in training as in evaluation: the expansion itself adds nothing.
    bare, model = model_of(UNIMODAL[name]), model_of(name)
    model.units.clear()
    assert torch.equal(logits_of(model, batch_of()), logits_of(bare, batch_of()))
    for each in (bare, model):
        torch.manual_seed(5)  # dropout
        step(each)
    assert same(model.trained_state(), bare.trained_state())


@pytest.mark.parametrize("name", EXPANDED)
def test_a_seed_draws_the_same_unimodal_part_with_and_without_units(name: str) -> None:
    for seed in (0, 3):
        bare = model_of(UNIMODAL[name], seed=seed).state_dict()
        for external in (True, False):
            state = model_of(name, seed=seed, external=external).state_dict()
            assert same({k: state[k] for k in bare}, dict(bare))
    one, other = (model_of(name, seed=seed).state_dict() for seed in (0, 3))
    # Heads differ by seed; backbones stand for pretrained ones and do not.
    assert not torch.equal(one["head.weight"], other["head.weight"])
    backbone = [k for k in one if k.startswith("backbone.")]
    assert same({k: one[k] for k in backbone}, {k: other[k] for k in backbone})


@pytest.mark.parametrize("name", EXPANDED)
def test_the_external_encoder_does_not_move_the_draw_of_units(name: str) -> None:
    # Search and confirm may store features or not; the trial is the same.
    with_it = model_of(name).trained_state()
    assert same(with_it, model_of(name, external=False).trained_state())


@pytest.mark.parametrize("name", ALL)
def test_added_parameters_are_what_the_backbones_lack(name: str) -> None:
    model = model_of(name)
    added = {id(p) for p in model.added_parameters()}
    named = {k for k, p in model.named_parameters() if id(p) in added}
    everything = {k for k, _ in model.named_parameters()}
    pretrained = {k for k in everything if k.startswith(("backbone.", EXTERNAL))}
    assert named == everything - pretrained
    assert {"head.weight", "head.bias"} <= named
    assert len(list(model.added_parameters())) == len(added)  # each once
    visual, textual = BACKBONES[name.partition("/")[2]]
    library = load_visual(visual, None) if "cnn" in name else load_textual(textual, None)
    assert {k.removeprefix("backbone.") for k in pretrained if not k.startswith(EXTERNAL)} == {
        k for k, _ in library.named_parameters()
    }


@pytest.mark.parametrize("name", EXPANDED)
def test_units_sit_where_the_spec_says(name: str) -> None:
    model = model_of(name, attach=(1, 3))
    assert list(model.units) == ["1", "3"]
    batch = batch_of()
    called: list[str] = []
    for tap, unit in model.units.items():
        unit.register_forward_hook(lambda *_, tap=tap: called.append(tap))
    logits_of(model, batch)
    assert called == ["1", "3"]


@pytest.mark.parametrize("name", EXPANDED)
def test_the_frozen_encoder_is_unchanged_by_training(name: str) -> None:
    model = model_of(name)
    assert model.external is not None
    before = snapshot(model.external)
    backbone = snapshot(model.get_submodule("backbone"))
    step(model)
    step(model)
    assert same(snapshot(model.external), before)  # BatchNorm's statistics included
    assert not any(module.training for module in model.external.modules())
    assert all(p.grad is None for p in model.external.parameters())
    assert model.training and model.get_submodule("backbone").training
    assert not same(snapshot(model.get_submodule("backbone")), backbone)
    if name.startswith("me_bert"):
        assert any("running_mean" in key for key in before)  # there were statistics to move
    model.eval()
    assert not model.training


@pytest.mark.parametrize("name", EXPANDED)
def test_the_frozen_encoder_is_not_trained_by_a_second_name(name: str) -> None:
    # The encoder of the other modality is another module than the trained backbone.
    model = model_of(name)
    assert model.external is not None
    trained = {id(p) for p in model.get_submodule("backbone").parameters()}
    assert not trained & {id(p) for p in model.external.parameters()}


@pytest.mark.parametrize("name", ALL)
def test_trained_state_round_trips(name: str) -> None:
    model = model_of(name)
    step(model)
    state = {k: v.clone() for k, v in model.trained_state().items()}
    assert not [key for key in state if key.startswith(EXTERNAL)]
    for external in (True, False):
        other = model_of(name, seed=9, external=external)
        other.load_trained_state(state)
        assert same(other.trained_state(), state)
    reloaded = model_of(name, seed=9)
    reloaded.load_trained_state(state)
    assert torch.equal(logits_of(reloaded, batch_of()), logits_of(model, batch_of()))


@pytest.mark.parametrize("name", ALL)
def test_a_state_that_does_not_fit_is_refused(name: str) -> None:
    state = model_of(name).trained_state()
    without = {k: v for k, v in state.items() if k != "head.bias"}
    with pytest.raises(RuntimeError, match=r"missing=\['head.bias'\]"):
        model_of(name).load_trained_state(without)
    with pytest.raises(RuntimeError, match=r"unexpected=\['more'\]"):
        model_of(name).load_trained_state({**state, "more": torch.zeros(1)})


@pytest.mark.parametrize("name", EXPANDED)
def test_stored_features_give_the_logits_of_the_encoder_itself(name: str) -> None:
    batch = batch_of()
    assert batch.tokens is not None and batch.is_word is not None and batch.images is not None
    model = model_of(name)
    assert model.external is not None
    expected = logits_of(model, batch)
    if name.startswith("me_cnn"):
        words = model.external.words(batch.tokens, batch.is_word)
        stored = Batch(images=batch.images, is_word=batch.is_word, words=words)
    else:
        stored = Batch(
            tokens=batch.tokens, is_word=batch.is_word, maps=model.external.maps(batch.images)
        )
    assert torch.equal(logits_of(model_of(name, external=False), stored), expected)


@pytest.mark.parametrize(("name", "feature"), [("me_cnn", "T'"), ("me_bert", "Z'")])
def test_neither_features_nor_an_encoder_is_our_own_mistake(name: str, feature: str) -> None:
    with pytest.raises(AssertionError, match=f"neither {feature} in the batch nor an external"):
        logits_of(model_of(name, external=False), batch_of())


def test_dropout_is_that_of_the_spec() -> None:
    spec = spec_of("cnn")
    model = build(replace(spec, model=replace(spec.model, head_dropout=0.25)), CLASSES)
    assert model.dropout.p == 0.25


def test_the_builders_make_the_trained_modality() -> None:
    for name in ALL:
        wanted = VisualClassifier if spec_of(name).model.reads == "visual" else TextualClassifier
        assert isinstance(model_of(name), wanted)


def test_map_changes_what_is_there() -> None:
    batch = Batch(tokens=torch.ones(1), labels=torch.ones(2))
    doubled = batch.map(lambda tensor: tensor * 2)
    assert doubled.tokens is not None and doubled.labels is not None
    assert doubled.tokens.tolist() == [2] and doubled.labels.tolist() == [2, 2]
    assert doubled.images is doubled.is_word is doubled.words is doubled.maps is None
