"""What becomes of trials that Ray Tune runs: stopped, killed, out of time."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mi2p.cluster import WORKER_ENVIRONMENT, joined, prepare_environment
from mi2p.failures import record_error
from mi2p.faults import MOST, Fault, Record
from mi2p.ground import Ground, prepared
from mi2p.options import SweepOptions
from mi2p.placement import Request
from mi2p.progress import Progress
from mi2p.running import _Heard, run
from mi2p.source import Job, Planned
from mi2p.spec import TrialSpec
from mi2p.store import Store, load, load_epochs, trial_row
from mi2p.trainable import Places
from tests.test_source import SPEC


def jobs(*specs: TrialSpec) -> list[Job]:
    return [Job(spec=s, label=f"seed {s.seed}", name=f"cnn-seed{s.seed}") for s in specs]


class Stopping(Planned):
    """Stops the trials that `hopeless` says after any epoch; keeps how each ended."""

    def __init__(self, jobs: list[Job], hopeless: Callable[[str], bool]) -> None:
        super().__init__(jobs)
        self.hopeless = hopeless
        self.ends: dict[str, str] = {}

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        return self.hopeless(trial_id)

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        self.ends[trial_id] = str(row["status"])


class Stage:
    """What a run hears, without Ray."""

    def __init__(self, folder: Path, *specs: TrialSpec, at_once: int = 99) -> None:
        self.store, self.out = Store(folder), io.StringIO()
        self.source = Stopping(jobs(*specs), lambda trial_id: True)
        progress = Progress(Console(file=self.out, width=200), self.source)
        self.heard = _Heard(self.store, progress, self.source, lambda: at_once)
        places = Places(results=str(folder), cache="", data="", weights=None)
        self.places = {spec.data.name: places for spec in specs}

    def next(self) -> str | None:
        config = self.heard.config(self.places)
        return None if config is None else TrialSpec.from_dict(config["spec"]).trial_id

    def status(self, trial_id: str) -> str | None:
        row = self.store.trial(trial_id)
        return None if row is None else str(row["status"])


LONG = replace(SPEC, train=replace(SPEC.train, epochs=3))


def test_a_stopped_trial_leaves_a_pruned_row_with_what_it_reported(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    assert stage.next() == LONG.trial_id
    checkpoints = tmp_path / "checkpoints" / LONG.trial_id
    checkpoints.mkdir(parents=True)
    stage.heard.started(LONG.trial_id)
    assert stage.heard.reported(LONG.trial_id, {"epoch": 1.0, "val/accuracy": 0.25})
    stage.heard.ended(LONG.trial_id, None)
    row = stage.store.trial(LONG.trial_id)
    assert row is not None and row["status"] == "pruned" and row["val/accuracy"] == 0.25
    assert not checkpoints.exists() and stage.source.ends == {LONG.trial_id: "pruned"}
    assert stage.out.getvalue() == "[1/1] seed 0: val accuracy 25.0\n"


def test_a_trial_is_not_stopped_at_its_last_epoch(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    assert not stage.heard.reported(LONG.trial_id, {"epoch": 3.0, "val/accuracy": 0.25})


def test_a_stopped_trial_that_finished_meanwhile_is_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    assert stage.heard.reported(LONG.trial_id, {"epoch": 2.0, "val/accuracy": 0.25})
    stage.store.write_trial(trial_row(LONG, status="done", metrics={"val/accuracy": 0.5}))
    stage.heard.ended(LONG.trial_id, None)
    assert stage.status(LONG.trial_id) == "done"
    assert stage.source.ends == {LONG.trial_id: "done"}


def test_a_trial_whose_process_died_leaves_an_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    stage.heard.ended(LONG.trial_id, "the worker died")
    assert stage.status(LONG.trial_id) == "error"
    assert (tmp_path / "errors" / f"{LONG.trial_id}.txt").read_text() == "the worker died"


LOST = Fault(kind="node", what="node 10.0.0.2 was lost")


def test_what_befell_a_trial_is_in_its_row(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    Record(tmp_path, LONG.trial_id).begins()
    stage.heard.reported(LONG.trial_id, {"epoch": 1.0, "val/accuracy": 0.25})
    stage.heard.interrupted(LONG.trial_id, LOST)
    assert stage.status(LONG.trial_id) is None
    assert stage.out.getvalue() == "interrupted: seed 0: node 10.0.0.2 was lost; it will go on\n"
    Record(tmp_path, LONG.trial_id).begins()
    stage.heard.reported(LONG.trial_id, {"epoch": 2.0, "val/accuracy": 0.25})  # stopped
    stage.heard.ended(LONG.trial_id, None)
    row = stage.store.trial(LONG.trial_id)
    assert row is not None and row["status"] == "pruned"
    told = [{"kind": "node", "what": "node 10.0.0.2 was lost", "epoch": 1}]
    assert json.loads(row["faults"]) == told
    assert not Record(tmp_path, LONG.trial_id).path.exists()


@pytest.mark.parametrize("kind", ["process", "node"])
def test_a_trial_that_is_interrupted_too_often_is_given_up(tmp_path: Path, kind: Any) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    for count in range(1 + MOST[kind]):
        assert stage.status(LONG.trial_id) is None, count
        stage.heard.interrupted(LONG.trial_id, Fault(kind=kind, what="it died"))
    row = stage.store.trial(LONG.trial_id)  # the next worker finds it and does nothing
    assert row is not None and row["status"] == "error"
    assert row["error"] == f"gave up after {1 + MOST[kind]} faults of kind {kind}: it died"
    assert len(json.loads(row["faults"])) == 1 + MOST[kind]
    stage.heard.interrupted(LONG.trial_id, LOST)  # of the worker that would have found it
    assert stage.store.trial(LONG.trial_id) == row
    assert stage.heard.broken is None
    last = stage.out.getvalue().splitlines()[-1]
    assert last == f"interrupted: seed 0: {row['error']}"
    assert not stage.store.checkpoints(LONG.trial_id).exists()


def test_an_error_of_the_trials_own_is_no_fault(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    record_error(stage.store, LONG, ValueError("boom"), {})
    stage.heard.interrupted(LONG.trial_id, Fault(kind="process", what="ValueError('boom')"))
    assert Record(tmp_path, LONG.trial_id).faults() == [] and stage.out.getvalue() == ""


def test_a_node_that_does_not_share_the_results_ends_the_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    stage.heard.interrupted(LONG.trial_id, Fault(kind="apart", what="/results on h2 is another"))
    assert str(stage.heard.broken) == "/results on h2 is another"
    assert stage.status(LONG.trial_id) is None


def test_a_results_folder_that_cannot_be_written_to_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stage = Stage(tmp_path, LONG)
    stage.next()
    monkeypatch.setattr("mi2p.files.write_whole", full)
    stage.heard.interrupted(LONG.trial_id, Fault(kind="storage", what="No space left on device"))
    assert isinstance(stage.heard.broken, OSError)
    assert "Finished trials are kept" in str(stage.heard.broken)
    assert stage.status(LONG.trial_id) is None
    assert not Record(tmp_path, LONG.trial_id).path.exists()


def test_a_row_that_the_driver_cannot_see_is_not_made_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, LONG)
    stage.next()
    stage.heard.ended(LONG.trial_id, None)
    assert stage.status(LONG.trial_id) is None
    assert "must see the same results folder" in stage.out.getvalue()


def test_no_more_trials_at_a_time_than_wanted(tmp_path: Path) -> None:
    first, second = LONG, replace(LONG, seed=1)
    stage = Stage(tmp_path, first, second, at_once=1)
    assert stage.next() == first.trial_id
    assert stage.next() is None and not stage.source.over
    stage.heard.ended(first.trial_id, "boom")
    assert stage.next() == second.trial_id


def descendants(ancestor: int) -> list[tuple[int, str]]:
    """Pid and command line of the processes that `ancestor` started, at any depth."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, name = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        parents[int(folder.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        names[int(folder.name)] = name

    def started(pid: int) -> bool:
        while pid in parents and pid != ancestor:
            pid = parents[pid]
        return pid == ancestor

    return [(pid, name) for pid, name in names.items() if started(pid)]


