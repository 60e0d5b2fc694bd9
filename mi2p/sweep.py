"""Run what is missing of a plan on a Ray cluster, then make its table.

What is done is decided by the rows in the results folder, never by Tune's own state: the same
command again runs only what is missing, and a trial that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Never, TypeVar

from rich.console import Console

from mi2p.cluster import joined, prepare_environment
from mi2p.options import SweepOptions, chosen_rows
from mi2p.plan import Plan
from mi2p.preparation import absolute_cache, find_inputs, prepare_stores
from mi2p.progress import Progress, make_console, print_plan
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row

WriteTable = Callable[[Path, Plan], list[Path]]
"""Makes the table's files from a results folder and its plan; the first path is the LaTeX."""

OptionsT = TypeVar("OptionsT", bound=SweepOptions)

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
    rows = chosen_rows(plan, options.rows)
    wanted = {spec.trial_id: spec for row in rows for spec in row.specs}
    states = trial_states(store, plan)
    if options.retry_failed:
        again = (key for key in wanted if states[key] == "failed")
        states |= dict.fromkeys(again, "to run")
    print_plan(console, plan, states, {row.key for row in rows})
    # By seed first: after a third of the time there is a table with a seed in every row.
    ordered = sorted(wanted.values(), key=lambda spec: spec.seed)
    todo = [spec for spec in ordered if states[spec.trial_id] == "to run"]
    if options.dry_run:
        return 0
    interrupted = False
    if todo:
        if not options.yes and not _agreed(console, len(todo)):
            return 0
        folders = find_inputs(
            console,
            options.dataset,
            data=options.data,
            weights=options.weights,
            cache=options.cache,
        )
        plan.write(results)
        for spec in todo:
            store.discard_error(spec.trial_id)
        interrupted = not run(console, options, plan, todo, folders)
    plan.write(results)
    _print_failures(console, options.results, plan)
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


def run(
    console: Console,
    options: SweepOptions,
    plan: Plan,
    todo: list[TrialSpec],
    folders: tuple[Path, Path | None],
    scheduler: Any = None,
) -> bool:
    """Run trials through Ray Tune until all are over; False if the user interrupted.

    `folders` are those of the data set and of weights. Stores that trials read are made first.
    `scheduler` may stop trials early (a Tune scheduler); those leave a `pruned` row.
    """
    prepare_environment()  # before anything imports Ray
    import ray
    from ray import tune
    from ray.tune import TuneError

    from mi2p.spread import make_store
    from mi2p.trainable import Places, Watcher, record_error, run_trial, tune_config

    results = options.results.absolute()
    store, progress = Store(results), Progress(console, plan, len(todo))
    keys = {spec.trial_id: row.key for row in plan.rows for spec in row.specs}
    labels = {spec.trial_id: f"{keys[spec.trial_id]}-seed{spec.seed}" for spec in todo}
    last: dict[str, Mapping[str, Any]] = {}

    def reported(trial_id: str, record: Mapping[str, Any]) -> None:
        if "epoch" in record:  # Tune repeats its own keys when a function ends
            last[trial_id] = record
            progress.reported(trial_id, record)

    def ended(trial_id: str, reason: str | None) -> None:
        row = store.trial(trial_id)
        spec, metrics = progress.specs[trial_id], last.get(trial_id, {})
        if row is None and reason is not None:  # its process died: no one else can write a row
            row = record_error(store, spec, reason, metrics)
        elif row is None and scheduler is not None:
            row = trial_row(spec, status="pruned", metrics=metrics)
            store.write_trial(row)
            shutil.rmtree(results / "checkpoints" / trial_id, ignore_errors=True)
        elif row is None:  # written where the driver cannot see it; a row of ours would be false
            row = {"status": "error", "error": f"its row is not in {results}: {SHARED}"}
        progress.ended(trial_id, row)

    with joined(options.address):
        resources = _resources(options, ray.cluster_resources())
        places = Places(
            results=str(results),
            cache=str(absolute_cache(options.cache)),
            data=str(folders[0]),
            weights=str(folders[1]) if folders[1] else None,
            gpu="gpu" in resources,
        )
        runtime, models = places.runtime(), defaultdict(list)
        for spec in todo:
            models[spec.data].append(spec.model)
        prepare_stores(console, models, runtime, reports=results / "bad_images", make=make_store)
        places = replace(places, prepared=tuple(runtime.prepared.items()))
        tuner = tune.Tuner(
            tune.with_resources(run_trial, resources),
            param_space={
                "trial": tune.grid_search(
                    [tune_config(spec, labels[spec.trial_id], places) for spec in todo]
                )
            },
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
                callbacks=[Watcher(progress.started, reported, ended)],
            ),
        )
        try:
            with progress.shown():
                tuner.fit()
        except TuneError as error:
            raise RuntimeError(f"Ray Tune stopped the sweep: {error}") from error
    return progress.done == len(todo)


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


def _print_failures(console: Console, results: Path, plan: Plan) -> None:
    store = Store(results)
    for row in plan.rows:
        for spec in row.specs:
            found = store.trial(spec.trial_id)
            if found is not None and found["status"] == "error":
                trace = results / "errors" / f"{spec.trial_id}.txt"
                console.print(
                    f"failed: {row.key} seed {spec.seed}: {found['error']}\n  {trace}",
                    style="red",
                    markup=False,
                    soft_wrap=True,
                )


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
