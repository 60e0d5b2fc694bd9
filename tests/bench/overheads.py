"""What a sweep's driver spends on each trial, measured with thousands of trials that stand still.

The driver is real: `mi2p.running.run` on a private Ray that pretends to have a core for each
trial, with placement groups, Tune's loop, our source, progress and rows. Only the workers are not:
one process answers for all of them, at once for a few trials and never for the others, which are
what the driver has to look after meanwhile. What real workers add is measured apart (`start_up`).
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray.actor import ActorClass
from rich.console import Console

from mi2p.cluster import WORKER_ENVIRONMENT, prepare_environment
from mi2p.options import SweepOptions
from mi2p.running import Ground, run
from mi2p.source import Job
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, trial_row
from mi2p.trainable import Places

BUSY = 8
"""Trials that run, one after the other in each place; the others stand still."""
EPOCHS = 10
BASE = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="tiny_densenet"),
    train=TrainSpec(lr=1e-3, epochs=1, batch_size=32),
)


class Finished(BaseException):
    """Ends Tune's loop when enough was seen."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What the driver had used when a trial ended."""

    main: float
    """CPU seconds of the thread that Tune's loop runs in, without snapshots and `choosing`."""
    process: float
    """Those of all its threads."""
    wall: float
    gcs: float
    """Those of Ray's control process."""
    steps: int
    """Times that Tune's loop went round."""


@dataclass
class Watched:
    """A source of `still` trials that stand still, then short and long ones, and what it saw."""

    still: int
    each: int
    """Short trials that are counted, and long ones."""
    warm: int = 2 * BUSY
    given: int = 0
    ends: list[Moment] = field(default_factory=list)
    snapshots: list[tuple[int, float, int]] = field(default_factory=list)
    """Trials that each held, its seconds, its bytes."""
    choosing: list[tuple[int, float]] = field(default_factory=list)
    """Trials that the scheduler went through to choose the next, and its seconds."""
    filled: float = 0.0
    start: float = 0.0

    total = 0
    over = False

    def next(self) -> Job | None:
        if not self.start:
            self.start = time.monotonic()
        if self.given == self.still + BUSY:
            self.filled = time.monotonic() - self.start
        number = self.given - self.still
        long = number >= self.warm + self.each
        if number >= 2 * (self.warm + self.each) + BUSY:
            return None
        epochs = 10**6 if number < 0 else (1 + EPOCHS) if long else 1
        spec = replace(BASE, seed=self.given, train=replace(BASE.train, epochs=epochs))
        self.given += 1
        return Job(spec=spec, label=f"seed {spec.seed}", name=f"seed{spec.seed}")

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        return False

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        assert row["status"] == "done", row
        spent = sum(seconds for _, seconds, _ in self.snapshots)
        spent += sum(seconds for _, seconds in self.choosing)
        self.ends.append(
            Moment(
                main=time.thread_time() - spent,
                process=time.process_time(),
                wall=time.monotonic(),
                gcs=cpu_of("gcs_server"),
                steps=len(self.choosing),
            )
        )
        if len(self.ends) == 2 * (self.warm + self.each):
            raise Finished

    def spent(self, part: str) -> tuple[float, float]:
        """Seconds of a short trial and of a long one."""
        values = [getattr(moment, part) for moment in self.ends]
        half = self.warm + self.each
        return tuple(
            (values[first + self.each] - values[first]) / self.each
            for first in (self.warm - 1, half + self.warm - 1)
        )  # type: ignore[return-value]


def cpu_of(name: str) -> float:
    """CPU seconds of the youngest process of this user whose program is `name`."""
    found: list[tuple[int, float]] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if name not in (folder / "cmdline").read_text().partition("\0")[0]:
                continue
            values = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = os.sysconf("SC_CLK_TCK")
        found.append((int(folder.name), (int(values[11]) + int(values[12])) / ticks))
    return max(found, default=(0, 0.0))[1]


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
        if epochs == 10**6:
            await asyncio.Event().wait()
        await asyncio.sleep(0.002)
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


class Actors(ActorClass):  # type: ignore[misc]
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


def watched(still: int, each: int, pending: int, folder: Path) -> tuple[Watched, int]:
    """What the driver spends beside so many trials that stand still; actors that were made."""
    from ray.tune.execution.class_cache import _ActorClassCache
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.schedulers import FIFOScheduler

    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(pending)
    source = Watched(still=still, each=each)
    options = SweepOptions(results=folder / "results", yes=True)
    where = str(folder)
    places = Places(results=str(options.results), cache=where, data=where, weights=None)
    ground = Ground(places={"openclipart": places}, resources={"cpu": 1}, slots=still + BUSY)
    process = ray.remote(Answering).options(num_cpus=0, max_concurrency=20_000).remote()
    actors = Actors(process)
    save = TuneController.save_to_dir

    def timed_save(self: TuneController) -> None:
        start = time.thread_time()
        save(self)
        size = sum(path.stat().st_size for path in Path(self.experiment_state_path).parent.iterdir())
        source.snapshots.append((len(self.get_trials()), time.thread_time() - start, size))

    choose = FIFOScheduler.choose_trial_to_run

    def timed_choose(self: FIFOScheduler, controller: Any) -> Any:
        start = time.thread_time()
        found = choose(self, controller)
        source.choosing.append((len(controller.get_trials()), time.thread_time() - start))
        return found

    with (
        patch.object(FIFOScheduler, "choose_trial_to_run", timed_choose),
        patch.object(_ActorClassCache, "get", lambda self, trainable: actors),
        patch.object(TuneController, "save_to_dir", timed_save),
    ):
        try:
            run(Console(file=io.StringIO()), options, "bench", source, ground)
        except Finished:
            pass
    return source, actors.made


def main() -> None:
    import sys

    still, each, pending = map(int, sys.argv[1:4])
    prepare_environment()
    with tempfile.TemporaryDirectory() as name:
        ray.init(
            address="local",
            num_cpus=still + BUSY,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )
        source, made = watched(still, each, pending, Path(name))
        out = {part: source.spent(part) for part in ("main", "process", "wall", "gcs", "steps")}
        print(json.dumps({"still": still, "pending": pending, "made": made,
            "filled": source.filled, **out,
            "choosing": sum(t for _, t in source.choosing[-200:]) / sum(n for n, _ in source.choosing[-200:]),
            "snapshots": source.snapshots[-2:], "n": len(source.snapshots)}))
        sys.stdout.flush()
        os.environ["X"] = "1"
        ray.shutdown()


if __name__ == "__main__":
    main()
