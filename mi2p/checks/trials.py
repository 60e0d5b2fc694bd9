"""What is checked of trials when their data is there and before the first of them starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mi2p.ground import Ground
from mi2p.options import SweepOptions
from mi2p.overrides import set_paths
from mi2p.plan import Plan
from mi2p.progress import labels
from mi2p.spec import TrialSpec

if TYPE_CHECKING:
    from mi2p.checks.effects import Task
    from mi2p.checks.fitting import Fitting


def tasks_of(specs: Iterable[TrialSpec], ground: Ground) -> dict[str, Task]:
    """What the data set of each of these trials asks of its models, by its name."""
    from mi2p.checks.effects import Task
    from mi2p.data.images import read_dataset

    data = {spec.data.name: spec.data for spec in specs}
    return {
        name: Task.of(read_dataset(of, Path(ground.places[name].data)))
        for name, of in data.items()
    }


def fitting(options: SweepOptions, ground: Ground) -> Fitting | None:
    """Tells what fits into the memory of a trial; None where nobody knows how large it is."""
    from mi2p.checks.fitting import Fitting
    from mi2p.data.cache import expanded
    from mi2p.preparation import absolute_cache

    if ground.memory is None:
        return None
    return Fitting(
        memory=ground.memory,
        stores=expanded(absolute_cache(options.cache)),
        checkpoint=options.checkpoint_activations,
        workers=ground.request.workers,
    )


def check_trials(
    options: SweepOptions, plan: Plan, todo: Iterable[TrialSpec], ground: Ground
) -> dict[str, float]:
    """Rows are different computations, what is set changes them, and trials fit in memory.

    `ValueError` says which do not. The operations of each trial, by its id, come back.
    """
    from mi2p.checks.fitting import operations
    from mi2p.checks.preflight import check_paths, check_plan
    from mi2p.data.cache import expanded
    from mi2p.preparation import absolute_cache
    from mi2p.steps import check_shares

    todo = list(todo)
    tasks = tasks_of(todo, ground)
    begun = {spec.trial_id for spec in todo}
    rows = tuple(r for r in plan.rows if any(spec.trial_id in begun for spec in r.specs))
    check_plan(Plan(name=plan.name, table=plan.table, rows=rows), tasks)
    for row in rows:
        paths = set_paths(options.overrides, row.key)
        check_paths(row.specs[0], paths, tasks[row.dataset], row.key)
        check_shares(row.specs[0].train, tasks[row.dataset].num_train, ground.request.workers)
    fits = fitting(options, ground)
    if fits is not None:
        told = labels(plan)
        fits.check({told[r.specs[0].trial_id]: r.specs[0] for r in rows}, tasks)
    stores, checkpoint = expanded(absolute_cache(options.cache)), options.checkpoint_activations
    return {
        spec.trial_id: operations(spec, tasks[spec.data.name], stores, checkpoint=checkpoint)
        for spec in todo
    }
