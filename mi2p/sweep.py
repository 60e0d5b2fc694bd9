"""Run what is missing of a plan on a Ray cluster, then make its table.

What is done is decided by the rows in the results folder, never by Tune's own state: the same
command again runs only what is missing, and a trial that was killed goes on from its checkpoint.
Averages of trials (`mi2p.averages`) are made by the driver when Tune is over.
"""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from rich.console import Console

from mi2p.averages import average, can_be_made, with_parts
from mi2p.cluster import joined, prepare_environment
from mi2p.data import DataUnavailable
from mi2p.failures import record_error
from mi2p.options import OptionsT, SweepOptions, chosen_rows
from mi2p.plan import Plan
from mi2p.preparation import absolute_cache, find_inputs, prepare_stores
from mi2p.progress import (
    Progress,
    labels,
    make_console,
    name_of,
    outcome,
    print_failures,
    print_plan,
)
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row

if TYPE_CHECKING:
    from mi2p.trainable import Places

WriteTable = Callable[[Path, Plan], list[Path]]
"""Makes the table's files from a results folder and its plan; the first path is the LaTeX."""

Folders = Mapping[str, tuple[Path, Path | None]]
"""Of each data set: its own, and that of weights."""

INTERRUPTED = 130
MAX_FAILURES = 2
SHARED = "all nodes of the cluster must share the results folder"


