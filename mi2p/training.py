"""Train the trials of a plan that are missing, as its rows are declared."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from mi2p.averages import can_be_made, with_parts
from mi2p.checks.trials import check_trials
from mi2p.data import DataUnavailable
from mi2p.filters import chosen_rows, chosen_trials
from mi2p.ground import Folders, prepared, tell_price
from mi2p.mirrored import results_of
from mi2p.options import SweepOptions
from mi2p.plan import Plan
from mi2p.preparation import find_inputs
from mi2p.progress import labels, name_of, print_plan
from mi2p.running import End, run
from mi2p.source import Job, Planned
from mi2p.spec import TrialSpec
from mi2p.store import Store


def trained(
    console: Console, options: SweepOptions, plan: Plan, deadline: float | None
) -> tuple[Plan, End] | None:
    """Run what is missing; the plan, and why the run ended. None if nothing was to be run."""
    store = results_of(options)
    wanted = with_parts(plan, chosen_rows(plan, options.rows))
    forced = forced_trials(plan, options, wanted)
    states = states_to_run(store, options, plan, wanted, forced)
    print_plan(console, plan, states, wanted, store.folder)
    missing = [spec for spec in wanted.values() if states[spec.trial_id] == "to run"]
    # By seed first: after a third of the time there is a table with a seed in every row.
    todo = sorted((s for s in missing if not s.averages), key=lambda spec: spec.seed)
    if options.dry_run:
        _dry_run(console, options, todo)
        return None
    if todo and not agreed(console, options, f"Run {len(todo)} trials?"):
        return None
    folders = find_folders(console, options, todo)
    plan.write(store.folder)
    forget(store, forced)
    for spec in missing:
        store.discard_error(spec.trial_id)
    if not todo:
        return plan, "all"
    with prepared(console, options, todo, folders) as ground:
        operations = check_trials(options, plan, todo, ground)
        # Within a seed the longest first: a long one that begins last keeps the cluster waiting.
        todo.sort(key=lambda spec: (spec.seed, -operations.get(spec.trial_id, 0.0)))
        source = Planned(jobs(plan, todo))
        return plan, run(console, options, plan.name, store, source, ground, deadline=deadline)


def forced_trials(plan: Plan, options: SweepOptions, wanted: Collection[str]) -> list[TrialSpec]:
    """The trials of --force; `ValueError` if --rows leaves out all of them."""
    chosen = chosen_trials(plan, options.force)
    found = [spec for spec in chosen if spec.trial_id in wanted]
    if chosen and not found:
        raise ValueError(
            f"--force {' '.join(options.force)} must choose trials of the rows that are run, but "
            f"none is of --rows {' '.join(options.rows)}"
        )
    return found


def _dry_run(console: Console, options: SweepOptions, todo: Sequence[TrialSpec]) -> None:
    """Tell what trials would cost, if their data is there to be probed."""
    if not todo:
        console.print("nothing to run, nothing to pay")
        return
    try:
        folders = find_folders(console, options, todo)
    except DataUnavailable as error:
        console.print(f"no price without the data: {error}", markup=False, soft_wrap=True)
        return
    with prepared(console, options, todo, folders) as ground:
        tell_price(console, ground, todo)


def states_to_run(
    store: Store,
    options: SweepOptions,
    plan: Plan,
    wanted: Mapping[str, TrialSpec],
    forced: Iterable[TrialSpec],
) -> dict[str, str]:
    """`trial_states`, with those to run that the user wants again, or that can be mended."""
    states = trial_states(store, plan)
    again = [s.trial_id for s in wanted.values() if states[s.trial_id] == "failed"]
    if not options.retry_failed:  # an average costs nothing
        again = [trial_id for trial_id in again if can_be_made(store, wanted[trial_id])]
    again += [spec.trial_id for spec in forced]
    return states | dict.fromkeys(again, "to run")


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


def agreed(console: Console, options: SweepOptions, question: str) -> bool:
    """Whether the user says yes, or cannot be asked."""
    if options.yes or not sys.stdin.isatty():
        return True
    return console.input(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")


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


def forget(store: Store, forced: Collection[TrialSpec]) -> None:
    """Move away what trials have left that are to run again."""
    folder = store.folder / "replaced" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for spec in forced:
        store.set_aside(spec.trial_id, folder)
        store.forget(spec.trial_id)


def jobs(plan: Plan, specs: Sequence[TrialSpec]) -> Iterator[Job]:
    """A job for each of these trials of the plan."""
    names = {s.trial_id: f"{name_of(plan, r)}-seed{s.seed}" for r in plan.rows for s in r.specs}
    told = labels(plan)
    for spec in specs:
        yield Job(spec=spec, label=told[spec.trial_id], name=names[spec.trial_id])
