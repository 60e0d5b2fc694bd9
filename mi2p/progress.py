"""What a sweep prints: its plan, its progress and its end, in 80 columns."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec
from mi2p.store import Store

WIDTH = 80
STATES = ("done", "failed", "to run")


def make_console() -> Console:
    """A console of at most 80 columns."""
    console = Console(highlight=False)
    return Console(highlight=False, width=min(console.width, WIDTH))


def print_plan(
    console: Console, plan: Plan, states: Mapping[str, str], wanted: Collection[str]
) -> None:
    """Rows x seeds: done, failed, to run, and of several data sets the same for each.

    `states` maps a trial's id to one of these; of those to run only the `wanted` ids count.
    """
    table = Table(box=None, pad_edge=False, title=plan.name, title_justify="left")
    table.add_column("row key", no_wrap=True)
    table.add_column("row", overflow="fold")
    for name in STATES:
        table.add_column(name, justify="right", no_wrap=True)

    def counts(rows: Iterable[PlanRow]) -> list[int]:
        found = Counter(
            states[spec.trial_id]
            for row in rows
            for spec in row.specs
            if states[spec.trial_id] != "to run" or spec.trial_id in wanted
        )
        return [found[name] for name in STATES]

    def add(key: str, label: str, rows: Iterable[PlanRow]) -> None:
        table.add_row(key, label, *(str(n) if n else "." for n in counts(rows)))

    for key, rows in plan.methods.items():
        add(key, rows[0].label, rows)
    several = len(plan.datasets) > 1
    for dataset in plan.datasets if several else ():
        add("", f"all on {dataset}", [row for row in plan.rows if row.dataset == dataset])
    console.print(table)
    data_sets = f" x {len(plan.datasets)} data sets" if several else ""
    told = ", ".join(f"{n} {name}" for n, name in zip(counts(plan.rows), STATES, strict=True))
    console.print(f"{len(plan.methods)} rows{data_sets} x {len(plan.rows[0].specs)} seeds: {told}")


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

    def __init__(self, console: Console, plan: Plan, total: int) -> None:
        self.console, self.total = console, total
        self.labels = labels(plan)
        self.specs: dict[str, TrialSpec] = {spec.trial_id: spec for spec in plan.specs()}
        self.running: dict[str, Mapping[str, Any]] = {}
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

    def started(self, trial_id: str) -> None:
        """A trial got its place."""
        self.running.setdefault(trial_id, {})

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> None:
        """A trial finished an epoch."""
        self.running[trial_id] = record

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """A trial is over and left `row`."""
        self.running.pop(trial_id, None)
        self.done += 1
        self.failed += row["status"] == "error"
        self.console.print(
            f"[{self.done}/{self.total}] {self.labels[trial_id]}: {outcome(row)}", markup=False
        )

    def _view(self) -> RenderableType:
        elapsed = time.monotonic() - self.start
        left = elapsed / self.done * (self.total - self.done) if self.done else None
        line = (
            f"{self.done}/{self.total} done, {len(self.running)} running, {self.failed} failed"
            f" | {_clock(elapsed)} elapsed, {_clock(left) if left is not None else '?'} left"
        )
        lines = [Text(line, style="bold", no_wrap=True, overflow="ellipsis")]
        for trial_id, record in self.running.items():
            epochs = self.specs[trial_id].train.epochs
            at = f"epoch {int(record.get('epoch', 0))}/{epochs}  {_short(record)}"
            text = f"  {self.labels[trial_id]}  {at}"
            lines.append(Text(text, no_wrap=True, overflow="ellipsis"))
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
