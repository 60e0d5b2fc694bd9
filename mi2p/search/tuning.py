"""Tune, then confirm: search each row's configuration on validation, train the best on all seeds.

Both are in one Tune run: where a row has its configuration, its trials for the table begin while
other rows are still searched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mi2p.averages import with_parts
from mi2p.checks.trials import fitting, tasks_of
from mi2p.data.protocols import protocol
from mi2p.filters import chosen_rows, chosen_trials
from mi2p.ground import Ground, prepared, tell_price
from mi2p.metrics import primary
from mi2p.mirrored import results_of
from mi2p.options import SEARCH_SEED, SweepOptions
from mi2p.overrides import set_paths
from mi2p.plan import Plan, PlanRow, read_plan
from mi2p.pricing import search_trials
from mi2p.progress import name_of
from mi2p.running import End, run
from mi2p.search.rounds import RowName, Search
from mi2p.spec import TrialSpec
from mi2p.store import Store
from mi2p.training import agreed, find_folders, forget

if TYPE_CHECKING:
    from mi2p.search.spaces import Space
    from mi2p.search.studies import RowStudy


def search_name(options: SweepOptions, plan: Plan) -> str:
    """Stem of the files of a table whose rows were searched so."""
    parts = [plan.name, f"search{options.search}"]
    parts += [options.sampler] if options.sampler != "tpe" else []
    parts += [options.scheduler] if options.scheduler != "none" else []
    parts += [options.against] if options.against is not None else []
    return "-".join(parts)


def searched(
    console: Console,
    options: SweepOptions,
    plan: Plan,
    fixed: Collection[str],
    deadline: float | None,
) -> tuple[Plan, End] | None:
    """Search and confirm; the plan with what was chosen, and why the run ended.

    None if nothing was to be run. `fixed` are paths of a spec that no search changes.
    """
    rows = rows_to_search(plan, chosen_rows(plan, options.rows))
    bases = [search_base(row) for row in rows]
    told = f"{options.search} configurations of each of {len(rows)} rows"
    question = f"Try {told}, then train the best of each with {len(rows[0].specs)} seeds?"
    if not options.dry_run and not agreed(console, options, question):
        return None
    folders = find_folders(console, options, bases)
    with prepared(console, options, bases, folders) as ground:
        spaces = make_spaces(console, options, rows, fixed, ground)
        with open_studies(options, spaces) as studies:
            return _searched(console, options, plan, rows, studies, ground, deadline)


def _searched(
    console: Console,
    options: SweepOptions,
    plan: Plan,
    rows: Sequence[PlanRow],
    studies: Mapping[RowName, RowStudy],
    ground: Ground,
    deadline: float | None,
) -> tuple[Plan, End] | None:
    store, name = results_of(options), search_name(options, plan)
    plan = with_kept(plan, rows, store.folder / "plans" / f"{name}.json")
    search = Search(plan, rows, studies, store, name=name, slots=ground.slots, deadline=deadline)
    print_search(console, search.plan(), rows, studies, store)
    if options.dry_run:
        left = [(row, studies[row.key, row.dataset].to_begin) for row in rows]
        tell_price(console, ground, search_trials(left), search=True)
        return None
    if options.retry_failed:
        for study in studies.values():
            study.retry(store)
    run_again(options, store, search.plan(), rows)
    try:
        end = run(console, options, name, store, search, ground, deadline=deadline)
    finally:
        search.release()
    for row, error in search.failed_rows():
        console.print(f"no configuration of {row.label} finished: {error}", markup=False)
    # A source whose time is up is over, too.
    return search.plan(), "time" if end == "all" and search.is_cut else end


def with_kept(plan: Plan, rows: Collection[PlanRow], path: Path) -> Plan:
    """The plan with what the one at `path` has found for rows other than `rows`.

    So that searches of a few rows at a time (`--rows`) come to one table. A plan that cannot be
    read, and rows that were declared otherwise then, have found nothing.
    """
    kept: dict[RowName, PlanRow] = {}
    with suppress(ValueError, TypeError, LookupError, AttributeError, OSError):
        kept = {(row.key, row.dataset): row for row in read_plan(path).rows}
    now = {(row.key, row.dataset) for row in rows}

    def change(row: PlanRow) -> PlanRow:
        name = (row.key, row.dataset)
        then = kept.get(name, row)
        if name in now or then.searched is None:
            return row
        if then.searched.trials[0] != search_base(row).trial_id:
            return row
        specs = tuple(replace(then.specs[0], seed=spec.seed) for spec in row.specs)
        return replace(row, specs=specs, searched=then.searched)

    return plan.changed(change, plan.name)


def rows_to_search(plan: Plan, chosen: Collection[PlanRow]) -> list[PlanRow]:
    """The rows that are trained, of those chosen and those that they average."""
    wanted = with_parts(plan, chosen)
    return [
        row
        for row in plan.rows
        if not row.specs[0].averages and any(spec.trial_id in wanted for spec in row.specs)
    ]


def search_base(row: PlanRow) -> TrialSpec:
    """The row as it is declared, as a trial of a search."""
    return replace(row.specs[0], seed=SEARCH_SEED, stage="search")


def make_spaces(
    console: Console,
    options: SweepOptions,
    rows: Collection[PlanRow],
    fixed: Collection[str],
    ground: Ground,
) -> dict[RowName, Space]:
    """The space of each row: what fits, and of which every field has an effect.

    `ValueError` for a row that does not fit, and for a field that changes nothing.
    """
    from mi2p.checks.fitting import largest_batch
    from mi2p.checks.preflight import check_space
    from mi2p.search.spaces import space_of

    bases = {(row.key, row.dataset): search_base(row) for row in rows}
    tasks, fits = tasks_of(bases.values(), ground), fitting(options, ground)
    found = {}
    for row in rows:
        base, task = bases[row.key, row.dataset], tasks[row.dataset]
        left = [*fixed, *set_paths(options.overrides, row.key)]
        if options.smoke:  # so few examples may be one batch, whatever its size
            left.append("train.batch_size")
        space = space_of(base, fixed=left)
        if fits is not None:
            largest = largest_batch(space, task, fits, row.label)
            # A machine's memory is not the same in each run, as a GPU's is; the study would be
            # another one then. On a CPU too large a batch only fails.
            if fits.memory.gpu:
                space = space_of(base, fixed=left, largest_batch=largest)
        for note in check_space(space, task, row.key):
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        found[row.key, row.dataset] = space
    return found


@contextmanager
def open_studies(
    options: SweepOptions, spaces: Mapping[RowName, Space]
) -> Iterator[dict[RowName, RowStudy]]:
    """The study of each row; two rows that are searched alike have one. No one else has them."""
    from mi2p.search.storage import alone, open_storage
    from mi2p.search.studies import RowStudy

    results = options.results.absolute()
    with alone(results):
        storage = open_storage(options.storage, results)
        made: dict[str, RowStudy] = {}
        found = {}
        for name, space in spaces.items():
            multilabel = protocol(space.base.data.name).multilabel
            study = RowStudy(
                storage,
                space,
                sampler=options.sampler,
                scheduler=options.scheduler,
                against=options.against,
                metric=f"val/{primary(multilabel=multilabel)}",
                budget=options.search,
                in_flight=options.in_flight,
            )
            found[name] = made.setdefault(study.name, study)
        yield found


def print_search(
    console: Console,
    plan: Plan,
    rows: Sequence[PlanRow],
    studies: Mapping[RowName, RowStudy],
    store: Store,
) -> None:
    """Of each row: configurations that are over and left, seeds of the best that are done."""
    table = Table(box=None, pad_edge=False, title=plan.name, title_justify="left")
    table.add_column("row key", no_wrap=True)
    table.add_column("row", overflow="fold")
    for head in ("tried", "to try", "seeds done"):
        table.add_column(head, justify="right", no_wrap=True)
    now = {(row.key, row.dataset): row for row in plan.rows}
    for row in rows:
        study, found = studies[row.key, row.dataset], now[row.key, row.dataset]
        done = 0
        if found.searched is not None:
            done = sum(_is_done(store, spec) for spec in found.specs)
        cells = (study.tally.over(), study.to_begin, done)
        table.add_row(name_of(plan, row), row.label, *(str(n) if n else "." for n in cells))
    console.print(table)


def run_again(options: SweepOptions, store: Store, plan: Plan, rows: Collection[PlanRow]) -> None:
    """Forget what the user wants again of the trials that confirm; keep what is chosen so far.

    Only of `rows`, which are searched now, and not before they have a configuration: what is
    trained of them as declared is another table's.
    """
    plan.write(store.folder)
    now = {(row.key, row.dataset) for row in rows}
    confirm = [row for row in plan.rows if row.searched and (row.key, row.dataset) in now]
    ids = {spec.trial_id for row in confirm for spec in row.specs}
    forget(store, [s for s in chosen_trials(plan, options.force) if s.trial_id in ids])
    for trial_id in ids if options.retry_failed else ():
        store.discard_error(trial_id)


def _is_done(store: Store, spec: TrialSpec) -> bool:
    row = store.trial(spec.trial_id)
    return row is not None and row["status"] == "done"
