"""What a sweep prints: its plan, its progress and its end, in 80 columns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mi2p.plan import Plan
from mi2p.spec import TrialSpec

WIDTH = 80


def make_console() -> Console:
    """A console of at most 80 columns."""
    console = Console(highlight=False)
    return Console(highlight=False, width=min(console.width, WIDTH))


def print_plan(console: Console, plan: Plan, states: Mapping[str, str], chosen: set[str]) -> None:
    """Rows x seeds: done, failed, to run; `states` maps a trial's id to one of these."""
    table = Table(box=None, pad_edge=False, title=plan.name, title_justify="left")
    table.add_column("row key", no_wrap=True)
    table.add_column("row", overflow="fold")
    for name in ("done", "failed", "to run"):
        table.add_column(name, justify="right", no_wrap=True)
    total = dict.fromkeys(("done", "failed", "to run"), 0)
    for row in plan.rows:
        of_row = [states[spec.trial_id] for spec in row.specs]
        counts = {name: of_row.count(name) for name in total}
        if row.key not in chosen:
            counts["to run"] = 0
        table.add_row(row.key, row.label, *(str(n) if n else "." for n in counts.values()))
        for name, count in counts.items():
            total[name] += count
    console.print(table)
    num_seeds = len(plan.rows[0].specs)
    console.print(
        f"{len(plan.rows)} rows x {num_seeds} seeds: {total['done']} done, "
        f"{total['failed']} failed, {total['to run']} to run"
    )


class Progress:
    """Live lines on a terminal; elsewhere one line per trial that ended."""

    def __init__(self, console: Console, plan: Plan, total: int) -> None:
        self.console, self.total = console, total
        self.labels = {
            spec.trial_id: f"{row.label}, seed {spec.seed}"
            for row in plan.rows
            for spec in row.specs
        }
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
        failed = row["status"] == "error"
        self.failed += failed
        outcome = f"error: {row['error']}" if failed else _short(row) or str(row["status"])
        self.console.print(
            f"[{self.done}/{self.total}] {self.labels[trial_id]}: {outcome}", markup=False
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
