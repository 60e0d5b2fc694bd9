"""Training: determinism, resuming, the planted problem, and what ends a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mi2p import metrics, train
from mi2p.inputs import Inputs
from mi2p.models import Batch, Classifier, build
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, FusionSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.train import Outcome, fit
from tests import tiny_models
from tests.planted import planted_xor, register

VISUAL = ModelSpec(name="cnn", visual="tiny_densenet", head_dropout=0.0)
TEXTUAL = ModelSpec(name="bert", textual="tiny_bert", head_dropout=0.0)
UNITS = UnitSpec(attach=(1, 2, 3), heads=4, d_k=8, lr_multiplier=3)
MODELS: Mapping[str, ModelSpec] = {
    "cnn": VISUAL,
    "bert": TEXTUAL,
    "me_cnn": replace(VISUAL, name="me_cnn", textual="tiny_bert", units=UNITS),
    "me_bert": replace(TEXTUAL, name="me_bert", visual="tiny_densenet", units=UNITS),
}


def spec_of(name: str, *, epochs: int = 2, seed: int = 0, lr: float = 1e-3) -> TrialSpec:
    return TrialSpec(
        data=DataSpec(name="planted", image_size=64, max_tokens=12),
        model=MODELS[name],
        train=TrainSpec(lr=lr, batch_size=16, epochs=epochs),
        seed=seed,
    )


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=96))
    return Runtime(cache=tmp_path / "cache", device="cpu")


def assert_same(one: Outcome, other: Outcome) -> None:
    """Bit for bit: metrics of every epoch and every probability."""
    assert one.history == other.history
    assert one.metrics == other.metrics
    assert one.best_epoch == other.best_epoch
    for left, right in zip(one.predictions, other.predictions, strict=True):
        assert left.ids == right.ids
        assert np.array_equal(left.probabilities, right.probabilities)


def test_two_specs_in_one_process_agree_in_both_orders(runtime: Runtime) -> None:
    # A reused worker must not let one trial's leftovers into the next.
    first = {name: fit(spec_of(name), runtime) for name in ("me_cnn", "me_bert")}
    second = {name: fit(spec_of(name), runtime) for name in ("me_bert", "me_cnn")}
    for name, outcome in first.items():
        assert_same(outcome, second[name])


def test_the_seed_matters(runtime: Runtime) -> None:
    one, other = (fit(spec_of("me_cnn", seed=seed), runtime) for seed in (0, 1))
    assert one.history != other.history


@pytest.mark.parametrize("name", ["cnn", "me_bert"])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_trial_resumes_to_the_same_bits(
    runtime: Runtime, tmp_path: Path, name: str, killed_after: int
) -> None:
    spec = spec_of(name, epochs=3)
    undisturbed = fit(spec, runtime)
    runtime = replace(runtime, checkpoints=tmp_path / "checkpoints")
    seen: list[int] = []

    def die(record: dict[str, float], checkpoint: Path | None) -> None:
        assert checkpoint is not None and checkpoint.exists()
        seen.append(int(record["epoch"]))
        if len(seen) == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(spec, runtime, die)
    resumed = fit(spec, runtime, lambda record, checkpoint: seen.append(int(record["epoch"])))
    assert seen == [1, 2, 3]  # no epoch was trained twice
    assert_same(undisturbed, resumed)


@pytest.mark.parametrize("name", ["fusion-cbgp", "me_fusion-cross_attention", "vilt"])
def test_joint_models_resume_and_recompute_to_the_same_bits(
    runtime: Runtime, tmp_path: Path, name: str
) -> None:
    # Sketches are buffers, BatchNorm is in a fusion, pictures are augmented, batches are cut.
    spec = tiny_models.spec_of(name)
    spec = replace(
        spec,
        data=DataSpec(name="planted", image_size=64, max_tokens=12, augment="crop_flip"),
        train=TrainSpec(lr=1e-3, batch_size=16, micro_batch=6, epochs=2),
    )
    undisturbed = fit(spec, runtime)

    def die(record: dict[str, float], checkpoint: Path | None) -> None:
        raise KeyboardInterrupt

    saving = replace(runtime, checkpoints=tmp_path / "checkpoints", checkpoint_activations=True)
    with pytest.raises(KeyboardInterrupt):
        fit(spec, saving, die)
    assert_same(undisturbed, fit(spec, saving))


def test_a_truncated_checkpoint_costs_an_epoch_and_no_bits(
    runtime: Runtime, tmp_path: Path
) -> None:
    spec = spec_of("me_cnn", epochs=3)
    undisturbed = fit(spec, runtime)
    runtime = replace(runtime, checkpoints=tmp_path / "checkpoints")
    seen: list[int] = []

    def die_at_two(record: dict[str, float], checkpoint: Path | None) -> None:
        seen.append(int(record["epoch"]))
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(spec, runtime, die_at_two)
    last = tmp_path / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"last\.pt cannot be read"):
        resumed = fit(spec, runtime, lambda record, _: seen.append(int(record["epoch"])))
    assert seen == [1, 2, 2, 3]
    assert_same(undisturbed, resumed)


def test_the_best_epoch_is_chosen_on_validation_and_is_what_is_scored(runtime: Runtime) -> None:
    outcome = fit(spec_of("me_cnn", epochs=4), runtime)
    accuracies = [record["val/accuracy"] for record in outcome.history]
    assert outcome.best_epoch == accuracies.index(max(accuracies)) + 1  # the first of equals
    best = outcome.history[outcome.best_epoch - 1]
    # Evaluated again from the kept weights: the same numbers as in that epoch.
    assert {k: v for k, v in outcome.metrics.items() if k.startswith("val/")} == {
        k: v for k, v in best.items() if k.startswith("val/")
    }


def test_only_confirming_trials_see_the_test_split(runtime: Runtime) -> None:
    confirmed = fit(spec_of("cnn", epochs=1), runtime)
    searched = fit(replace(spec_of("cnn", epochs=1), stage="search"), runtime)
    assert [p.split for p in confirmed.predictions] == ["val", "test"]
    assert [p.split for p in searched.predictions] == ["val"]
    assert not any(name.startswith("test/") for name in searched.metrics)
    assert not any(name.startswith("test/") for record in confirmed.history for name in record)


def test_a_bad_loss_names_epoch_and_step(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def nan_at_call_eight(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += torch.is_grad_enabled()
        value = torch.nn.functional.cross_entropy(logits, labels)
        return value * torch.nan if calls == 8 else value

    monkeypatch.setattr("mi2p.steps.loss", nan_at_call_eight)
    steps = -(-len(planted_train(runtime)) // 16)
    message = rf"loss is nan at epoch {8 // steps + 1}, step {8 % steps} of {steps} \(lr 0\.001\)"
    with pytest.raises(FloatingPointError, match=message):
        fit(spec_of("cnn", epochs=9), runtime)


def planted_train(runtime: Runtime) -> list[str]:
    from mi2p.data import read

    return [example.id for example in read(DataSpec(name="planted")).split("train")]


def test_xor_of_both_modalities_needs_the_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label is the XOR of a visual and a textual bit: each modality alone says nothing."""
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=480))
    runtime = Runtime(cache=tmp_path / "cache", device="cpu")
    accuracy = {}
    # Seeds 0, 1 and 2 solve it by epochs 2 and 13; a base rate of 3e-3 leaves the tiny BERT on the
    # plateau where XOR starts.
    for name, epochs in {"cnn": 4, "bert": 4, "me_cnn": 4, "me_bert": 16}.items():
        spec = spec_of(name, epochs=epochs)
        if name.startswith("me_"):
            units = replace(UNITS, lr_multiplier=20)
            spec = replace(spec, model=replace(spec.model, units=units))
        outcome = fit(spec, runtime)
        accuracy[name] = outcome.metrics["test/accuracy"]
    assert 0.35 < accuracy["cnn"] < 0.65 and 0.35 < accuracy["bert"] < 0.65
    assert accuracy["me_cnn"] >= 0.95 and accuracy["me_bert"] >= 0.95


