"""`--print-command`: a line for a shell that trains one row alone, with all of its values.

Its trials have the ids that they have in the plan, so that what is done is not run again.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Iterator
from typing import Any

from mi2p.filters import chosen_rows
from mi2p.options import SweepOptions, on_dataset
from mi2p.paths import has, paths, replaced, shown, value_at
from mi2p.plan import Plan, PlanRow

OF_ONE_RUN = frozenset(
    {
        *("retry_failed", "force", "dry_run", "print_command", "collect", "yes", "time_budget"),
        *("search", "sampler", "scheduler", "against", "in_flight", "storage"),
    }
)
"""Options that say what is done with a plan, and how a search chose the configurations in it."""

OF_THE_ROW = frozenset({"dataset", "rows", "seeds", "overrides"})
"""Options that the row itself decides."""


def commands(script: str, options: SweepOptions, declared: Plan, chosen: Plan) -> list[str]:
    """A command for each row that the filter `options.print_command` holds of.

    `declared` is the plan that the script declares, `chosen` the same with the values of `--set`
    and of a search: its rows are those of `declared`, in order. A row on several data sets has a
    command for each. `ValueError` if there is no such row, or if what was chosen for it cannot be
    told in values of `--set`.
    """
    assert options.print_command is not None
    wanted = chosen_rows(chosen, (options.print_command,), "--print-command")
    pairs = list(zip(declared.rows, chosen.rows, strict=True))
    found = []
    for row in wanted:
        averaged = row.specs[0].averages
        values = {
            value
            for before, after in pairs
            if after == row or after.specs[0].trial_id in averaged
            for value in _differences(before, after)
        }
        own = on_dataset(options, row.dataset, declared.datasets)
        found.append(shlex.join(["python", script, *_of_row(row, values), *_given(own)]))
    return found


def _of_row(row: PlanRow, values: Collection[str]) -> Iterator[str]:
    """The words that say which row, which seeds, and what is set."""
    yield from ("--dataset", row.dataset, "--rows", row.key)
    yield from ("--seeds", *(str(spec.seed) for spec in row.specs))
    if values:
        yield from ("--set", *sorted(values))


def _differences(before: PlanRow, after: PlanRow) -> Iterator[str]:
    """What has to be set in a row to make it the other."""
    old, new = before.specs[0], after.specs[0]
    if new.averages:
        return  # of the trials of other rows
    values = {
        path: value_at(new, path)
        for path in paths()
        if has(new, path) and not (has(old, path) and value_at(old, path) == value_at(new, path))
    }
    if not all(has(old, path) for path in values) or replaced(old, values) != new:
        raise ValueError(f"--print-command: row {after.key!r} cannot be told in values of --set")
    for path, value in values.items():
        # All rows see the same data; another value may be legal in this row alone.
        scope = "" if path.startswith("data.") else f"{after.key}:"
        yield f"{scope}{path}={shown(value)}"


def _given(options: SweepOptions) -> Iterator[str]:
    """Words for the other options that differ from their defaults."""
    for field in dataclasses.fields(options):
        value, default = getattr(options, field.name), field.default
        if field.name == "search" and default:
            yield from ("--search", "0")  # the values are chosen already
        if field.name in OF_ONE_RUN | OF_THE_ROW or value == default:
            continue
        yield f"--{field.name.replace('_', '-')}"
        yield from _words(value, is_flag=isinstance(default, bool))


def _words(value: Any, *, is_flag: bool) -> Iterator[str]:
    if isinstance(value, tuple):
        yield from map(str, value)
    elif not is_flag:
        yield str(value)
