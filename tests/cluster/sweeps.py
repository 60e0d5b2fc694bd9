"""A sweep to be disturbed: its command, what to look at meanwhile, and what must not change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
NUM_TRIALS = 11
SLOW_DISK = """
import sys, time

def wait(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("/last.pt"):
        time.sleep(2.0)

sys.addaudithook(wait)
"""
"""A `sitecustomize` module: a checkpoint takes two seconds, so that tiny trials can be hit."""


def write_slow_disk(folder: Path) -> Path:
    """Make `folder`, for PYTHONPATH, and return it."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(SLOW_DISK)
    return folder


def command(data: str, folder: str, cache: str, *more: str) -> list[str]:
    """The sweep of Table 5 in --smoke, but with an epoch to resume from."""
    return [
        *(sys.executable, str(ROOT / "sweeps/ablation_layers.py"), "--smoke", "--yes"),
        *("--set", "train.epochs=9", "--visual", "tiny_densenet", "--textual", "tiny_bert"),
        *("--data", data, "--results", f"{folder}/results", "--cache", cache, *more),
    ]


class Watched:
    """What a sweep leaves in its results folder, looked at while it runs."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.first_seen: dict[str, bytes] = {}
        """Each trial's row file as it was when it was first there, by the trial's id."""

    def rows(self) -> dict[str, bytes]:
        """Row files by their trials' ids; `AssertionError` if one has changed since it was first
        seen: its trial ran twice."""
        now = {path.stem: path.read_bytes() for path in self._files("trials/*.parquet")}
        changed = [name for name, row in self.first_seen.items() if now.get(name) != row]
        assert not changed, f"rows of finished trials have changed: {changed}"
        self.first_seen = now
        return now

    def records(self) -> dict[str, dict[str, Any]]:
        """The rows themselves."""
        found = {}
        for trial_id in self.rows():
            path = self.results / f"trials/{trial_id}.parquet"
            (found[trial_id],) = pq.read_table(path).to_pylist()
        return found

    def checkpoints(self) -> dict[str, int]:
        """When each trial that runs kept its last checkpoint, in ns of the file's time."""
        found = {}
        for path in self._files("checkpoints/*/last.pt"):
            try:
                found[path.parent.name] = path.stat().st_mtime_ns
            except FileNotFoundError:  # its trial has just ended
                continue
        return found

    def bits(self) -> dict[str, bytes]:
        """What must not depend on faults: the table, predictions and epochs."""
        kinds = ("tables/*.tex", "predictions/*.parquet", "epochs/*.parquet")
        files = [path for kind in kinds for path in self._files(kind)]
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}

    def _files(self, pattern: str) -> list[Path]:
        return sorted(self.results.glob(pattern))


def wait(what: Callable[[], Any], message: Callable[[], str], *, seconds: float = 400) -> Any:
    """What `what` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"after {seconds} s: {message()}"
        time.sleep(0.3)
    return found
