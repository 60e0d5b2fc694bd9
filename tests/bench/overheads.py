"""What a sweep's driver spends on each trial, measured beside thousands that stand still.

The driver is real: `mi2p.running.run` on a private Ray that pretends to have a core for each
trial, with placement groups, Tune's loop, our source, progress and rows. Only the workers are not:
one process answers for all of them, at once for one trial at a time and never for the others,
which are what the driver has to look after meanwhile.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray.actor import ActorClass
from ray.tune.execution.class_cache import _ActorClassCache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console

from mi2p.cluster import prepare_environment
from mi2p.feed import Referee
from mi2p.ground import Ground
from mi2p.options import SweepOptions
from mi2p.running import run
from mi2p.source import Job
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, trial_row
from mi2p.trainable import Places
from tests.bench.simulation import Overheads

FEW, MANY = 100, 2000
"""Trials that stand still."""
EACH = 30
"""Short trials that are counted, and long ones."""
WARM = 2
"""Trials of each kind before those that are counted."""
LONGER = 10
"""Reports that a long trial has more than a short one, which has one."""
HEARD = 3
"""Times round Tune's loop of a short trial: it is ready, reports and ends."""
STILL = 10**6
"""Epochs of a trial that stands still."""
BASE = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="tiny_densenet"),
    train=TrainSpec(lr=1e-3, epochs=1, batch_size=32),
)


class Finished(BaseException):
    """Ends Tune's loop when enough was seen."""


class Watched:
    """A source of `still` trials that stand still, then short and long ones, and what it saw."""

    def __init__(self, still: int) -> None:
        self.still, self.given = still, 0
        self.half = WARM + EACH
        self.ends: list[float] = []
        """CPU seconds of the thread of Tune's loop when trials ended, but for the following."""
        self.snapshots: list[tuple[int, float]] = []
        """Trials that each held, and its seconds."""
        self.choosing: list[tuple[int, float]] = []
        """Trials that the scheduler went through to choose the next, and its seconds."""

    @property
    def total(self) -> int:
        return self.still + 2 * self.half

    @property
    def over(self) -> bool:
        return self.given == self.total

    def next(self) -> Job | None:
        if self.over:
            return None
        number = self.given - self.still
        epochs = STILL if number < 0 else 1 if number < self.half else 1 + LONGER
        spec = replace(BASE, seed=self.given, train=replace(BASE.train, epochs=epochs))
        self.given += 1
        return Job(spec=spec, label=f"seed {spec.seed}", name=f"seed{spec.seed}")

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        return False

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        apart = sum(seconds for _, seconds in (*self.snapshots, *self.choosing))
        self.ends.append(time.thread_time() - apart)
        if len(self.ends) == 2 * self.half:
            raise Finished

    def short(self) -> float:
        """Seconds of a short trial."""
        return (self.ends[self.half - 1] - self.ends[WARM - 1]) / EACH

    def step(self) -> float:
        """Seconds of each time round the loop."""
        long = (self.ends[-1] - self.ends[self.half + WARM - 1]) / EACH
        return (long - self.short()) / LONGER


class Answering:
    """The process that stands in for all workers."""

    def __init__(self) -> None:
        self.configs: dict[str, Any] = {}

    async def begin(self, name: str, config: dict[str, Any], storage: Any = None) -> bool:
        self.configs[name] = config
        return True

    async def step(self, name: str, number: int) -> dict[str, Any]:
        config = self.configs[name]
        trial = config["trial"]
        epochs = trial["spec"]["train"]["epochs"]
        if epochs == STILL:
            await asyncio.Event().wait()
        if number > epochs:
            spec = TrialSpec.from_dict(trial["spec"])
            row = trial_row(spec, status="done", metrics={"val/accuracy": 0.5})
            Store(Path(trial["places"]["results"])).write_trial(row)
            return {"__duplicate__": True, "should_checkpoint": False}
        return {
            "epoch": float(number),
            "train/loss": 0.5,
            **{f"val/{m}": 0.5 for m in ("loss", "accuracy", "macro_f1", "micro_f1")},
            "timestamp": int(time.time()),
            "checkpoint_dir_name": None,
            "done": False,
            "training_iteration": number,
            "date": "2026-01-01_00-00-00",
            "time_this_iter_s": 1.0,
            "time_total_s": 1.0,
            "pid": 1,
            "hostname": "worker",
            "node_ip": "127.0.0.1",
            "config": {"trial": trial},
            "time_since_restore": 1.0,
            "iterations_since_restore": number,
        }

    async def nothing(self) -> dict[str, Any]:
        return {}


