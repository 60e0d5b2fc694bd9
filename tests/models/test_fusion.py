"""Averaged scores against plain probabilities, cross-attention against loops; what all share."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_type_hints

import pytest
import torch
from torch import Tensor, nn

from mi2p.model_spec import FusionSpec
from mi2p.models.fusion import FEATURE_FUSIONS, average_scores

BATCH, VISUAL, TEXTUAL, CLASSES = 5, 7, 6, 3  # classes are of scores
VARIANTS: dict[str, dict[str, Any]] = {
    "concat": {"kind": "concat"},
    "cross_attention": {"kind": "cross_attention"},
    "cross_attention/own": {"kind": "cross_attention", "gates": "own"},
    "gmu": {"kind": "gmu"},
    "cbp": {"kind": "cbp", "sketch": 33},
    "cbgp": {"kind": "cbgp", "sketch": 33},
    "cbgp/visual": {"kind": "cbgp", "sketch": 33, "gate_at": "visual"},
}


def fusion_of(variant: str, *, seed: int = 0) -> nn.Module:
    spec = FusionSpec(**VARIANTS[variant])
    torch.manual_seed(seed)
    return FEATURE_FUSIONS[spec.kind](VISUAL, TEXTUAL, spec)


def features_of(batch: int = BATCH) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(batch, VISUAL, generator=generator).relu()  # as a CNN's are
    return v, torch.randn(batch, TEXTUAL, generator=generator).tanh()


def logits_of(count: int, *, scale: float = 3.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [scale * torch.randn(BATCH, CLASSES, generator=generator) for _ in range(count)]


# Scores


@pytest.mark.parametrize("count", [1, 2, 3])
def test_scores_are_the_mean_of_softmaxes(count: int) -> None:
    branches = logits_of(count)
    fused = average_scores(*branches, space="probabilities", multilabel=False)
    mean = sum(branch.double().exp() / branch.double().exp().sum(1, True) for branch in branches)
    assert isinstance(mean, Tensor)
    # Not only up to a constant: these are log-probabilities.
    torch.testing.assert_close(fused.double(), (mean / count).log(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(fused.softmax(1).double(), mean / count, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_scores_are_the_mean_of_sigmoids_where_several_labels_may_hold(count: int) -> None:
    branches = logits_of(count)
    fused = average_scores(*branches, space="probabilities", multilabel=True)
    total = sum(1 / (1 + (-branch.double()).exp()) for branch in branches)
    assert isinstance(total, Tensor)
    p = total / count
    torch.testing.assert_close(fused.double(), (p / (1 - p)).log(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_in_the_space_of_logits_are_the_mean_of_logits(multilabel: bool) -> None:
    one, other = logits_of(2)
    fused = average_scores(one, other, space="logits", multilabel=multilabel)
    torch.testing.assert_close(fused, (one + other) / 2)
    # Which is another function than the default.
    by_probability = average_scores(one, other, space="probabilities", multilabel=multilabel)
    assert not torch.allclose(fused.softmax(1), by_probability.softmax(1), atol=1e-2)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, -1)])
def test_scores_of_extreme_logits_and_their_gradients_are_finite(
    multilabel: bool, signs: tuple[int, int]
) -> None:
    pattern = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4], [1e4, 1e4, 1e4]])
    branches = [(sign * pattern).requires_grad_() for sign in signs]
    fused = average_scores(*branches, space="probabilities", multilabel=multilabel)
    assert fused.isfinite().all()
    if multilabel:
        loss = nn.functional.binary_cross_entropy_with_logits(fused, torch.eye(3))
    else:
        loss = nn.functional.cross_entropy(fused, torch.arange(3))
    loss.backward()
    assert loss.isfinite()
    gradients = [branch.grad for branch in branches]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_scores_that_disagree_to_the_extreme_are_one_half_each() -> None:
    sure = torch.tensor([[1e4, -1e4]])
    fused = average_scores(sure, -sure, space="probabilities", multilabel=False)
    torch.testing.assert_close(fused, torch.full((1, 2), math.log(0.5)))
    fused = average_scores(sure, -sure, space="probabilities", multilabel=True)
    assert fused.tolist() == [[0, 0]]


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_gradient_of_scores_is_that_of_plain_arithmetic(multilabel: bool) -> None:
    one, other = (x.double().requires_grad_() for x in logits_of(2))
    p = (one.sigmoid() + other.sigmoid() if multilabel else one.softmax(1) + other.softmax(1)) / 2
    weights = torch.randn(BATCH, CLASSES, generator=torch.Generator().manual_seed(3)).double()
    plain = (p / (1 - p)).log() if multilabel else p.log()
    expected = torch.autograd.grad((plain * weights).sum(), (one, other))
    fused = average_scores(one, other, space="probabilities", multilabel=multilabel)
    found = torch.autograd.grad((fused * weights).sum(), (one, other))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("space", ["probabilities", "logits"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_are_float32_under_autocast(
    space: Literal["probabilities", "logits"], multilabel: bool
) -> None:
    branches = [branch.bfloat16() for branch in logits_of(2)]
    expected = average_scores(*(b.float() for b in branches), space=space, multilabel=multilabel)
    with torch.autocast("cpu", torch.bfloat16):
        fused = average_scores(*branches, space=space, multilabel=multilabel)
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused, expected, atol=0, rtol=0)


# Features


def test_every_kind_of_the_spec_has_a_fusion_and_is_tested_here() -> None:
    kinds = set(get_args(get_type_hints(FusionSpec)["kind"]))
    assert kinds - {"score"} == set(FEATURE_FUSIONS)
    assert {spec["kind"] for spec in VARIANTS.values()} == set(FEATURE_FUSIONS)


def test_concat_is_one_feature_behind_the_other() -> None:
    v, t = features_of()
    wanted = [one + other for one, other in zip(v.tolist(), t.tolist(), strict=True)]
    assert fusion_of("concat")(v, t).tolist() == wanted


def loops(
    state: dict[str, Tensor], v: Tensor, t: Tensor, *, gates: str, training: bool
) -> list[list[float]]:
    """Cross-attention example by example and unit by unit, in float64."""
    plain = {name: value.double().tolist() for name, value in state.items()}

    def linear(name: str, rows: list[list[float]]) -> list[list[float]]:
        weight, bias = plain[f"{name}.weight"], plain.get(f"{name}.bias")
        return [
            [
                sum(w * x for w, x in zip(line, row, strict=True)) + (bias[i] if bias else 0)
                for i, line in enumerate(weight)
            ]
            for row in rows
        ]

    def batch_norm_relu(name: str, rows: list[list[float]]) -> list[list[float]]:
        columns = []
        for i, column in enumerate(zip(*rows, strict=True)):
            if training:
                mean = sum(column) / len(column)
                var = sum((x - mean) ** 2 for x in column) / len(column)
            else:
                mean = plain[f"{name}.running_mean"][i]
                var = plain[f"{name}.running_var"][i]
            scale, shift = plain[f"{name}.weight"][i], plain[f"{name}.bias"][i]
            columns.append(
                [max(0.0, scale * (x - mean) / math.sqrt(var + 1e-5) + shift) for x in column]
            )
        return [list(row) for row in zip(*columns, strict=True)]

    def sigmoid(rows: list[list[float]]) -> list[list[float]]:
        return [[1 / (1 + math.exp(-x)) for x in row] for row in rows]

    vs, ts = v.double().tolist(), t.double().tolist()
    v_tilde = batch_norm_relu("visual.1", linear("visual.0", vs))
    t_tilde = batch_norm_relu("textual.1", linear("textual.0", ts))
    from_v, from_t = sigmoid(linear("visual_gate", vs)), sigmoid(linear("textual_gate", ts))
    on_v, on_t = (from_t, from_v) if gates == "cross" else (from_v, from_t)
    joint = [
        [g * x for g, x in zip(on_v[b], v_tilde[b], strict=True)]
        + [g * x for g, x in zip(on_t[b], t_tilde[b], strict=True)]
        for b in range(len(vs))
    ]
    return batch_norm_relu("connected.1", linear("connected.0", joint))


@pytest.mark.parametrize("gates", ["cross", "own"])
@pytest.mark.parametrize("training", [True, False])
def test_cross_attention_is_what_its_equations_say(gates: str, training: bool) -> None:
    fusion = fusion_of("cross_attention" if gates == "cross" else "cross_attention/own")
    for module in fusion.modules():  # as after training: nothing is at its first value
        if isinstance(module, nn.BatchNorm1d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                value = getattr(module, name).detach()
                value += 0.3 * torch.rand(value.shape)
    v, t = features_of()
    state = {name: value.clone() for name, value in fusion.state_dict().items()}
    found = fusion.train(training)(v, t)
    expected = torch.tensor(loops(state, v, t, gates=gates, training=training))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert fusion.get_submodule("visual.0").out_features == 100
    # The other reading gives another feature.
    swapped = "own" if gates == "cross" else "cross"
    other = torch.tensor(loops(state, v, t, gates=swapped, training=training))
    assert not torch.allclose(found, other, atol=1e-3)


def read(joint: Tensor) -> Tensor:
    """A number that depends on all of a joint feature, as a loss does."""
    weights = torch.randn(joint.shape, generator=torch.Generator().manual_seed(4))
    total = (joint.float() * weights).sum()
    assert isinstance(total, Tensor)
    return total


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_of_a_fusion_learns(variant: str) -> None:
    fusion, (v, t) = fusion_of(variant), features_of()
    v.requires_grad_()
    t.requires_grad_()
    joint = fusion(v, t)
    assert joint.shape == (BATCH, fusion.width)
    read(joint).backward()
    gradients = {name: p.grad for name, p in fusion.named_parameters()} | {
        "v": v.grad,
        "t": t.grad,
    }
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_fusions_need_both_features(variant: str) -> None:
    fusion, (v, t) = fusion_of(variant).eval(), features_of()
    joint = fusion(v, t)
    assert not torch.allclose(fusion(v.flip(0), t), joint, atol=1e-4)
    assert not torch.allclose(fusion(v, t.flip(0)), joint, atol=1e-4)
    # And no example depends on another's. A root magnifies what rounding left of an empty bucket.
    torch.testing.assert_close(fusion(v[:1], t[:1]), joint[:1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_fusions_train_on_two_examples(variant: str) -> None:
    fusion = fusion_of(variant)
    joint = fusion(*features_of(2))
    assert joint.shape == (2, fusion.width) and joint.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_fusions_work_under_autocast(variant: str) -> None:
    fusion, (v, t) = fusion_of(variant), features_of()
    expected = fusion(v, t)
    v.requires_grad_()
    t.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        joint = fusion(v.bfloat16(), t.bfloat16())  # as backbones give them there
    # 8 bits of mantissa; BatchNorm of five examples magnifies what they lose in a few values.
    assert (joint.float() - expected).abs().mean() < 0.01 * expected.std()
    read(joint).backward()
    gradients = [v.grad, t.grad, *(p.grad for p in fusion.parameters())]
    assert all(g is not None and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "concat"])
def test_a_fusion_is_drawn_from_the_seed_and_kept_by_its_state(variant: str) -> None:
    v, t = features_of()
    fusion = fusion_of(variant).eval()
    assert torch.equal(fusion_of(variant).eval()(v, t), fusion(v, t))
    other = fusion_of(variant, seed=9).eval()
    assert not torch.allclose(other(v, t), fusion(v, t), atol=1e-4)
    other.load_state_dict(fusion.state_dict())
    assert torch.equal(other(v, t), fusion(v, t))
