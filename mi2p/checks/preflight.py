"""Before the first trial: what is varied must matter.

A field that a spec has and no code uses would be searched, or compared in a table, for nothing:
each gets another value once, and a table's rows are told apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from mi2p.checks.effects import Effects, Task
from mi2p.paths import has, paths, replaced, value_at
from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec

if TYPE_CHECKING:
    from mi2p.search.spaces import Space

NOTHING = "changes neither the model, the optimiser nor the data"
SAMPLES = 200
"""Configurations that are drawn from a space, to see values that are legal together."""
TRIED_SPECS = 8
"""Of these, those in which a field is tried that changes nothing in the row as declared."""
TRIED_VALUES = 2
"""Other values of a field in one configuration."""


def check_space(space: Space, task: Task, row: str) -> tuple[str, ...]:
    """Every field that the space varies changes something; else `ValueError` names it.

    Other fields keep their values meanwhile. Where those of the row as declared hide the field,
    it is tried in other configurations of the space; such fields are told in sentences.
    """
    effects, specs = Effects(task), list(drawn(space))
    told = (_check_field(effects, path, specs, row) for path in space.paths)
    return tuple(note for note in told if note is not None)


def drawn(space: Space) -> Iterator[TrialSpec]:
    """The base of a space, then `SAMPLES` of its configurations, the same in every process."""
    draw = _Draw()
    yield space.base
    for _ in range(SAMPLES):
        yield space.sample(draw)


def check_paths(spec: TrialSpec, names: Iterable[str], task: Task, row: str) -> None:
    """Every one of these paths of `spec` could change something; else `ValueError` names it.

    Free text (`data.splits`) is believed: no other value of it is known to be legal.
    """
    effects = Effects(task)
    for path in names:
        values = list(_others(spec, path))
        legal = list(_changed(spec, path, values))
        if legal and not any(effects.between(spec, changed) for changed in legal):
            raise _unused(path, row, spec, (value_at(changed, path) for changed in legal))


def check_plan(plan: Plan, tasks: Mapping[str, Task]) -> None:
    """No two rows that are trained on one data set are the same computation under two ids.

    `tasks` has each data set's. `ValueError` names the rows.
    """
    for dataset in plan.datasets:
        effects = Effects(tasks[dataset])
        rows = [r for r in plan.rows if r.dataset == dataset and not r.specs[0].averages]
        for one, other in combinations(rows, 2):
            _check_apart(effects, one, other)


def _check_apart(effects: Effects, one: PlanRow, other: PlanRow) -> None:
    """Seed by seed rows are alike, so one of each is enough."""
    first, second = one.specs[0], other.specs[0]
    if first.trial_id != second.trial_id and effects.between(first, second) is None:
        raise ValueError(
            f"rows {one.key!r} ({one.label}, trial {first.trial_id}) and {other.key!r} "
            f"({other.label}, trial {second.trial_id}) on {one.dataset} have different specs, but "
            f"what differs {NOTHING}"
        )


def _check_field(effects: Effects, path: str, specs: Sequence[TrialSpec], row: str) -> str | None:
    """A sentence if the field matters, but not in the first spec; `ValueError` if in none."""
    having = [spec for spec in specs if has(spec, path)]
    values = list(dict.fromkeys(value_at(spec, path) for spec in having))
    if len(values) < 2:
        return None
    found = _where_it_matters(effects, path, having[: 1 + TRIED_SPECS], values)
    if found is None:
        raise _unused(path, row, having[0], values)
    if found is having[0]:
        return None
    return (
        f"{path} changes nothing in row {row!r} as declared, but it does in other configurations "
        f"of the search, such as trial {found.trial_id}"
    )


def _where_it_matters(
    effects: Effects, path: str, specs: Iterable[TrialSpec], values: Sequence[Any]
) -> TrialSpec | None:
    """The first spec in which another of these values changes anything."""
    for spec in specs:
        for changed in islice(_changed(spec, path, values), TRIED_VALUES):
            if effects.between(spec, changed) is not None:
                return spec
    return None


def _unused(path: str, row: str, spec: TrialSpec, values: Iterable[Any]) -> ValueError:
    own = value_at(spec, path)
    others = [repr(value) for value in values if value != own][:TRIED_VALUES]
    return ValueError(
        f"{path} of row {row!r} {NOTHING}: {own!r} and {' and '.join(others)} are the same"
    )


def _changed(spec: TrialSpec, path: str, values: Iterable[Any]) -> Iterator[TrialSpec]:
    """`spec` with each other value that is legal beside all that it has."""
    for value in values:
        if value != value_at(spec, path):
            try:
                yield replaced(spec, {path: value})
            except (ValueError, TypeError):
                continue


def _others(spec: TrialSpec, path: str) -> Iterator[Any]:
    """Values of the field's type, some of which may be legal."""
    value, hint = value_at(spec, path), paths()[path]
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        # A batch that is an eighth leaves no table's data set in one.
        near = (2 * value, value // 2, value // 8, value + 1, value + 4)
        yield from near if isinstance(value, int) else (2 * value, value / 2, value + 0.1)
    elif isinstance(value, tuple):
        yield from (value[1:], tuple(number + 1 for number in value), tuple(range(1, value[0])))


class _Draw:
    """Asked as a trial of Optuna's is: draws at random, the same in every process."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.random.uniform(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)
