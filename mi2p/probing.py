"""Measure what one trial costs where it would run: a few steps, batches, and a checkpoint.

The code that is timed is the trial's own (`mi2p.train`), so micro-batches, augmentation, frozen
encoders and recomputed activations are in the numbers. Nothing is left but the stores that the
trial would make as well.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch

from mi2p.pricing import Probe
from mi2p.runtime import Runtime
from mi2p.spec import TrialSpec
from mi2p.train import EVALUATION_BATCH, Run, begin

WARM_UP = 2
"""Steps that are not timed: the first ones allocate memory and the optimiser's state."""
STEPS = 5
"""Steps that are timed, unless they take long."""
LEAST_STEPS = 3
LONG = 4.0
"""Seconds of timed steps that are enough, after `LEAST_STEPS`."""
EVALUATED = 2 * EVALUATION_BATCH
"""Examples of the timed evaluation."""

now = time.perf_counter


def run_probe(spec: Mapping[str, Any], places: Mapping[str, Any]) -> dict[str, Any]:
    """`probe` in a worker process: of `TrialSpec.to_dict()` and the fields of a `Places`.

    Returns plain data: the fields of the `probe`; the `process` it ran in; and when (Unix time in
    seconds) that process was `ready` for a trial, with libraries and weights loaded.
    """
    from mi2p.trainable import Places, release_memory

    wanted, where = TrialSpec.from_dict(spec), Places(**places)
    begin(wanted, where.runtime())  # what a process does once is no part of a trial
    ready = time.time()
    try:
        # On the disk of the results, whose speed counts.
        with TemporaryDirectory(prefix=".probe-", dir=_there(Path(where.results))) as folder:
            found = probe(wanted, where.runtime(Path(folder)))
    finally:
        release_memory()
    process = f"{socket.gethostname()}-{os.getpid()}"
    return {"probe": asdict(found), "process": process, "ready": ready}


def probe(spec: TrialSpec, runtime: Runtime) -> Probe:
    """What `fit(spec, runtime)` would take, of which little is done.

    `runtime` names a new folder for checkpoints; they stay there. Raises what `fit` raises.
    """
    start = now()
    if runtime.torch_device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    run = begin(spec, runtime)
    setup = _passed(run, start)
    step, steps = _train(run)
    evaluate = _evaluate(run)
    examples = run.inputs.dataset.examples
    checkpoint = _checkpoint(run)
    return Probe(
        **{split: len(run.inputs.rows(split)) for split in ("train", "val", "test")},
        classes=len(run.inputs.dataset.classes),
        id_bytes=float(np.mean([len(example.id.encode()) for example in examples])),
        setup_seconds=setup,
        step_seconds=step,
        steps=steps,
        evaluate_seconds=evaluate,
        gpu_bytes=torch.cuda.max_memory_reserved() if run.device.type == "cuda" else 0,
        **checkpoint,
    )


class _Enough(Exception):
    """Ends an epoch after the steps that are timed."""


class _Clocked:
    """Stands in for a run's optimiser: notes the end of each step, and ends the last one."""

    def __init__(self, run: Run) -> None:
        self.run, self.optimiser = run, run.optimiser
        self.ends: list[float] = []

    def zero_grad(self, *, set_to_none: bool) -> None:
        self.optimiser.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        self.optimiser.step()
        self.ends.append(_passed(self.run, 0))
        if self.steps >= STEPS or (self.steps >= LEAST_STEPS and self.seconds >= LONG):
            raise _Enough

    @property
    def steps(self) -> int:
        """Steps that were timed."""
        return len(self.ends) - WARM_UP

    @property
    def seconds(self) -> float:
        """From the end of the last step that was not timed."""
        return self.ends[-1] - self.ends[WARM_UP - 1]


def _train(run: Run) -> tuple[float, int]:
    """Seconds of a training step and how many were timed; they are those of the first epochs.

    An epoch's batches are drawn at random, so the first ones are as long as any.
    """
    clocked = _Clocked(run)
    run.optimiser = cast(torch.optim.Optimizer, clocked)
    with suppress(_Enough):
        for epoch in count(1):
            run._train_epoch(epoch)
    run.optimiser = clocked.optimiser
    return clocked.seconds / clocked.steps, clocked.steps


def _evaluate(run: Run) -> float:
    """Seconds per example; of examples all over the validation split, whose texts differ."""
    everything = run.inputs
    rows = everything.rows("val")
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), EVALUATED)).astype(int)]
    for part in (chosen[:EVALUATION_BATCH], chosen):  # the first one warms up
        usable = np.zeros_like(everything.usable)
        usable[part] = True
        run.inputs = replace(everything, usable=usable)
        start = now()
        run._evaluate("val")
        seconds = _passed(run, start)
    run.inputs = everything
    return seconds / len(chosen)


def _checkpoint(run: Run) -> dict[str, Any]:
    """Seconds to save one that is the best and to load it again, and bytes while one is saved."""
    assert run.checkpoints is not None
    run._keep(1, best=1)
    start = now()
    run._keep(2, best=2)
    saved = now()
    run.model.load_trained_state(run.checkpoints.best(2))
    loaded = _passed(run, saved)
    sizes = {path.name: path.stat().st_size for path in run.checkpoints.folder.iterdir()}
    return {
        "save_seconds": saved - start,
        "load_seconds": loaded,
        # Those of both states, and the new best is there before the oldest one goes.
        "checkpoint_bytes": sum(sizes.values()) + sizes["best-0002.pt"],
    }


def _passed(run: Run, start: float) -> float:
    """Seconds since `start`, when the device has done all it was told."""
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    return now() - start


def _there(folder: Path) -> Path:
    """`folder`, or the nearest of its parents that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
