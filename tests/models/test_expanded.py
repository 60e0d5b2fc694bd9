"""Branches with units, against branches without; the contract is in `test_classifier`."""

from __future__ import annotations

import pytest
import torch

from mi2p.models.expanded import TextualBranch, Unimodal, VisualBranch
from tests.tiny_models import BACKBONES, batch_of, logits_of, model_of, same, spec_of, step

EXPANDED = [f"{model}/{pair}" for model in ("me_cnn", "me_bert") for pair in BACKBONES]
UNIMODAL = {name: name.removeprefix("me_") for name in EXPANDED}


def unimodal(name: str, **options: object) -> Unimodal:
    model = model_of(name, **options)  # type: ignore[arg-type]
    assert isinstance(model, Unimodal)
    return model


@pytest.mark.parametrize("name", EXPANDED)
@pytest.mark.parametrize("init", ["zero_value", "gate"])
def test_a_neutral_start_equals_the_unimodal_model_and_can_leave_it(name: str, init: str) -> None:
    model = unimodal(name, init=init)
    expected = logits_of(model_of(UNIMODAL[name]), batch_of())
    assert torch.equal(logits_of(model, batch_of()), expected)
    opens = "value.weight" if init == "zero_value" else "gate"
    step(model)
    units = model.branch.units
    gradients = {k: p.grad for k, p in units.named_parameters() if k.endswith(opens)}
    assert len(gradients) == len(units)
    assert all(g is not None and g.abs().max() > 0 for g in gradients.values())


@pytest.mark.parametrize("name", EXPANDED)
def test_units_change_the_logits(name: str) -> None:
    expected = logits_of(model_of(UNIMODAL[name]), batch_of())
    assert not torch.allclose(logits_of(model_of(name), batch_of()), expected, atol=1e-3)


@pytest.mark.parametrize("name", EXPANDED)
def test_units_at_no_tap_are_the_unimodal_model(name: str) -> None:
    # Bit for bit, in training as in evaluation: the expansion itself adds nothing.
    bare, model = model_of(UNIMODAL[name]), unimodal(name)
    model.branch.units.clear()
    assert torch.equal(logits_of(model, batch_of()), logits_of(bare, batch_of()))
    for each in (bare, model):
        torch.manual_seed(5)  # dropout
        step(each)
    assert same(model.trained_state(), bare.trained_state())


@pytest.mark.parametrize("name", EXPANDED)
def test_a_seed_draws_the_same_unimodal_part_with_and_without_units(name: str) -> None:
    for seed in (0, 3):
        bare = model_of(UNIMODAL[name], seed=seed).state_dict()
        for stored in ((), ("words", "maps")):
            state = model_of(name, seed=seed, stored=stored).state_dict()
            assert same({k: state[k] for k in bare}, dict(bare))
    one, other = (model_of(name, seed=seed).state_dict() for seed in (0, 3))
    # Heads differ by seed; backbones stand for pretrained ones and do not.
    assert not torch.equal(one["head.linear.weight"], other["head.linear.weight"])
    backbone = [k for k in one if k.startswith("branch.backbone.")]
    assert same({k: one[k] for k in backbone}, {k: other[k] for k in backbone})


@pytest.mark.parametrize("name", EXPANDED)
def test_units_sit_where_the_spec_says(name: str) -> None:
    model = unimodal(name, attach=(1, 3))
    ((modality, units),) = model.units().items()
    assert (modality,) == spec_of(name).model.trains
    assert list(units) == ["1", "3"]
    called: list[str] = []
    for tap, unit in units.items():
        unit.register_forward_hook(lambda *_, tap=tap: called.append(tap))
    logits_of(model, batch_of())
    assert called == ["1", "3"]


@pytest.mark.parametrize(("name", "feature"), [("me_cnn", "T'"), ("me_bert", "Z'")])
def test_neither_features_nor_an_encoder_is_our_own_mistake(name: str, feature: str) -> None:
    with pytest.raises(AssertionError, match=f"neither {feature} in the batch nor an external"):
        logits_of(model_of(name, stored=("words", "maps")), batch_of())


@pytest.mark.parametrize("name", [*EXPANDED, *UNIMODAL.values()])
def test_the_branch_is_that_of_the_trained_modality(name: str) -> None:
    wanted = VisualBranch if "cnn" in name else TextualBranch
    assert isinstance(unimodal(name).branch, wanted)