class Call:
    """A method of an actor that stands in for one."""

    def __init__(self, call: Any) -> None:
        self.remote = call


class Actor:
    """What the driver takes for a worker's actor."""

    def __init__(self, process: Any, name: str, config: dict[str, Any], storage: Any) -> None:
        self.process, self.name, self.number = process, name, 0
        ready = process.begin.remote(name, config, storage)
        self.__ray_ready__ = Call(lambda: ready)
        self.train, self.reset = Call(self._train), Call(self._reset)
        self.stop = self.__ray_terminate__ = Call(process.nothing.remote)
        self.get_auto_filled_metrics = Call(lambda **given: process.nothing.remote())

    def _train(self) -> Any:
        self.number += 1
        return self.process.step.remote(self.name, self.number)

    def _reset(self, config: dict[str, Any], storage: Any) -> Any:
        self.number = 0
        return self.process.begin.remote(self.name, config, storage)


class Actors(ActorClass):
    """What the driver takes for the class of these actors."""

    def __new__(cls, process: Any) -> Actors:
        self: Actors = object.__new__(cls)
        return self

    def __init__(self, process: Any) -> None:
        self.process, self.made = process, 0

    def options(self, **given: Any) -> Actors:
        return self

    def remote(self, config: dict[str, Any], storage: Any) -> Actor:
        self.made += 1
        return Actor(self.process, str(self.made), config, storage)


def watched(still: int, folder: Path) -> Watched:
    """What the driver spends beside so many trials that stand still."""
    source = Watched(still)
    options = SweepOptions(results=folder / "results", yes=True)
    where = str(folder)
    places = Places(results=str(options.results), cache=where, data=where, weights=None)
    ground = Ground(places={"openclipart": places}, slots=still + 1)
    process = ray.remote(Answering).options(num_cpus=0, max_concurrency=20_000).remote()
    actors = Actors(process)
    save, choose = TuneController.save_to_dir, FIFOScheduler.choose_trial_to_run

    def timed_save(self: Any) -> None:
        start = time.thread_time()
        save(self)
        source.snapshots.append((len(self.get_trials()), time.thread_time() - start))

    def timed_choose(self: Any, controller: Any) -> Any:
        start = time.thread_time()
        found = choose(self, controller)
        source.choosing.append((len(controller.get_trials()), time.thread_time() - start))
        return found

    with (
        patch.object(_ActorClassCache, "get", lambda self, trainable: actors),
        patch.object(TuneController, "save_to_dir", timed_save),
        # As Tune has it; ours looks at none.
        patch.object(Referee, "choose_trial_to_run", timed_choose),
        suppress(Finished),
    ):
        store = Store(options.results)
        run(Console(file=io.StringIO()), options, "bench", store, source, ground)
    return source


def measured(known: Overheads) -> Overheads:
    """`known` with what the driver spends on this machine."""
    prepare_environment()
    found = []
    for still in (FEW, MANY):
        with tempfile.TemporaryDirectory() as name:
            ray.init(
                address="local",
                num_cpus=still + 1,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
            found.append(watched(still, Path(name)))
            ray.shutdown()
    few, many = found
    per_live = (many.step() - few.step()) / (MANY - FEW)
    step = few.step() - per_live * FEW
    trials, seconds = map(sum, zip(*many.choosing[-EACH:], strict=True))
    held, writing = many.snapshots[-1]
    return replace(
        known,
        step=step,
        per_live=per_live,
        per_trial=seconds / trials,
        start_and_end=few.short() - HEARD * few.step(),
        snapshot=writing / held,
    )
