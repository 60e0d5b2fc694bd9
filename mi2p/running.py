"""Run the trials of a source through Ray Tune: what they run on, and what becomes of them."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from mi2p.cluster import joined, prepare_environment
from mi2p.failures import record_error
from mi2p.options import SweepOptions
from mi2p.preparation import absolute_cache, prepare_stores
from mi2p.progress import Progress
from mi2p.source import Job, Source
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row

if TYPE_CHECKING:
    from mi2p.trainable import Places

Folders = Mapping[str, tuple[Path, Path | None]]
"""Of each data set: its own, and that of weights."""

End = Literal["all", "time", "interrupted"]
"""Why a run ended: all trials are over, its time was, or the user stopped it."""

MAX_FAILURES = 2
SHARED = "all nodes of the cluster must share the results folder"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What trials run on, while the cluster is joined."""

    places: Mapping[str, Places]
    """Of each data set: where its trials find all they need."""
    resources: Mapping[str, float]
    """Of one trial."""
    slots: int
    """How many trials run at a time."""
    join_seconds: float = 0.0
    """That it took to join the cluster, or to start one."""


@contextmanager
def prepared(
    console: Console, options: SweepOptions, todo: Iterable[TrialSpec], folders: Folders
) -> Iterator[Ground]:
    """Join the cluster and make the stores that the trials of `todo` read."""
    prepare_environment()  # before anything imports Ray
    import ray

    start = time.monotonic()
    with joined(options.address):
        seconds = time.monotonic() - start
        offered = ray.cluster_resources()
        resources = trial_resources(options, offered)
        yield Ground(
            places=_places(console, options, todo, folders, gpu="gpu" in resources),
            resources=resources,
            slots=_slots(options, resources, offered),
            join_seconds=seconds,
        )


def run(
    console: Console,
    options: SweepOptions,
    name: str,
    source: Source,
    ground: Ground,
    *,
    deadline: float | None = None,
    trainable: Callable[[Mapping[str, Any]], None] | None = None,
) -> End:
    """Run what `source` gives until it is over, or the time (of time.monotonic) is.

    `name` is that of Tune's own folder; `trainable` stands in for `mi2p.trainable.run_trial`.
    """
    from ray import tune
    from ray.tune import TuneError

    from mi2p.feed import Clock, Feed, Referee, Watcher
    from mi2p.trainable import run_trial

    results = options.results.absolute()
    heard = _Heard(Store(results), Progress(console, source), source, options.max_concurrent)
    is_up = _clock(deadline)

    def is_cut() -> bool:
        return is_up() or heard.broken is not None

    feed = Feed(
        lambda: None if is_cut() else heard.config(ground.places),
        lambda: is_cut() or source.over,
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable or run_trial, dict(ground.resources)),
        tune_config=tune.TuneConfig(
            search_alg=feed,
            num_samples=-1,
            reuse_actors=True,
            scheduler=Referee(heard),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(_scratch(results, name)),
            # A lost worker's trial goes on from its checkpoint. One that raised has its row
            # and ends at once when it is tried again.
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            stop=Clock(is_cut),
            verbose=0,
            callbacks=[Watcher(heard)],
        ),
    )
    try:
        with heard.progress.shown():
            tuner.fit()
    except TuneError as error:
        raise RuntimeError(f"Ray Tune stopped the sweep: {error}") from error
    if heard.broken is not None:
        raise heard.broken
    if source.over and not heard.out:
        return "all"
    return "time" if is_up() else "interrupted"


