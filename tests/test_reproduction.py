"""The model of a finished trial: what the sweep kept, or the same bits trained again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mi2p.kept_weights import keep, kept
from mi2p.reproduction import Reproduced, reproduce
from mi2p.spec import TrialSpec
from mi2p.store import Store
from mi2p.train import Run
from mi2p.trainable import Places, execute
from tests.planted import planted_xor, register
from tests.test_train import spec_of

SPEC = spec_of("me_cnn")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=96))
    return Places(
        results=str(tmp_path / "results"),
        cache=str(tmp_path / "cache"),
        data=str(tmp_path),
        weights=None,
    )


def swept(places: Places, spec: TrialSpec = SPEC, *, keep_weights: bool = False) -> Store:
    execute(spec, "x", replace(places, keep_weights=keep_weights), lambda record: None)
    return places.store()


def again(places: Places, *, tolerance: float = 1e-3, told: list[str] | None = None) -> Reproduced:
    lines: list[str] = [] if told is None else told
    runtime = places.runtime()
    return reproduce(SPEC, places.store(), runtime, tolerance=tolerance, tell=lines.append)


def never(*_: object) -> None:
    raise AssertionError("it must not be trained")


def test_a_trial_without_weights_is_trained_again_once(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told = swept(places), list[str]()
    assert not store.weights(SPEC.trial_id).exists()
    found = again(places, told=told)
    assert found.difference == 0 and not found.run.model.training
    assert told[0].startswith(f"no weights of trial {SPEC.trial_id} are kept: it is trained again")
    assert told[-1].endswith("every bit")
    assert not store.checkpoints(SPEC.trial_id).exists()
    monkeypatch.setattr(Run, "train", never)
    assert again(places).difference == 0


def test_a_sweep_that_keeps_weights_keeps_the_same(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = swept(places)
    again(places)
    trained = store.weights(SPEC.trial_id).read_bytes()
    store.set_aside(SPEC.trial_id, store.folder / "aside")
    swept(places, keep_weights=True)
    assert store.weights(SPEC.trial_id).read_bytes() == trained
    monkeypatch.setattr(Run, "train", never)
    assert again(places).difference == 0


def test_trials_of_a_search_leave_no_weights(places: Places) -> None:
    spec = replace(SPEC, stage="search")
    assert not swept(places, spec, keep_weights=True).weights(spec.trial_id).exists()


def test_a_killed_training_goes_on(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(places)
    original, trained = Run._train_epoch, list[int]()

    def killed(run: Run, epoch: int) -> float:
        if epoch == 2 and len(trained) == 1:
            trained.append(0)
            raise KeyboardInterrupt
        trained.append(epoch)
        return original(run, epoch)

    monkeypatch.setattr(Run, "_train_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        again(places)
    assert again(places).difference == 0
    assert trained == [1, 0, 2]


def test_weights_that_predict_otherwise_are_refused_or_told(places: Places) -> None:
    store = swept(places, keep_weights=True)
    weights = kept(store, SPEC.trial_id)
    assert weights is not None
    weights["head.linear.bias"] += torch.tensor([1e-4, 0])
    keep(store, SPEC.trial_id, weights)
    told: list[str] = []
    near = again(places, told=told).difference
    assert near is not None and 0 < near < 1e-4
    assert f"probabilities differ by at most {near:.1e}" in told[-1]
    weights["head.linear.bias"] += torch.tensor([9.0, 0])
    keep(store, SPEC.trial_id, weights)
    with pytest.raises(ValueError, match=r"differs by 0\.\d+ \(--tolerance 0.001\)"):
        again(places)
    far = again(places, tolerance=1).difference
    assert far is not None and far > 0.1


def test_without_predictions_there_is_nothing_to_compare_with(places: Places) -> None:
    store, told = swept(places, keep_weights=True), list[str]()
    store.predictions_file(SPEC.trial_id).unlink()
    assert again(places, told=told).difference is None
    assert "nothing to compare with" in told[-1]


def test_other_data_is_refused(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(places, keep_weights=True)
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=96, seed=1))
    with pytest.raises(ValueError, match="must be looked at on the data that it saw"):
        again(places)
