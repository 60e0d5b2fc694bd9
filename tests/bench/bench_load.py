"""How long a results folder takes to load: `python -m tests.bench.bench_load --trials 10000`.

Makes as many trials with epochs, and loads them as a first reader does, who has no index, and as
all others do; then as one does beside a sweep that goes on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.store import Store, load, load_epochs, trial_row

SPEC = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(
        name="me_cnn",
        visual="densenet121",
        textual="minilm",
        units=UnitSpec(attach=(1, 2, 3, 4)),
    ),
    train=TrainSpec(lr=1e-4, epochs=3),
)
EPOCHS = 20


def make(results: Path, trials: int, *, first: int = 0) -> None:
    """Trials with these seeds, done an hour ago: their files have settled."""
    store, then = Store(results), time.time() - 3600
    history = [{"epoch": float(epoch), "train/loss": 1 / epoch} for epoch in range(1, EPOCHS + 1)]
    for seed in range(first, first + trials):
        spec = replace(SPEC, seed=seed)
        metrics = {"val/accuracy": seed % 89 / 89, "test/accuracy": seed % 97 / 97}
        store.write_epochs(spec.trial_id, history)
        store.write_trial(trial_row(spec, status="done", metrics=metrics))
        for kind in ("trials", "epochs"):
            os.utime(results / kind / f"{spec.trial_id}.parquet", (then, then))


def measure(what: str, read: Callable[[], Any]) -> None:
    """Print the seconds and rows of a load."""
    wall, cpu = time.perf_counter(), time.process_time()
    rows = len(read())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:44} {rows:8,} rows {wall:7.2f} s ({cpu:.2f} s of CPU)", flush=True)


def main() -> None:
    """Make, measure, and delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        start = time.perf_counter()
        make(results, trials)
        print(f"made {trials:,} trials in {time.perf_counter() - start:.0f} s", flush=True)
        for name, read in (("load", load), ("load_epochs", load_epochs)):
            measure(f"{name}, first", lambda read=read: read(results))  # type: ignore[misc]
            for _ in range(3):
                measure(f"{name}, again", lambda read=read: read(results))  # type: ignore[misc]
        for size in (1, 100, 1000):
            make(results, size, first=trials)
            trials += size
            measure(f"load, after {size:,} more trials", lambda: load(results))
        size_of_index = sum(path.stat().st_size for path in (results / "index").glob("*"))
        print(f"the index has {size_of_index / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