class _Heard:
    """What Tune tells of trials: shown, told to the source, and made into the rows that no
    worker could write."""

    def __init__(self, store: Store, progress: Progress, source: Source, at_once: int) -> None:
        self.store, self.progress, self.source, self.at_once = store, progress, source, at_once
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

        if self.at_once and len(self.out) >= self.at_once:
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

    def ended(self, trial_id: str, reason: str | None) -> None:
        with self._kept():
            self._ended(trial_id, reason)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.broken = self.broken or error

    def _ended(self, trial_id: str, reason: str | None) -> None:
        job, row = self.out.pop(trial_id), self.store.trial(trial_id)
        metrics = self.last.pop(trial_id, {})
        if row is None and reason is not None:  # its process died: no one else can write a row
            row = record_error(self.store, job.spec, reason, metrics)
        elif row is None and trial_id in self.stopped:
            row = trial_row(job.spec, status="pruned", metrics=metrics)
            self.store.write_trial(row)
            shutil.rmtree(self.store.folder / "checkpoints" / trial_id, ignore_errors=True)
        elif row is None:  # written where the driver cannot see it; a row of ours would be false
            there = f"its row is not in {self.store.folder}"
            row = {"status": "error", "error": f"{there}: {SHARED}"}
        self.source.ended(trial_id, row)
        self.progress.ended(job, row)


def _clock(deadline: float | None) -> Callable[[], bool]:
    """Whether the time is over."""
    return lambda: deadline is not None and time.monotonic() >= deadline


def _places(
    console: Console,
    options: SweepOptions,
    todo: Iterable[TrialSpec],
    folders: Folders,
    *,
    gpu: bool,
) -> dict[str, Places]:
    """Make the stores of each data set; where its trials find all they need."""
    from mi2p.spread import make_store
    from mi2p.trainable import Places

    results = options.results.absolute()
    models: dict[str, Any] = {name: defaultdict(list) for name in folders}
    for spec in todo:
        models[spec.data.name][spec.data].append(spec.model)
    found = {}
    for name, (data, weights) in folders.items():
        places = Places(
            results=str(results),
            cache=str(absolute_cache(options.cache)),
            data=str(data),
            weights=str(weights) if weights else None,
            gpu=gpu,
            checkpoint_activations=options.checkpoint_activations,
        )
        runtime, reports = places.runtime(), results / "bad_images"
        prepare_stores(console, models[name], runtime, reports=reports, make=make_store)
        found[name] = replace(places, prepared=tuple(runtime.prepared.items()))
    return found


def _scratch(results: Path, name: str) -> Path:
    """Tune's own folder, emptied: nothing in it is read again."""
    folder = results / "ray"
    shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def trial_resources(options: SweepOptions, offered: Mapping[str, float]) -> dict[str, float]:
    """CPUs and GPUs of a trial; `ValueError` if no part of the cluster can ever give them."""
    has = offered.get("GPU", 0)
    wanted = options.gpus_per_trial
    if wanted is None:
        wanted = 1.0 if has else 0.0
    if wanted > has:
        raise ValueError(
            f"--gpus-per-trial must be at most what the cluster has, but got {wanted:g} and the "
            f"cluster has {has:g} GPUs"
        )
    return {"cpu": 1, "gpu": wanted} if wanted else {"cpu": 1}


def _slots(
    options: SweepOptions, resources: Mapping[str, float], offered: Mapping[str, float]
) -> int:
    """How many trials run at a time: as many as fit, or as many as the user wants."""
    fit = min(int(offered.get(name.upper(), 0) / amount) for name, amount in resources.items())
    return min(fit, options.max_concurrent or fit)


def tell_price(
    console: Console, ground: Ground, specs: Sequence[TrialSpec], *, search: bool = False
) -> None:
    """Print what these trials would cost, after a short probe of each shape on the cluster."""
    from mi2p.pricing import bytes_of_stores, price, print_price, shapes
    from mi2p.spread import probe_all

    with console.status("probing"):
        probes, startup = probe_all(shapes(specs), ground.places, ground.resources, ground.slots)
    found = price(
        specs,
        probes,
        slots=ground.slots,
        gpus=ground.resources.get("gpu", 0),
        startup=ground.join_seconds + startup,
        store_bytes=bytes_of_stores(ground.places.values()),
    )
    print_price(console, found, search=search)