def tiny(lr: float, epochs: int) -> TrialSpec:
    """A trial on a few drawings."""
    return replace(
        SPEC,
        data=replace(SPEC.data, image_size=64, limit=12),
        train=replace(SPEC.train, lr=lr, epochs=epochs, batch_size=8),
    )


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", [1, 99])
def test_stopped_and_killed_trials(drawings: Path, tmp_path: Path, num_kills: int) -> None:
    """One trial is stopped early; the other's process dies, as if memory had run out."""
    good, other = tiny(1e-3, 100), tiny(2e-3, 100)
    folder = tmp_path / "results"
    options = SweepOptions(results=folder, cache=tmp_path / "cache", data=drawings, yes=True)
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 150
        last = folder / "checkpoints" / good.trial_id / "last.pt"
        while len(killed) < num_kills and time.monotonic() < deadline:
            time.sleep(0.1)
            if Store(folder).trial(other.trial_id) is None or not last.exists():
                continue
            if Store(folder).trial(good.trial_id) is not None:
                return
            for pid, name in descendants(os.getpid()):
                if name.startswith("ray::ImplicitFunc") and pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    source = Stopping(jobs(good, other), lambda trial_id: trial_id == other.trial_id)
    killer = threading.Thread(target=kill)
    killer.start()
    console, folders = Console(quiet=True), {"openclipart": (drawings, None)}
    with prepared(console, options, [good, other], folders) as ground:
        assert ground.slots >= 1
        end = run(console, options, "small", Store(folder), source, ground)
    killer.join()
    assert end == "all" and killed
    pruned, row = Store(folder).trial(other.trial_id), Store(folder).trial(good.trial_id)
    assert pruned is not None and pruned["status"] == "pruned"
    assert pruned["val/accuracy"] is not None and pruned["test/accuracy"] is None
    # A worker that died is replaced twice; the trial goes on from its checkpoint.
    assert row is not None and row["status"] == ("done" if num_kills == 1 else "error")
    assert source.ends == {good.trial_id: row["status"], other.trial_id: "pruned"}
    if num_kills == 1:
        assert load_epochs(folder)["epoch"].tolist() == list(range(1, 101))


