"""Late fusion of two branches against the unimodal models with the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mi2p.models import Batch, Classifier, build
from mi2p.models.expanded import Unimodal
from mi2p.models.fusion import FEATURE_FUSIONS
from mi2p.models.late_fusion import LateFusion
from mi2p.spec import DataSpec, FusionSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec

CLASSES, BATCH, WORDS = 3, 4, 6
LENGTHS = (6, 3, 4, 2)
SKETCHED = ("cbp", "cbgp")
KINDS = ("score", *FEATURE_FUSIONS)
JOINT = [(kind, loss) for kind in KINDS for loss in ("fused", "fused+branches")]


def spec_of(
    kind: str, *, expanded: bool = False, init: str = "default", seed: int = 0, **options: Any
) -> TrialSpec:
    if kind in SKETCHED:
        options["sketch"] = 32
    units = UnitSpec(attach=(2, 4), heads=4, d_k=8, init=init)  # type: ignore[arg-type]
    textual_units = UnitSpec(attach=(1, 3), heads=4, d_k=8, init=init)  # type: ignore[arg-type]
    model = ModelSpec(
        name="me_fusion" if expanded else "fusion",
        visual="tiny_densenet",
        textual="tiny_bert",
        head_dropout=0.0,  # the branches' own dropout stays
        units=units if expanded else None,
        textual_units=textual_units if expanded else None,
        fusion=FusionSpec(kind=kind, **options),  # type: ignore[arg-type]
    )
    return trial_of(model, seed)


def trial_of(model: ModelSpec, seed: int = 0) -> TrialSpec:
    data = DataSpec(name="none", image_size=64, max_tokens=8)
    return TrialSpec(data=data, model=model, train=TrainSpec(lr=1e-3, epochs=1), seed=seed)


def fusion_of(kind: str, *, multilabel: bool = False, **options: Any) -> LateFusion:
    model = build(spec_of(kind, **options), CLASSES, multilabel=multilabel)
    assert isinstance(model, LateFusion)
    return model


def alone(model: LateFusion, modality: str) -> Unimodal:
    """The unimodal model with the weights of one branch and its classifier."""
    visual = modality == "visual"
    spec = (
        ModelSpec(name="cnn", visual="tiny_densenet", head_dropout=0.0)
        if visual
        else ModelSpec(name="bert", textual="tiny_bert", head_dropout=0.0)
    )
    unimodal = build(trial_of(spec, seed=5), CLASSES)
    assert isinstance(unimodal, Unimodal)
    branch = model.visual if visual else model.textual
    unimodal.branch.load_state_dict(branch.state_dict())
    unimodal.head.load_state_dict(model.heads[0 if visual else 1].state_dict())
    return unimodal


def batch_of() -> Batch:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(WORDS) < torch.tensor(LENGTHS)[:, None]
    tokens = torch.randint(4, 512, is_word.shape, generator=generator) * is_word
    images = torch.randint(256, (BATCH, 3, 64, 64), dtype=torch.uint8, generator=generator)
    return Batch(images=images, tokens=tokens, is_word=is_word, labels=torch.tensor([0, 1, 2, 1]))


def loss_of(model: Classifier, batch: Batch) -> Tensor:
    """The training loss: the sum over what is supervised."""
    assert batch.labels is not None
    logits = model.supervised(batch)
    total = torch.stack([nn.functional.cross_entropy(x, batch.labels) for x in logits]).sum()
    assert isinstance(total, Tensor)
    return total


def gradients_of(model: Classifier) -> dict[str, Tensor | None]:
    """Those of one step in training, dropout drawn from one seed."""
    model.train()
    model.zero_grad()
    torch.manual_seed(7)
    loss_of(model, batch_of()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("multilabel", [False, True])
@torch.no_grad()
def test_fused_scores_are_the_mean_of_the_unimodal_models(multilabel: bool) -> None:
    model, batch = fusion_of("score", multilabel=multilabel).eval(), batch_of()
    logits = [alone(model, m).eval()(batch).double() for m in ("visual", "textual")]
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    probabilities = [x.sigmoid() if multilabel else x.softmax(1) for x in logits]
    p = sum(probabilities) / torch.tensor(2)
    expected = (p / (1 - p)).log() if multilabel else p.log()
    torch.testing.assert_close(model(batch).double(), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_space_of_scores_is_that_of_the_spec() -> None:
    model, batch = fusion_of("score", score_space="logits").eval(), batch_of()
    logits = [alone(model, m).eval()(batch) for m in ("visual", "textual")]
    torch.testing.assert_close(model(batch), (logits[0] + logits[1]) / 2)


@pytest.mark.parametrize("kind", FEATURE_FUSIONS)
@torch.no_grad()
def test_fused_features_are_those_of_the_branches(kind: str) -> None:
    model, batch = fusion_of(kind).eval(), batch_of()
    assert batch.images is not None and batch.tokens is not None and batch.is_word is not None
    # Not through LateFusion: each branch by itself.
    v = model.visual.backbone.pool(model.visual.backbone(batch.images))
    words = model.textual.backbone(batch.tokens, batch.is_word)
    t = model.textual.backbone.pool(words, batch.is_word)
    assert model.fusion is not None and model.head is not None
    joint = model.fusion(v, t)
    weight, bias = model.head.linear.weight, model.head.linear.bias
    logits = model(batch)
    assert logits.shape == (BATCH, CLASSES)
    torch.testing.assert_close(logits, joint @ weight.T + bias, atol=1e-5, rtol=0)
    assert logits.std(0).min() > 0  # they depend on the example


@pytest.mark.parametrize(("kind", "loss"), [*JOINT, ("score", "branches")])
@torch.no_grad()
def test_what_is_supervised_is_what_joint_loss_says(kind: str, loss: str) -> None:
    model, batch = fusion_of(kind, joint_loss=loss).eval(), batch_of()
    fused = [model(batch)] if loss != "branches" else []
    branches = []
    if loss != "fused":
        branches = [alone(model, m).eval()(batch) for m in ("visual", "textual")]
    found, expected = model.supervised(batch), [*fused, *branches]
    assert len(found) == len(expected) == {"fused": 1, "fused+branches": 3, "branches": 2}[loss]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", FEATURE_FUSIONS)
def test_the_classifiers_of_branches_are_drawn_last(kind: str) -> None:
    # With and without them a seed gives the same fusion, and the same classifier of it.
    with_them = fusion_of(kind, joint_loss="fused+branches").state_dict()
    without = fusion_of(kind).state_dict()
    assert all(torch.equal(with_them[name], value) for name, value in without.items())
    assert {name.partition(".")[0] for name in with_them.keys() - without.keys()} == {"heads"}


@pytest.mark.parametrize("kind", FEATURE_FUSIONS)
def test_dropout_is_before_the_classifier_and_in_training_alone(kind: str) -> None:
    spec = spec_of(kind)
    spec = replace(spec, model=replace(spec.model, head_dropout=0.75))
    model, batch = build(spec, CLASSES), batch_of()
    joint, read = list[Tensor](), list[Tensor]()
    model.get_submodule("fusion").register_forward_hook(lambda *call: joint.append(call[2]))
    linear = model.get_submodule("head.linear")
    linear.register_forward_pre_hook(lambda _, given: read.extend(given))
    model.train()(batch)
    model.eval()(batch)
    kept = read[0] != 0
    assert kept.float().mean() < 0.4
    torch.testing.assert_close(read[0][kept], 4 * joint[0][kept])  # dropout keeps the mean
    assert torch.equal(read[1], joint[1])


@pytest.mark.parametrize("modality", ["visual", "textual"])
def test_branches_that_are_supervised_alone_learn_as_alone(modality: str) -> None:
    model = fusion_of("score", joint_loss="branches")
    unimodal = alone(model, modality)  # before a step moves BatchNorm's statistics
    jointly, by_itself = gradients_of(model), gradients_of(unimodal)
    head = f"heads.{0 if modality == 'visual' else 1}"
    compared = 0
    for name, gradient in by_itself.items():
        prefix, _, rest = name.partition(".")
        found = jointly[f"{modality if prefix == 'branch' else head}.{rest}"]
        assert found is not None and gradient is not None
        assert torch.equal(found, gradient), name
        compared += 1
    assert compared > 20
    # A fused score makes each depend on the other.
    fused = gradients_of(fusion_of("score", joint_loss="fused"))
    one, other = fused[f"{head}.linear.weight"], jointly[f"{head}.linear.weight"]
    assert one is not None and other is not None and not torch.allclose(one, other, atol=1e-3)


def test_the_losses_of_fused_and_branches_add_up() -> None:
    parts = {
        loss: gradients_of(fusion_of("score", joint_loss=loss))
        for loss in ("fused", "branches", "fused+branches")
    }
    for name, whole in parts["fused+branches"].items():
        fused, branches = parts["fused"][name], parts["branches"][name]
        assert whole is not None and fused is not None and branches is not None
        torch.testing.assert_close(whole, fused + branches, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize(("kind", "loss"), [*JOINT, ("score", "branches")])
def test_no_parameter_is_unused(kind: str, loss: str, expanded: bool) -> None:
    model = fusion_of(kind, joint_loss=loss, expanded=expanded)
    gradients = gradients_of(model)
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    # A bias of keys moves all scores of a query alike, which a softmax does not see.
    still = {name for name, g in gradients.items() if g is not None and g.abs().max() == 0}
    assert {name for name in still if not name.endswith("key.bias")} == set()
    # And nothing is there that is not read.
    has_heads = kind == "score" or loss != "fused"
    assert len(model.heads) == (2 if has_heads else 0)
    assert (model.fusion is None) == (model.head is None) == (kind == "score")
    assert {id(p) for p in model.trained_parameters()} == {
        id(p) for name, p in model.named_parameters() if "external" not in name
    }


@pytest.mark.parametrize("init", ["zero_value", "gate"])
@pytest.mark.parametrize("kind", KINDS)
def test_neutral_units_leave_the_fusion_as_it_was(kind: str, init: str) -> None:
    plain, expanded = fusion_of(kind), fusion_of(kind, expanded=True, init=init)
    assert sum(len(units) for units in expanded.units().values()) == 4
    state = expanded.state_dict()
    assert all(torch.equal(state[name], value) for name, value in plain.state_dict().items())
    batch = batch_of()
    for mode in (False, True):
        found = []
        for model in (plain, expanded):
            torch.manual_seed(3)  # the branches' dropout
            found.append(model.train(mode)(batch))
        assert torch.equal(*found)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_units_change_the_fusion(kind: str) -> None:
    plain, expanded = fusion_of(kind).eval(), fusion_of(kind, expanded=True).eval()
    assert not torch.allclose(plain(batch_of()), expanded(batch_of()), atol=1e-4)


def test_an_expanded_fusion_says_what_it_is_made_of() -> None:
    model = fusion_of("concat", expanded=True)
    assert {m: list(units) for m, units in model.units().items()} == {
        "visual": ["2", "4"],
        "textual": ["1", "3"],
    }
    externals = model.externals()
    assert set(externals) == {"words", "maps"}
    assert externals["words"] is model.visual.external
    assert externals["maps"] is model.textual.external
    trained = {id(p) for backbone in model.backbones().values() for p in backbone.parameters()}
    frozen = {id(p) for external in externals.values() for p in external.parameters()}
    assert trained and frozen and not trained & frozen  # each encoder is a copy of its own
    added = {id(p) for p in model.added_parameters()}
    assert model.head is not None
    expected = {id(p) for units in model.units().values() for p in units.parameters()}
    assert added == expected | {id(p) for p in model.head.parameters()}
    assert set(fusion_of("concat").externals()) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_trained_state_round_trips_without_the_encoders(kind: str) -> None:
    model, batch = fusion_of(kind, expanded=True), batch_of()
    optimiser = torch.optim.SGD(model.trained_parameters(), lr=0.1)
    gradients_of(model)
    optimiser.step()
    state = {name: value.clone() for name, value in model.trained_state().items()}
    assert not [name for name in state if "external" in name]
    other = fusion_of(kind, expanded=True, seed=9)
    other.load_trained_state(state)
    with torch.no_grad():
        assert torch.equal(other.eval()(batch), model.eval()(batch))


@torch.no_grad()
def test_stored_features_give_the_logits_of_the_encoders_themselves() -> None:
    model, batch = fusion_of("cross_attention", expanded=True).eval(), batch_of()
    assert batch.tokens is not None and batch.is_word is not None and batch.images is not None
    externals = model.externals()
    batch.words = externals["words"].words(batch.tokens, batch.is_word)
    batch.maps = externals["maps"].maps(batch.images)
    spec = spec_of("cross_attention", expanded=True)
    stored = build(spec, CLASSES, stored=("words", "maps")).eval()
    assert stored.externals() == {}
    assert torch.equal(stored(batch), model(batch_of()))
