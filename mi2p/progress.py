"""What a sweep prints: its plan, its progress and its end, in 80 columns."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mi2p.plan import Plan, PlanRow, read_plan
from mi2p.source import Job, Source
from mi2p.store import Store

WIDTH = 80
STATES = ("done", "failed", "to run")


def make_console() -> Console:
    """A console of at most 80 columns."""
    console = Console(highlight=False)
    return Console(highlight=False, width=min(console.width, WIDTH))


def print_plan(
    console: Console,
    plan: Plan,
    states: Mapping[str, str],
    wanted: Collection[str],
    results: Path,
) -> None:
    """Rows x seeds: done, failed, to run, and of several data sets the same for each.

    `states` maps a trial's id to one of these; of those to run only the `wanted` ids count. How
    many of all these are of other tables in `results` as well is told beside them.
    """
    table = Table(box=None, pad_edge=False, title=plan.name, title_justify="left")
    table.add_column("row key", no_wrap=True)
    table.add_column("row", overflow="fold")
    for name in (*STATES, "shared"):
        table.add_column(name, justify="right", no_wrap=True)
    elsewhere = shared_trials(results, plan)

    def counts(rows: Iterable[PlanRow]) -> list[int]:
        counted = [
            spec.trial_id
            for row in rows
            for spec in row.specs
            if states[spec.trial_id] != "to run" or spec.trial_id in wanted
        ]
        found = Counter(states[trial_id] for trial_id in counted)
        shared = sum(trial_id in elsewhere for trial_id in counted)
        return [*(found[name] for name in STATES), shared]

    def add(key: str, label: str, rows: Iterable[PlanRow]) -> None:
        table.add_row(key, label, *(str(n) if n else "." for n in counts(rows)))

    for key, rows in plan.methods.items():
        add(key, rows[0].label, rows)
    several = len(plan.datasets) > 1
    for dataset in plan.datasets if several else ():
        add("", f"all on {dataset}", [row for row in plan.rows if row.dataset == dataset])
    console.print(table)
    data_sets = f" x {len(plan.datasets)} data sets" if several else ""
    *of_states, shared = counts(plan.rows)
    told = ", ".join(f"{n} {name}" for n, name in zip(of_states, STATES, strict=True))
    console.print(
        f"{len(plan.methods)} rows{data_sets} x {len(plan.rows[0].specs)} seeds: {told}; "
        f"{shared} shared with other tables"
    )


def shared_trials(results: Path, plan: Plan) -> set[str]:
    """Ids of the plan's trials that another plan kept in `results` has, too.

    A plan that cannot be read (its specs are of another version) shares nothing.
    """
    others = set[str]()
    for path in sorted((results / "plans").glob("*.json")):
        if path.stem != plan.name:
            with suppress(ValueError, TypeError, LookupError, AttributeError, OSError):
                others.update(spec.trial_id for spec in read_plan(path).specs())
    return others.intersection(spec.trial_id for spec in plan.specs())


def print_failures(console: Console, results: Path, plan: Plan) -> None:
    """Every trial of the plan that failed: its error, and where its traceback is."""
    store = Store(results)
    for row in plan.rows:
        for spec in row.specs:
            found = store.trial(spec.trial_id)
            if found is not None and found["status"] == "error":
                trace = results / "errors" / f"{spec.trial_id}.txt"
                console.print(
                    f"failed: {name_of(plan, row)} seed {spec.seed}: {found['error']}\n  {trace}",
                    style="red",
                    markup=False,
                    soft_wrap=True,
                )


def labels(plan: Plan) -> dict[str, str]:
    """What each trial is called, by its id: its row and seed and, of several, the data set."""
    several = len(plan.datasets) > 1
    return {
        spec.trial_id: f"{row.dataset}: " * several + f"{row.label}, seed {spec.seed}"
        for row in plan.rows
        for spec in row.specs
    }


def name_of(plan: Plan, row: PlanRow) -> str:
    """The key of a row and, in a plan with several, its data set."""
    return f"{row.key}-{row.dataset}" if len(plan.datasets) > 1 else row.key


def outcome(row: Mapping[str, Any]) -> str:
    """What became of a trial, by the row it left."""
    if row["status"] == "error":
        return f"error: {row['error']}"
    return _short(row) or str(row["status"])


class Progress:
    """Live lines on a terminal; elsewhere one line per trial that ended."""

    def __init__(self, console: Console, source: Source) -> None:
        self.console, self.source = console, source
        self.running: dict[str, tuple[Job, Mapping[str, Any]]] = {}
        self.done = self.failed = 0
        self.start = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the progress while inside."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._view, console=self.console, refresh_per_second=2):
            yield

    def started(self, job: Job) -> None:
        """A trial got its place."""
        self.running.setdefault(job.spec.trial_id, (job, {}))

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> None:
        """A trial finished an epoch."""
        if trial_id in self.running:
            self.running[trial_id] = (self.running[trial_id][0], record)

    def interrupted(self, job: Job, what: str) -> None:
        """A trial lost its worker; `what` says how, and whether it goes on."""
        self.running.pop(job.spec.trial_id, None)
        told = f"interrupted: {job.label}: {what}"
        self.console.print(told, markup=False, soft_wrap=True)

    def ended(self, job: Job, row: Mapping[str, Any]) -> None:
        """A trial is over and left `row`."""
        self.running.pop(job.spec.trial_id, None)
        self.done += 1
        self.failed += row["status"] == "error"
        self.console.print(
            f"[{self.done}/{self.source.total}] {job.label}: {outcome(row)}", markup=False
        )

    def _view(self) -> RenderableType:
        elapsed, total = time.monotonic() - self.start, self.source.total
        left = elapsed / self.done * (total - self.done) if self.done else None
        line = (
            f"{self.done}/{total} done, {len(self.running)} running, {self.failed} failed"
            f" | {_clock(elapsed)} elapsed, {_clock(left) if left is not None else '?'} left"
        )
        lines = [Text(line, style="bold", no_wrap=True, overflow="ellipsis")]
        # As many as there is room for: with thousands, drawing them all keeps the driver busy.
        shown = max(0, self.console.height - 2)
        for job, record in islice(self.running.values(), shown):
            epochs = job.spec.train.epochs
            at = f"epoch {int(record.get('epoch', 0))}/{epochs}  {_short(record)}"
            lines.append(Text(f"  {job.label}  {at}", no_wrap=True, overflow="ellipsis"))
        return Group(*lines)


def _short(record: Mapping[str, Any]) -> str:
    """The primary validation metric, in percent."""
    for name in ("accuracy", "micro_f1"):
        value = record.get(f"val/{name}")
        if value is not None:
            return f"val {name.replace('_', '-')} {100 * value:.1f}"
    return ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