@pytest.mark.slow
def test_a_stopped_trial_on_two_gpus_leaves_them_to_the_next(
    drawings: Path, tmp_path: Path
) -> None:
    import ray

    hopeless, good = tiny(2e-3, 40), tiny(1e-3, 2)
    folder = tmp_path / "results"
    places = Places(
        results=str(folder),
        cache=str(tmp_path / "cache"),
        data=str(drawings),
        weights=None,
        gpus=2.0,
    )
    ground = Ground(places={"openclipart": places}, request=Request(gpus=2), slots=1)
    source = Stopping(jobs(hopeless, good), lambda trial_id: trial_id == hopeless.trial_id)
    prepare_environment()
    ray.init(
        address="local",
        num_cpus=3,
        num_gpus=2,  # pretended
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
    )
    try:
        end = run(Console(quiet=True), SweepOptions(), "pair", Store(folder), source, ground)
    finally:
        ray.shutdown()
    assert end == "all"
    assert source.ends == {hopeless.trial_id: "pruned", good.trial_id: "done"}
    rows = load(folder).set_index("trial_id")
    assert rows.loc[good.trial_id, "processes"] == 2
    # It trained no further than it was heard.
    assert not Store(folder).checkpoints(hopeless.trial_id).exists()


def slow_trial(config: Mapping[str, Any]) -> None:
    """Reports an epoch; that of seed 0 leaves its row, the others take long."""
    from ray import tune

    trial = config["trial"]
    spec = TrialSpec.from_dict(trial["spec"])
    tune.report({"epoch": 1.0, "val/accuracy": 0.5})
    if spec.seed:
        time.sleep(300)
    store = Store(Path(trial["places"]["results"]))
    store.write_trial(trial_row(spec, status="done", metrics={"val/accuracy": 0.5}))


@pytest.mark.slow
def test_when_the_time_is_over_running_trials_are_stopped_without_a_row(tmp_path: Path) -> None:
    specs = [replace(LONG, seed=seed) for seed in range(3)]
    options = SweepOptions(results=tmp_path / "results", max_concurrent=1)
    places = Places(results=str(options.results), cache="", data="", weights=None)
    ground = Ground(places={"openclipart": places}, slots=1)
    source = Planned(jobs(*specs))
    with joined(None):
        start = time.monotonic()
        end = run(
            Console(quiet=True),
            options,
            "small",
            Store(options.results),
            source,
            ground,
            deadline=start + 20,
            trainable=slow_trial,
        )
    assert end == "time" and time.monotonic() - start < 120
    assert load(options.results)["seed"].tolist() == [0]
    assert not source.over  # the third was not begun


class Full(Planned):
    """Cannot write down how a trial ended."""

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        raise OSError("no space left on device")


@pytest.mark.slow
def test_what_a_source_raises_ends_the_run_as_what_it_is(tmp_path: Path) -> None:
    specs = [replace(LONG, seed=seed) for seed in (0, 1)]
    options = SweepOptions(results=tmp_path / "results", max_concurrent=1)
    places = Places(results=str(options.results), cache="", data="", weights=None)
    ground = Ground(places={"openclipart": places}, slots=1)
    with joined(None), pytest.raises(OSError, match="no space left on device"):
        run(
            Console(quiet=True),
            options,
            "small",
            Store(options.results),
            Full(jobs(*specs)),
            ground,
            trainable=slow_trial,
        )
    assert load(options.results)["seed"].tolist() == [0]