def test_what_averages_trials_is_not_trained(runtime: Runtime) -> None:
    model = ModelSpec(
        name="fusion",
        visual="tiny_densenet",
        textual="tiny_bert",
        fusion=FusionSpec(kind="score"),
    )
    spec = replace(spec_of("bert"), model=model, averages=("a", "b"))
    with pytest.raises(ValueError, match="a trial that is trained averages none"):
        fit(spec, runtime)


def test_activation_checkpointing_changes_no_bit(runtime: Runtime) -> None:
    for name in ("me_cnn", "me_bert"):
        spec = replace(spec_of(name), model=replace(MODELS[name], head_dropout=0.3))
        saving = replace(runtime, checkpoint_activations=True)
        assert_same(fit(spec, runtime), fit(spec, saving))


def test_micro_batches_have_the_gradient_of_the_batch(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_of, sizes = Inputs.batch, list[int]()

    def without_dropout(*of: Any, **options: Any) -> Classifier:
        model = build(*of, **options)
        model.train = lambda mode=True: nn.Module.train(model, False)  # type: ignore[method-assign]
        return model

    def counted(self: Inputs, rows: Any, *rest: Any) -> Batch:
        sizes.append(len(rows))
        return batch_of(self, rows, *rest)

    monkeypatch.setattr(train, "build", without_dropout)
    monkeypatch.setattr(Inputs, "batch", counted)
    monkeypatch.setattr(train, "EVALUATION_BATCH", 1)
    outcomes, largest = [], []
    for micro_batch in (0, 6):
        spec = spec_of("bert")
        sizes.clear()
        spec = replace(spec, train=replace(spec.train, micro_batch=micro_batch))
        outcomes.append(fit(spec, runtime))
        largest.append(max(sizes))
    assert largest == [16, 6]
    whole, parts = outcomes
    for one, other in zip(whole.predictions, parts.predictions, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
    losses = [[record["train/loss"] for record in outcome.history] for outcome in outcomes]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_losses_of_all_supervised_predictions_are_summed(runtime: Runtime) -> None:
    fused = FusionSpec(kind="score")
    losses = {}
    for joint_loss in ("fused", "branches", "fused+branches"):
        spec = spec_of("bert", epochs=1)
        model = ModelSpec(
            name="fusion",
            visual="tiny_densenet",
            textual="tiny_bert",
            fusion=replace(fused, joint_loss=joint_loss),
        )
        # One batch: its loss is taken before the only step.
        all_in_one = replace(spec.train, batch_size=48)
        outcome = fit(replace(spec, model=model, train=all_in_one), runtime)
        losses[joint_loss] = outcome.history[0]["train/loss"]
    assert losses["fused+branches"] == pytest.approx(losses["fused"] + losses["branches"])


def test_several_labels_are_scored_at_a_tuned_threshold_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = planted_xor(tmp_path / "planted", count=96)
    examples = tuple(
        # Every fourth example has no label at all, as some movies have.
        replace(e, labels=() if i % 4 == 3 else (0, 1) if i % 4 else (0,))
        for i, e in enumerate(planted.examples)
    )
    register(monkeypatch, "planted", replace(planted, examples=examples, multilabel=True))
    outcome = fit(spec_of("me_bert"), Runtime(cache=tmp_path / "cache", device="cpu"))
    val, test = outcome.predictions
    assert test.labels.sum(1).min() == 0
    expected = metrics.tuned_scores(
        (val.probabilities, val.labels), (test.probabilities, test.labels)
    )
    assert {k: v for k, v in outcome.metrics.items() if k in expected} == expected
    assert "test/accuracy" not in outcome.metrics and "test/micro_f1" in outcome.metrics
