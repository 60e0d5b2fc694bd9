"""What a sweep costs beside its trials: trials that do nothing, ours and Tune's own defaults.

    python tests/bench/bench_orchestration.py

All run on a private Ray of this machine. Ours is `mi2p.running.run`, all a sweep does for a trial:
asking the source, the worker's row, the driver's progress; of a list of trials, and of a search
whose study in a journal suggests each by TPE and is told of its end. The other is a plain `Tuner`
as its documentation has it. Seconds per trial leave out the start of Ray and of the first two
workers; the bench fails above 0.3 s for either of ours.
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
from mi2p.ground import Ground
from mi2p.options import SweepOptions
from mi2p.plan import Plan, PlanRow
from mi2p.running import run
from mi2p.source import Job, Planned, Source
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


class Timed:
    """A source; notes when the second trial ends, whose worker is up then, and when the last."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.ends: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        self.source.ended(trial_id, row)
        self.ends.append(time.monotonic())


def ours(source: Source, count: int, folder: Path) -> float:
    """Seconds per trial of the `count` that `source` gives."""
    from mi2p.trainable import Places

    options = SweepOptions(results=folder / "results", yes=True)
    where = str(folder)
    places = Places(results=str(options.results), cache=where, data=where, weights=None)
    ground = Ground(places={"openclipart": places}, slots=2)
    console, timed = Console(file=io.StringIO()), Timed(source)
    end = run(console, options, "bench", Store(options.results), timed, ground, trainable=nothing)
    assert end == "all" and len(timed.ends) == count
    return per_trial(timed.ends)


def planned(count: int) -> Source:
    """A list of trials."""
    specs = [replace(BASE, seed=seed) for seed in range(count)]
    return Planned(Job(spec=s, label=f"seed {s.seed}", name=f"seed{s.seed}") for s in specs)


def searching(count: int, folder: Path) -> Source:
    """A search of one row; its last trial is the best one's seed."""
    from mi2p.search.rounds import Search
    from mi2p.search.spaces import space_of
    from mi2p.search.storage import open_storage
    from mi2p.search.studies import RowStudy

    row = PlanRow(key="cnn", label="CNN", paper="", specs=(BASE,))
    study = RowStudy(
        open_storage(None, folder / "results"),
        space_of(BASE),
        sampler="tpe",
        scheduler="none",
        against=None,
        metric="val/accuracy",
        budget=count - 1,
        in_flight=4,
    )
    plan = Plan(name="bench", table=5, rows=(row,))
    studies, store = {("cnn", "openclipart"): study}, Store(folder / "results")
    return Search(plan, [row], studies, store, name="bench", slots=2)


def per_trial(ends: list[float]) -> float:
    """Seconds from the end of the trials that warm up to the last one's, over their number."""
    return (ends[-1] - ends[WARM - 1]) / (len(ends) - WARM)


WARM = 2
"""Trials that start a worker each, which is no part of what a trial costs."""


def theirs(count: int, folder: Path) -> float:
    """Seconds per trial of `count`, through a `Tuner` with default settings."""
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
    return per_trial(clock.ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    count = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as name, joined(None):
        folder = Path(name)
        listed = ours(planned(count), count, folder / "planned")
        searched = ours(searching(count, folder / "searched"), count, folder / "searched")
        default = theirs(count, folder / "theirs")
    print(f"seconds per trial of {count}, without the start of workers:")
    print(f"  planned      {listed:.3f}   plain Tuner / planned  {default / listed:.1f}")
    print(f"  searched     {searched:.3f}   plain Tuner / searched {default / searched:.1f}")
    print(f"  plain Tuner  {default:.3f}")
    sys.exit(max(listed, searched) > MOST)


if __name__ == "__main__":
    main()
