"""A probe times the trial's own code, in the right parts, and leaves nothing. Clocks are fake."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mi2p import probing, steps
from mi2p.inputs import Inputs
from mi2p.models import Batch
from mi2p.pricing import Probe
from mi2p.probing import EVALUATED, LEAST_STEPS, STEPS, WARM_UP, probe, run_probe
from mi2p.runtime import Runtime
from mi2p.spec import TrialSpec
from mi2p.train import EVALUATION_BATCH, Run, fit
from mi2p.trainable import Places
from tests.planted import planted_xor, register
from tests.test_train import spec_of

COUNT = 96
"""Examples: 48 to train on, 24 each to validate and test."""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=COUNT))
    return Runtime(cache=tmp_path / "cache", device="cpu", checkpoints=tmp_path / "probed")


class Fake:
    """A clock that only moves when a trial reads a batch: by `train`, or by `rest` per example."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, train: float, rest: float) -> None:
        self.time, self.training, self.evaluated = 0.0, 0, 0
        read = Inputs.batch

        def batch(inputs: Inputs, rows: NDArray[np.int64], device: Any, *augment: Any) -> Batch:
            if torch.is_grad_enabled():
                self.training += 1
                self.time += train
            else:
                self.evaluated += len(rows)
                self.time += rest * len(rows)
            return read(inputs, rows, device, *augment)

        monkeypatch.setattr(Inputs, "batch", batch)
        monkeypatch.setattr(probing, "now", lambda: self.time)


def test_steps_and_examples_are_timed_by_themselves(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Fake(monkeypatch, train=0.5, rest=0.01)
    found = probe(spec_of("me_cnn"), runtime)
    assert found.steps == STEPS and found.step_seconds == pytest.approx(0.5)
    assert clock.training == WARM_UP + STEPS  # over three epochs of three batches
    assert found.evaluate_seconds == pytest.approx(0.01)
    assert (found.setup_seconds, found.save_seconds, found.load_seconds) == (0, 0, 0)
    assert (found.train, found.val, found.test, found.classes) == (48, 24, 24, 2)
    assert found.id_bytes == len("xor-0000-00")


def test_steps_that_take_long_are_fewer(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Fake(monkeypatch, train=60.0, rest=0.0)
    found = probe(spec_of("cnn"), runtime)
    assert found.steps == LEAST_STEPS and found.step_seconds == pytest.approx(60)
    assert clock.training == WARM_UP + LEAST_STEPS


def test_a_step_is_a_whole_batch_however_it_is_cut(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("cnn")
    cut = replace(spec, train=replace(spec.train, micro_batch=4))
    clock = Fake(monkeypatch, train=0.125, rest=0.0)
    assert probe(cut, runtime).step_seconds == pytest.approx(0.5)  # 16 in parts of 4
    assert clock.training == 4 * (WARM_UP + STEPS)


def test_the_warm_up_is_not_in_the_time(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Fake(monkeypatch, train=0.0, rest=0.0)
    real, taken = torch.optim.Adam.step, iter([100.0, 100.0, 1.0, 2.0, 3.0, 5.0, 9.0])

    def step(optimiser: torch.optim.Adam) -> None:
        clock.time += next(taken)
        real(optimiser)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    found = probe(spec_of("bert"), runtime)
    # 1 + 2 + 3 seconds of three steps are long enough.
    assert (found.steps, found.step_seconds) == (3, 2.0)


def test_few_batches_of_a_large_split_are_evaluated(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "planted", planted_xor(tmp_path / "large", count=64 * 16))
    clock = Fake(monkeypatch, train=0.0, rest=0.5)
    found = probe(spec_of("bert"), runtime)
    assert found.val == 256 > EVALUATED
    assert clock.evaluated == EVALUATION_BATCH + EVALUATED
    assert found.evaluate_seconds == pytest.approx(0.5)


def test_the_bytes_of_checkpoints_are_the_most_a_trial_has(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("me_bert")
    found = probe(spec, runtime)
    assert found.save_seconds > 0 and found.load_seconds > 0 and found.setup_seconds > 0
    most = 0

    def look(record: dict[str, float], path: Path | None) -> None:
        nonlocal most
        assert path is not None
        sizes = [file.stat().st_size for file in path.parent.iterdir()]
        (*_, best) = path.parent.glob("best-*.pt")  # all are as large
        most = max(most, sum(sizes) + best.stat().st_size)

    # Most when each epoch is better than the one before.
    monkeypatch.setattr(Run, "best_epoch", lambda run: len(run.history))
    fit(spec, replace(runtime, checkpoints=tmp_path / "trained"), look)
    # The history of a trial is in its checkpoints as well.
    assert found.checkpoint_bytes == pytest.approx(most, rel=0.02)


def test_a_probe_in_a_worker_leaves_nothing_but_stores(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "deep" / "results"
    places = Places(
        results=str(results), cache=str(runtime.cache), data=str(tmp_path), weights=None
    )
    before = set(tmp_path.iterdir())
    found = run_probe(spec_of("me_cnn").to_dict(), asdict(places))
    assert set(tmp_path.iterdir()) - before == {runtime.cache}
    results.mkdir(parents=True)
    again = run_probe(spec_of("me_cnn").to_dict(), asdict(places))
    assert not list(results.iterdir())
    assert found["process"] == again["process"] and found["ready"] < again["ready"]
    told = Probe(**found["probe"])
    assert told.steps in (STEPS, LEAST_STEPS) and told.step_seconds > 0


def test_a_loss_that_is_not_finite_ends_a_probe_as_a_trial(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "loss", lambda logits, labels: logits.sum() * math.nan)
    places = Places(
        results=str(tmp_path), cache=str(runtime.cache), data=str(tmp_path), weights=None
    )
    with pytest.raises(FloatingPointError, match="epoch 1, step 1 of 3"):
        run_probe(spec_of("cnn").to_dict(), asdict(places))
    assert not list(tmp_path.glob(".probe-*"))


def test_averages_are_not_probed(runtime: Runtime) -> None:
    from tests.tiny_models import spec_of as fusion_of

    average: TrialSpec = replace(fusion_of("fusion-score"), averages=("a", "b"))
    with pytest.raises(ValueError, match="a trial that is trained averages none"):
        probe(average, runtime)
