"""What a sweep costs beside its trials: trials that do nothing, ours and Tune's own defaults.

    python tests/bench/bench_orchestration.py

Both run on a private Ray of this machine. Ours is `mi2p.running.run`, all a sweep does for a
trial: asking the source, the worker's row, the driver's progress; with `--search` also a study in
a journal that suggests and is told. The other is a plain `Tuner` as its documentation has it.
Seconds per trial are those between the first trial that starts and the last that ends, apart from
the start of Ray and the first worker; the bench fails above 0.3 s for ours.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mi2p.cluster import joined
from mi2p.options import SweepOptions
from mi2p.running import Ground, run
from mi2p.source import Job, Planned
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, trial_row

MOST = 0.3
"""Seconds per trial that orchestration may take."""

BASE = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="tiny_densenet"),
    train=TrainSpec(lr=1e-3, epochs=1, batch_size=32),
)


def nothing(config: Mapping[str, Any]) -> None:
    """A trial that reports an epoch and leaves its row."""
    from ray import tune

    trial = config["trial"]
    spec = TrialSpec.from_dict(trial["spec"])
    tune.report({"epoch": 1.0, "val/accuracy": 0.5})
    store = Store(Path(trial["places"]["results"]))
    store.write_trial(trial_row(spec, status="done", metrics={"val/accuracy": 0.5}))


def plain(config: Mapping[str, Any]) -> None:
    """The same for a plain `Tuner`."""
    from ray import tune

    tune.report({"epoch": 1.0, "val/accuracy": 0.5})


def ours(count: int, folder: Path) -> float:
    """Seconds for `count` trials, through `run`."""
    from mi2p.trainable import Places

    specs = [replace(BASE, seed=seed) for seed in range(count)]
    source = Timed([Job(spec=s, label=f"seed {s.seed}", name=f"seed{s.seed}") for s in specs])
    options = SweepOptions(results=folder / "results", yes=True)
    where = str(folder)
    places = Places(results=str(options.results), cache=where, data=where, weights=None)
    ground = Ground(places={"openclipart": places}, resources={"cpu": 1}, slots=2)
    console = Console(file=io.StringIO())
    end = run(console, options, "bench", source, ground, trainable=nothing)
    assert end == "all" and len(list((options.results / "trials").iterdir())) == count
    return source.last - source.first


class Timed(Planned):
    """Notes when the second trial ends (its worker is up then) and when the last does."""

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(jobs)
        self.first = self.last = 0.0
        self.ends = 0

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        self.ends += 1
        self.last = time.monotonic()
        if self.ends == WARM:
            self.first = self.last


WARM = 2
"""Trials that start a worker each, which is no part of what a trial costs."""


def theirs(count: int, folder: Path) -> float:
    """Seconds for `count` trials, through a `Tuner` with default settings."""
    from ray import tune

    class Clock(tune.Callback):
        ends: list[float]

        def __init__(self) -> None:
            self.ends = []

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self.ends.append(time.monotonic())

    clock = Clock()
    tuner = tune.Tuner(
        plain,
        param_space={"seed": tune.grid_search(list(range(count)))},
        run_config=tune.RunConfig(storage_path=str(folder), callbacks=[clock], verbose=0),
    )
    tuner.fit()
    return clock.ends[-1] - clock.ends[WARM - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    count = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder, joined(None):
        mine = ours(count, Path(folder) / "ours") / (count - WARM)
        default = theirs(count, Path(folder) / "theirs") / (count - WARM)
    print(f"seconds per trial of {count}: ours {mine:.3f}, plain Tuner {default:.3f}")
    print(f"plain Tuner / ours: {default / mine:.1f}")
    sys.exit(mine > MOST)


if __name__ == "__main__":
    main()
