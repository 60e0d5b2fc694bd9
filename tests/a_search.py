"""What a search of a row leaves for the analysis: a summary in the plan, trials in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mi2p.options import SEARCH_SEED
from mi2p.paths import replaced
from mi2p.plan import Plan, PlanRow, Searched
from mi2p.spec import TrialSpec
from mi2p.store import Status, Store, trial_row

SEARCHED = Searched(
    study="openclipart cnn tpe 12345678",
    sampler="tpe",
    scheduler="none",
    against=None,
    wanted=20,
    tried=20,
    pruned=0,
    failed=0,
    metric="val/accuracy",
    best=0.75,
    first=0.5,
    trials=("000000000000",),
)


def searched(row: PlanRow, **changes: Any) -> PlanRow:
    """`row` as the winner of a search of 20 configurations by TPE, but for `changes`."""
    return replace(row, searched=replace(SEARCHED, **changes))


def with_rows(plan: Plan, rows: Mapping[int, PlanRow]) -> Plan:
    """`plan` with other rows at these places."""
    return replace(plan, rows=tuple(rows.get(i, row) for i, row in enumerate(plan.rows)))


def tried(row: PlanRow, values: Mapping[str, Any]) -> TrialSpec:
    """A trial of a search: the row with other values, at the search's stage and seed."""
    return replaced(replace(row.specs[0], stage="search", seed=SEARCH_SEED), values)


def chosen(row: PlanRow, values: Mapping[str, Any]) -> PlanRow:
    """`row` with the configuration that was found."""
    return replace(row, specs=tuple(replaced(spec, values) for spec in row.specs))


def keep(
    results: Path, spec: TrialSpec, metrics: Mapping[str, float], status: Status = "done"
) -> str:
    """Store a trial of a search; its id."""
    costs = {name: value for name, value in metrics.items() if not name.startswith("val/")}
    error = "boom" if status == "error" else None
    row = trial_row(spec, status=status, metrics=metrics, environment=costs, error=error)
    Store(results).write_trial(row)
    return spec.trial_id


def ids(specs: Sequence[TrialSpec]) -> tuple[str, ...]:
    return tuple(spec.trial_id for spec in specs)
