"""What a change of a spec changes, and planted fields that no code uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mi2p import steps
from mi2p.checks import effects
from mi2p.checks.effects import Effects, Task, effect
from mi2p.data.example import Dataset, Example
from mi2p.data.views import View
from mi2p.models import injection
from mi2p.parameters import parameter_groups
from mi2p.paths import replaced
from mi2p.spec import DataSpec, TrialSpec
from tests.tiny_models import KINDS, spec_of

TASK = Task(num_classes=3, multilabel=False, num_train=300)
VALUES = "initial values or computation"

CHANGES: dict[str, tuple[Any, str]] = {
    "data.image_size": (128, "data"),
    "data.view": ("crop", "data"),
    "data.augment": ("crop_flip", "data"),
    "data.max_tokens": (9, "data"),
    "data.features": ("float16", "data"),
    "data.limit": (7, "data"),
    "train.batch_size": (64, "batches"),
    "train.micro_batch": (50, "batches"),
    "train.epochs": (2, "batches"),
    "train.lr": (2e-3, "optimiser"),
    "train.head_lr_multiplier": (2.0, "optimiser"),
    "train.weight_decay": (1e-4, "optimiser"),
    "model.units.lr_multiplier": (2.0, "optimiser"),
    "model.units.attach": ((1, 2, 3), "model"),
    "model.units.heads": (2, "model"),
    "model.units.d_k": (4, "model"),
    "model.units.query_kernel": (5, "model"),
    "model.units.query_sharing": ("per_channel", "model"),
    "model.units.query_bias": (False, "model"),
    "model.units.out_projection": (True, "model"),
    "model.head_dropout": (0.3, VALUES),
}
"""Paths of ME-CNN, another value, and what that changes."""


@pytest.mark.parametrize("path", CHANGES)
def test_what_each_field_changes(path: str) -> None:
    value, what = CHANGES[path]
    spec = spec_of("me_cnn")
    assert effect(spec, replaced(spec, {path: value}), TASK) == what


def test_initial_values_are_seen_although_they_have_no_shape_of_their_own() -> None:
    # At `zero_value` and `gate` the prediction is that without units.
    spec = spec_of("me_cnn")
    for one, other in (("default", "zero_value"), ("zero_value", "gate"), ("default", "gate")):
        first, second = (replaced(spec, {"model.units.init": init}) for init in (one, other))
        assert effect(first, second, TASK) == ("model" if other == "gate" else VALUES)


def test_options_of_fusions_without_parameters() -> None:
    def told(name: str, path: str, value: str) -> str | None:
        spec = spec_of(name)
        return effect(spec, replaced(spec, {path: value}), TASK)

    assert told("fusion-cross_attention", "model.fusion.gates", "own") == VALUES
    assert told("fusion-cbgp", "model.fusion.gate_at", "visual") == "model"
    assert told("fusion-score", "model.fusion.score_space", "logits") == VALUES
    assert told("fusion-score", "model.fusion.joint_loss", "branches") == VALUES
    # Nothing is trained through the fused prediction then, yet it is another prediction.
    branches = replaced(spec_of("fusion-score"), {"model.fusion.joint_loss": "branches"})
    other = replaced(branches, {"model.fusion.score_space": "logits"})
    assert effect(branches, other, TASK) == VALUES
    kinds = {kind: spec_of(f"fusion-{kind}") for kind in KINDS}
    assert all(effect(kinds["concat"], kinds[k], TASK) for k in KINDS if k != "concat")


def test_the_rate_of_one_backbone() -> None:
    spec = spec_of("fusion-concat")
    changed = replaced(spec, {"train.visual_lr_multiplier": 2.0})
    assert effect(spec, changed, TASK) == "optimiser"
    assert effect(spec_of("cnn"), spec_of("cnn/clip"), TASK) == "data"  # other weights


def test_what_changes_nothing() -> None:
    cnn, bert = spec_of("me_cnn"), spec_of("me_bert")
    assert effect(cnn, replace(cnn, seed=5, stage="search"), TASK) is None
    # The heads fit as they are; a bias that all keys share is removed by the softmax.
    assert effect(cnn, replaced(cnn, {"model.units.head_mode": "project"}), TASK) is None
    assert effect(bert, replaced(bert, {"model.units.query_bias": False}), TASK) is None
    # All examples are one batch.
    few = replace(TASK, num_train=40)
    assert effect(cnn, replaced(cnn, {"train.batch_size": 256}), few) is None
    assert effect(cnn, replaced(cnn, {"train.batch_size": 39}), few) == "batches"


@pytest.mark.parametrize(
    ("name", "path", "value", "what"),
    [
        ("bert", "data.view", "crop", None),
        ("bert", "data.augment", "crop_flip", None),
        ("bert", "data.image_size", 96, None),
        ("bert", "data.features", "float16", None),
        ("me_bert", "data.view", "crop", "data"),
        ("me_bert", "data.augment", "crop_flip", "data"),
        ("cnn", "data.max_tokens", 9, None),
        ("cnn", "data.features", "float16", None),
        ("vilt", "data.view", "crop", "data"),
    ],
)
def test_data_count_for_models_that_read_them(
    name: str, path: str, value: Any, what: str | None
) -> None:
    spec = spec_of(name)
    assert effect(spec, replaced(spec, {path: value}), TASK) == what


EVERY = [
    *("cnn", "bert", "me_cnn", "me_bert", "fusion-cbgp", "me_fusion-gmu", "centralnet"),
    *("mmbt", "pixelbert", "visualbert", "vilt", "me_cnn/resnet-xlnet", "me_bert/clip"),
]


@pytest.mark.parametrize("name", EVERY)
def test_a_model_repeats_itself(name: str) -> None:
    # Else a field without effect would seem to have one.
    spec = spec_of(name)
    several = replace(TASK, multilabel=True)
    for task in (TASK, several):
        seen = [Effects(task)._computed(spec) for _ in range(2)]
        assert seen[0] == seen[1]
        gradients = {n for n in seen[0] if n.endswith(".grad")}
        assert len(gradients) > 3 and len(set(seen[0].values())) > len(gradients)


def test_frozen_encoders_are_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    # They would take most of the time, and nothing that is varied reaches them.
    monkeypatch.delattr("mi2p.models.blueprint.Frozen")
    spec = replaced(spec_of("me_fusion-concat"), {"data.augment": "crop_flip"})
    assert effect(spec, replaced(spec, {"model.head_dropout": 0.5}), TASK) == VALUES


def plant_in_units(monkeypatch: pytest.MonkeyPatch, field: str, value: Any) -> None:
    """Units of CNNs keep `field` and compute as if it were `value`."""
    own = injection.VisualUnit.__init__

    def init(self: Any, spec: Any, **sizes: Any) -> None:
        own(self, replace(spec, **{field: value}), **sizes)
        setattr(self, f"wanted_{field}", getattr(spec, field))

    monkeypatch.setattr(injection.VisualUnit, "__init__", init)


@pytest.mark.parametrize(
    ("field", "fixed", "asked"),
    [("init", "default", "zero_value"), ("heads", 4, 2), ("d_k", 8, 16), ("query_kernel", 3, 5)],
)
def test_a_unit_that_keeps_a_field_and_ignores_it(
    monkeypatch: pytest.MonkeyPatch, field: str, fixed: Any, asked: Any
) -> None:
    spec = spec_of("me_cnn")
    changed = replaced(spec, {f"model.units.{field}": asked})
    assert effect(spec, changed, TASK) is not None
    plant_in_units(monkeypatch, field, fixed)
    assert effect(spec, changed, TASK) is None


def test_rates_that_no_group_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignoring(model: Any, spec: TrialSpec) -> list[dict[str, Any]]:
        return parameter_groups(model, replaced(spec, {"model.units.lr_multiplier": 1.0}))

    spec = spec_of("me_cnn")
    monkeypatch.setattr(steps, "parameter_groups", ignoring)
    changed = replaced(spec, {"model.units.lr_multiplier": 3.0})
    assert effect(spec, changed, TASK) is None
    assert effect(spec, replaced(spec, {"train.lr": 3.0}), TASK) == "optimiser"


def test_a_view_that_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("cnn")
    changed = replaced(spec, {"data.view": "crop"})
    monkeypatch.setattr(effects, "view_of", lambda data: View(size=data.image_size))
    assert effect(spec, changed, TASK) is None


def test_torch_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = torch.get_rng_state()
        spec = spec_of("me_cnn")
        effect(spec, replaced(spec, {"model.head_dropout": 0.3}), TASK)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    effect(spec, replaced(spec, {"model.head_dropout": 0.3}), TASK)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_task_of_a_data_set(tmp_path: Any) -> None:
    labels = {"train": ((0,), (1,), ()), "val": ((0, 1),)}
    examples = tuple(
        Example(id=f"{split}{i}", image=tmp_path, text="", labels=own, split=split)
        for split, all_of in labels.items()
        for i, own in enumerate(all_of)
    )
    dataset = Dataset(name="x", classes=("a", "b"), multilabel=True, examples=examples)
    assert Task.of(dataset) == Task(num_classes=2, multilabel=True, num_train=3)


def test_made_up_batches_are_what_models_read() -> None:
    spec = replace(spec_of("me_bert"), data=DataSpec(name="x", image_size=64, max_tokens=4))
    batch = Effects(TASK)._batch(spec)
    assert batch.images is None and batch.maps is not None
    assert batch.tokens is not None and batch.is_word is not None
    assert batch.tokens.shape == (4, 4) and batch.is_word.sum(1).tolist() == [4, 4, 3, 4]
    assert bool(((batch.tokens >= effects.FIRST_WORD) == batch.is_word).all())
    assert (batch.tokens < effects.WORDS).all()