def main(options: OptionsT, declare: Callable[[OptionsT], Plan], write_table: WriteTable) -> Never:
    """Plan, run, tabulate; ends the process with 0, 1 (a trial failed) or 130 (interrupted)."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show ± is no failure
    console = make_console()
    try:
        status = _main(console, options, declare(options), write_table)
    except (KeyboardInterrupt, EOFError):
        console.print("interrupted; finished trials are kept, the same command goes on")
        status = INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        told = "\n".join([str(error), *getattr(error, "__notes__", [])])
        console.print(f"error: {told}", style="red", markup=False, soft_wrap=True)
        status = 1
    sys.exit(status)


def _main(console: Console, options: SweepOptions, plan: Plan, write_table: WriteTable) -> int:
    results = options.results.absolute()
    store = Store(results)
    wanted = with_parts(plan, chosen_rows(plan, options.rows))
    states = trial_states(store, plan)
    again = [s.trial_id for s in wanted.values() if states[s.trial_id] == "failed"]
    if not options.retry_failed:  # an average costs nothing
        again = [trial_id for trial_id in again if can_be_made(store, wanted[trial_id])]
    states |= dict.fromkeys(again, "to run")
    print_plan(console, plan, states, wanted)
    if options.dry_run:
        return 0
    missing = [spec for spec in wanted.values() if states[spec.trial_id] == "to run"]
    # By seed first: after a third of the time there is a table with a seed in every row.
    todo = sorted((s for s in missing if not s.averages), key=lambda spec: spec.seed)
    if todo and not options.yes and not _agreed(console, len(todo)):
        return 0
    folders = find_folders(console, options, todo)
    plan.write(results)
    for spec in missing:
        store.discard_error(spec.trial_id)
    interrupted = bool(todo) and not run(console, options, plan, todo, folders)
    for spec, row in average(store, wanted.values()):
        told = f"averaged: {labels(plan)[spec.trial_id]}: {outcome(row)}"
        console.print(told, markup=False)
    print_failures(console, options.results, plan)
    _make_table(console, options.results, plan, write_table)
    if interrupted:
        console.print("interrupted; finished trials are kept, the same command goes on")
        return INTERRUPTED
    return _closing(console, options, trial_states(store, plan), wanted)


def trial_states(store: Store, plan: Plan) -> dict[str, str]:
    """`done`, `failed` or `to run` for each trial of the plan, by its row."""
    states = {}
    for spec in plan.specs():
        row = store.trial(spec.trial_id)
        if row is None:
            states[spec.trial_id] = "to run"
        else:
            states[spec.trial_id] = "failed" if row["status"] == "error" else "done"
    return states


def _agreed(console: Console, count: int) -> bool:
    if not sys.stdin.isatty():
        return True
    return console.input(f"Run {count} trials? [Y/n] ").strip().lower() in ("", "y", "yes")


def find_folders(console: Console, options: SweepOptions, todo: Iterable[TrialSpec]) -> Folders:
    """What `find_inputs` finds for each data set of `todo`; raises what that raises."""
    found: dict[str, tuple[Path, Path | None]] = {}
    missing: list[DataUnavailable] = []
    names = dict.fromkeys(spec.data.name for spec in todo)
    for name in names:
        try:
            found[name] = find_inputs(
                console, name, data=options.data, weights=options.weights, cache=options.cache
            )
        except DataUnavailable as error:
            missing.append(error)
    if missing:
        first = next(name for name in names if name not in found)
        for other in found:
            missing[0].add_note(f"--dataset {other} does without {first}.")
        raise missing[0]
    return found


def run(
    console: Console,
    options: SweepOptions,
    plan: Plan,
    todo: Sequence[TrialSpec],
    folders: Folders,
    scheduler: Any = None,
) -> bool:
    """Run trials through Ray Tune until all are over; False if the user interrupted.

    Stores that trials read are made first. `scheduler` may stop trials early (a Tune scheduler);
    those leave a `pruned` row.
    """
    prepare_environment()  # before anything imports Ray
    import ray
    from ray import tune
    from ray.tune import TuneError

    from mi2p.trainable import Watcher, run_trial, tune_config

    results, progress = options.results.absolute(), Progress(console, plan, len(todo))
    heard = _Heard(Store(results), progress, prunes=scheduler is not None)
    names = {s.trial_id: f"{name_of(plan, r)}-seed{s.seed}" for r in plan.rows for s in r.specs}
    with joined(options.address):
        resources = _resources(options, ray.cluster_resources())
        places = _prepared(console, options, todo, folders, gpu="gpu" in resources)
        trials = [tune_config(s, names[s.trial_id], places[s.data.name]) for s in todo]
        tuner = tune.Tuner(
            tune.with_resources(run_trial, resources),
            param_space={"trial": tune.grid_search(trials)},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=options.max_concurrent or None,
                reuse_actors=True,
                scheduler=scheduler,
            ),
            run_config=tune.RunConfig(
                name=plan.name,
                storage_path=str(_scratch(results, plan.name)),
                # A lost worker's trial goes on from its checkpoint. One that raised has its row
                # and ends at once when it is tried again.
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                verbose=0,
                callbacks=[Watcher(progress.started, heard.reported, heard.ended)],
            ),
        )
        try:
            with progress.shown():
                tuner.fit()
        except TuneError as error:
            raise RuntimeError(f"Ray Tune stopped the sweep: {error}") from error
    return progress.done == len(todo)


class _Heard:
    """What Tune tells of trials: shown, and made into the rows that no worker could write."""

    def __init__(self, store: Store, progress: Progress, *, prunes: bool) -> None:
        self.store, self.progress, self.prunes = store, progress, prunes
        self.last: dict[str, Mapping[str, Any]] = {}

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> None:
        """A trial finished an epoch."""
        if "epoch" in record:  # Tune repeats its own keys when a function ends
            self.last[trial_id] = record
            self.progress.reported(trial_id, record)

    def ended(self, trial_id: str, reason: str | None) -> None:
        """A trial is over; `reason` says why one has failed."""
        row, spec = self.store.trial(trial_id), self.progress.specs[trial_id]
        metrics = self.last.get(trial_id, {})
        if row is None and reason is not None:  # its process died: no one else can write a row
            row = record_error(self.store, spec, reason, metrics)
        elif row is None and self.prunes:
            row = trial_row(spec, status="pruned", metrics=metrics)
            self.store.write_trial(row)
            shutil.rmtree(self.store.folder / "checkpoints" / trial_id, ignore_errors=True)
        elif row is None:  # written where the driver cannot see it; a row of ours would be false
            there = f"its row is not in {self.store.folder}"
            row = {"status": "error", "error": f"{there}: {SHARED}"}
        self.progress.ended(trial_id, row)


def _prepared(
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


def _resources(options: SweepOptions, offered: Mapping[str, float]) -> dict[str, float]:
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


def _make_table(console: Console, results: Path, plan: Plan, write_table: WriteTable) -> None:
    if "done" not in trial_states(Store(results), plan).values():
        console.print("no finished trial, no table")
        return
    paths = write_table(results, plan)
    for path in paths:
        if path.suffix == ".md":
            print(path.read_text(encoding="utf-8"))
    console.print(f"table: {paths[0]}", soft_wrap=True)


def _closing(
    console: Console, options: SweepOptions, states: Mapping[str, str], wanted: Collection[str]
) -> int:
    """What to type next, and the exit status."""
    left = {states[trial_id] for trial_id in wanted} - {"done"}
    if "failed" in left:
        console.print("next: the same command with --retry-failed runs the failed trials again")
    elif left:
        console.print(f"some trials left no row in {options.results}: {SHARED}", soft_wrap=True)
    else:
        folder = options.results / "tensorboard"
        console.print(f"next: tensorboard --logdir {folder}", soft_wrap=True)
    return 1 if left else 0
