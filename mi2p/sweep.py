"""What every sweep script does: run what is missing of a plan, then make its table.

What is done is decided by the rows in the results folder, never by Tune's own state: the same
command again runs only what is missing, and a trial that was killed goes on from its checkpoint.
Rows are trained as they are declared (`mi2p.training`) or, with `--search`, as a search on
validation chooses (`mi2p.search.tuning`). Averages of trials are made when Tune is over.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Never

from rich.console import Console

from mi2p.averages import average, with_parts
from mi2p.commands import commands
from mi2p.durations import parse_duration
from mi2p.filters import chosen_rows
from mi2p.mirrored import results_of
from mi2p.nodes import SHARED
from mi2p.options import OptionsT, SweepOptions
from mi2p.overrides import overridden
from mi2p.plan import Plan, read_plan
from mi2p.progress import labels, make_console, outcome, print_failures
from mi2p.running import End
from mi2p.search.tuning import search_name, searched
from mi2p.store import Store
from mi2p.training import trained, trial_states

WriteTable = Callable[[Path, Plan], list[Path]]
"""Makes the table's files from a results folder and its plan; the first path is the LaTeX."""

INTERRUPTED = 130


def go_on(options: SweepOptions) -> str:
    """What a user does after an interruption; --force would run again what it has just run."""
    command = "the same command without --force" if options.force else "the same command"
    return f"finished trials are kept, {command} goes on"


def main(
    options: OptionsT,
    declare: Callable[[OptionsT], Plan],
    write_table: WriteTable,
    *,
    fixed: Collection[str] = (),
) -> Never:
    """Plan, run, tabulate; ends the process with 0, 1 (a trial failed) or 130 (interrupted).

    `fixed` are the paths of a spec that make the table's rows what they are: no search changes
    them.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show ± is no failure
    console = make_console()
    try:
        status = _main(console, options, declare(options), write_table, fixed)
    except (KeyboardInterrupt, EOFError):
        console.print(f"interrupted; {go_on(options)}")
        status = INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        told = "\n".join([str(error), *getattr(error, "__notes__", [])])
        console.print(f"error: {told}", style="red", markup=False, soft_wrap=True)
        status = 1
    sys.exit(status)


def _main(
    console: Console,
    options: SweepOptions,
    declared: Plan,
    write_table: WriteTable,
    fixed: Collection[str] = (),
) -> int:
    deadline = None
    if options.time_budget is not None:
        deadline = time.monotonic() + parse_duration(options.time_budget)
    plan = overridden(declared, options.overrides)
    # By their names: a search may change what --rows chose them by.
    names = {(row.key, row.dataset) for row in chosen_rows(plan, options.rows)}
    if options.print_command is not None:
        for command in commands(sys.argv[0], options, declared, _kept(options, plan)):
            print(command)
        return 0
    if options.collect:
        results_of(options)
        return _finish(console, options, _kept(options, plan), "all", names, write_table)
    if options.search:
        found = searched(console, options, plan, fixed, deadline)
    else:
        found = trained(console, options, plan, deadline)
    if found is None:  # the user only looked, or declined
        return 0
    return _finish(console, options, *found, names, write_table)


def _kept(options: SweepOptions, plan: Plan) -> Plan:
    """The plan whose trials are to be shown: of a search, what it has chosen so far."""
    if not options.search:
        return plan
    return read_plan(options.results.absolute() / "plans" / f"{search_name(options, plan)}.json")


def _finish(
    console: Console,
    options: SweepOptions,
    plan: Plan,
    end: End,
    names: Collection[tuple[str, str]],
    write_table: WriteTable,
) -> int:
    """Averages, the table, what failed and what to type next; the exit status.

    `names` are the keys and data sets of the rows that were to be run.
    """
    store = Store(options.results.absolute())
    wanted = with_parts(plan, [row for row in plan.rows if (row.key, row.dataset) in names])
    plan.write(store.folder)
    for spec, row in average(store, wanted.values()):
        told = f"averaged: {labels(plan)[spec.trial_id]}: {outcome(row)}"
        console.print(told, markup=False)
    print_failures(console, options.results, plan)
    states = trial_states(store, plan)
    _make_table(console, options.results, plan, states, write_table)
    left = {states[trial_id] for trial_id in wanted} - {"done"}
    if end == "interrupted":
        console.print(f"interrupted; {go_on(options)}")
        return INTERRUPTED
    if end == "all" and not options.collect and _without_configuration(options, plan, names):
        left |= {"failed"}
    return _closing(console, options, end, left)


def _without_configuration(
    options: SweepOptions, plan: Plan, names: Collection[tuple[str, str]]
) -> bool:
    """Whether all configurations of a row failed; its trials are then still those declared."""
    rows = [row for row in plan.rows if (row.key, row.dataset) in names]
    trained = [row for row in rows if not row.specs[0].averages]
    return options.search > 0 and any(row.searched is None for row in trained)


def _make_table(
    console: Console,
    results: Path,
    plan: Plan,
    states: Mapping[str, str],
    write_table: WriteTable,
) -> None:
    if "done" not in states.values():
        console.print("no finished trial, no table")
        return
    paths = write_table(results, plan)
    for path in paths:
        if path.suffix == ".md":
            print(path.read_text(encoding="utf-8"))
    console.print(f"table: {paths[0]}", soft_wrap=True)


def _closing(console: Console, options: SweepOptions, end: End, left: Collection[str]) -> int:
    """What to type next, and the exit status."""
    if "failed" in left:
        console.print("next: the same command with --retry-failed runs the failed trials again")
    elif end == "time":  # of a search all that is left may be configurations to try
        console.print(f"the time was over; {go_on(options)}")
        return 0
    elif left and not options.collect:
        console.print(f"some trials left no row in {options.results}: {SHARED}", soft_wrap=True)
    elif not left:
        folder = options.results / "tensorboard"
        console.print(f"next: tensorboard --logdir {folder}", soft_wrap=True)
    return 1 if left and not options.collect else 0
