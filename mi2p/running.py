"""Run the trials of a source through Ray Tune: what becomes of them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from mi2p.failures import record_error
from mi2p.faults import Fault
from mi2p.files import check_writable
from mi2p.ground import Ground, Room
from mi2p.nodes import SHARED
from mi2p.options import SweepOptions
from mi2p.orphans import Orphans
from mi2p.progress import Progress
from mi2p.source import Job, Source
from mi2p.store import Store, trial_row

if TYPE_CHECKING:
    from mi2p.trainable import Places

End = Literal["all", "time", "interrupted"]
"""Why a run ended: all trials are over, its time was, or the user stopped it."""

MAX_FAILURES = 100
"""After which Tune gives a trial up: never before `mi2p.faults.MOST` has."""
MAX_PENDING = 256
"""Trials that wait for a place at a time; an autoscaler starts nodes for as many."""


def run(
    console: Console,
    options: SweepOptions,
    name: str,
    store: Store,
    source: Source,
    ground: Ground,
    *,
    deadline: float | None = None,
    trainable: Callable[[Mapping[str, Any]], None] | None = None,
) -> End:
    """Run what `source` gives until it is over, or the time (of time.monotonic) is.

    `name` is what Tune calls the run, `store` what trials leave their rows in; `trainable`
    stands in for `mi2p.trainable.run_trial`.
    `OSError` when the results folder cannot be written to: what is finished is kept.
    """
    from ray import tune
    from ray.tune import TuneError

    from mi2p.feed import Clock, Feed, Referee, Watcher
    from mi2p.trainable import run_trial, trial_resources

    room = Room(options, ground)
    heard = _Heard(store, Progress(console, source), source, room)
    is_up = _clock(deadline)

    def is_cut() -> bool:
        return is_up() or heard.broken is not None

    feed = Feed(
        lambda: None if is_cut() else heard.config(ground.places),
        lambda: is_cut() or source.over,
    )
    # With one at a time, as Tune has it, workers start one after another.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(room(), MAX_PENDING))
    # Tune keeps notes on its trials: the driver's own, and never read again.
    with tempfile.TemporaryDirectory(prefix="mi2p-tune-") as scratch, heard.progress.shown():
        tuner = tune.Tuner(
            tune.with_resources(trainable or run_trial, trial_resources(ground.request)),
            tune_config=tune.TuneConfig(
                search_alg=feed,
                num_samples=-1,
                # Who waits for the processes of a trial starts in no time, and ends with them.
                reuse_actors=ground.request.workers == 1,
                scheduler=Referee(heard),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=scratch,
                # A lost worker's trial goes on from its checkpoint. One that raised has its row
                # and ends at once when it is tried again.
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                stop=Clock(is_cut, Orphans()) if ground.request.workers > 1 else Clock(is_cut),
                verbose=0,
                callbacks=[Watcher(heard)],
            ),
        )
        try:
            tuner.fit()
        except TuneError as error:
            if heard.broken is None:
                raise RuntimeError(f"Ray Tune stopped the sweep: {error}") from error
    if heard.broken is not None:
        raise heard.broken
    if source.over and not heard.out:
        return "all"
    return "time" if is_up() else "interrupted"


class _Heard:
    """What Tune tells of trials: shown, told to the source, and made into the rows that no
    worker could write."""

    def __init__(
        self, store: Store, progress: Progress, source: Source, room: Callable[[], int]
    ) -> None:
        self.store, self.progress, self.source, self.room = store, progress, source, room
        self.out: dict[str, Job] = {}
        """Jobs that were handed out and are not over, by their trials' ids."""
        self.last: dict[str, Mapping[str, Any]] = {}
        self.stopped: set[str] = set()
        self.broken: Exception | None = None
        """What was raised first while a trial was told of, such as `OSError` for a full disk. Tune
        takes it for an error of the trial's own, and would start that again."""

    def config(self, places: Mapping[str, Places]) -> Mapping[str, Any] | None:
        """What Tune hands to a worker for the next job, if there is one now."""
        from mi2p.trainable import tune_config

        if len(self.out) >= self.room():
            return None
        job = self.source.next()
        if job is None:
            return None
        self.out[job.spec.trial_id] = job
        return tune_config(job.spec, job.name, places[job.spec.data.name])

    def started(self, trial_id: str) -> None:
        with self._kept():
            self.progress.started(self.out[trial_id])

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        with self._kept():
            self.last[trial_id] = record
            self.progress.reported(trial_id, record)
            stop = self.source.reported(trial_id, record)
            # At its last epoch a trial is done; stopping it then would lose that.
            if stop and record["epoch"] < self.out[trial_id].spec.train.epochs:
                self.stopped.add(trial_id)
        return trial_id in self.stopped

    def interrupted(self, trial_id: str, fault: Fault) -> None:
        with self._kept():
            self._interrupted(trial_id, fault)

    def ended(self, trial_id: str, reason: str | None) -> None:
        with self._kept():
            self._ended(trial_id, reason)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.broken = self.broken or error

    def _interrupted(self, trial_id: str, fault: Fault) -> None:
        """Tune starts the trial again; it finds its row there if it is to go no further."""
        if self.store.fetched(trial_id) is not None:  # what it raised is its result
            return
        check_writable(self.store.folder)
        if fault.kind == "apart":
            raise RuntimeError(fault.what)
        job, record = self.out[trial_id], self.store.record(trial_id)
        metrics = self.last.get(trial_id, {})
        record.add(fault, int(metrics.get("epoch", 0)))
        reason = record.too_many()
        self.progress.interrupted(job, reason or f"{fault.what}; it will go on")
        if reason is not None:
            self._failed(job, reason)

    def _failed(self, job: Job, reason: str) -> dict[str, Any]:
        metrics = self.last.get(job.spec.trial_id, {})
        row = record_error(self.store, job.spec, reason, metrics)
        self._hand_over(job)
        return row

    def _hand_over(self, job: Job) -> None:
        self.store.hand_over(job.spec.trial_id)
        self.store.forget(job.spec.trial_id)

    def _ended(self, trial_id: str, reason: str | None) -> None:
        job, row = self.out.pop(trial_id), self.store.fetched(trial_id)
        if row is None and reason is not None:  # its process died: no one else can write a row
            check_writable(self.store.folder)
            row = self._failed(job, reason)
        elif row is None and trial_id in self.stopped:
            row = self._pruned(job)
        elif row is None:  # written where the driver cannot see it; a row of ours would be false
            there = f"its row is not in {self.store.folder}"
            row = {"status": "error", "error": f"{there}: {SHARED}"}
        self.last.pop(trial_id, None)
        self.source.ended(trial_id, row)
        self.progress.ended(job, row)

    def _pruned(self, job: Job) -> dict[str, Any]:
        trial_id = job.spec.trial_id
        row = trial_row(
            job.spec,
            status="pruned",
            metrics=self.last.get(trial_id, {}),
            environment={"faults": self.store.record(trial_id).text()},
        )
        self.store.write_trial(row)
        self._hand_over(job)
        return row


def _clock(deadline: float | None) -> Callable[[], bool]:
    """Whether the time is over."""
    return lambda: deadline is not None and time.monotonic() >= deadline
