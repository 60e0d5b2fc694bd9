"""Which cells of the written tables are no longer what the results folder would give.

Every `results/tables/*.json` that `provenance.document` wrote is compared with the plans, trials
and data that are there now, and with the code that is installed. Nothing is written, but for what
`mi2p.store.load` remembers of many trials.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from analysis.tracing.provenance import KIND, digest, digests
from analysis.tracing.seen import Present, Seen, plans
from mi2p import code
from mi2p.plan import Plan, PlanRow, read_plan
from mi2p.spec import DataSpec
from mi2p.store import Store

Cause = Literal["spec", "data", "code", "trials", "file"]
DIGESTED = {"trials_digest": "row", "predictions_digest": "predictions"}
Fact = tuple[Cause, str]
"""Something that happened since, in words."""


@dataclass(frozen=True, kw_only=True)
class Stale:
    """Cells of a row, or all of a table, to which something happened since it was written."""

    table: str
    """The name of its plan; of a damaged file the file's own."""
    row: str = ""
    """The key of the row; empty for what is about the whole table."""
    dataset: str = ""
    columns: tuple[str, ...] = ()
    """Those of the row's cells that are concerned."""
    cause: Cause
    what: str
    """What happened, such as `code changed since`."""
    trials: tuple[str, ...] = ()
    """To which it happened."""

    def __str__(self) -> str:
        where = f" row {self.row} on {self.dataset}" * bool(self.row)
        where += f", {', '.join(self.columns)}" * bool(self.columns)
        named = f" (trials {', '.join(self.trials)})" * bool(self.trials)
        return f"{self.table}:{where + ':' if where else ''} {self.what}{named}"


def check(results: Path, present: Present | None = None) -> list[Stale]:
    """What is stale in the tables of a results folder, by table and in the order of its rows; last
    the tables that cannot be checked.

    Without `present` data is compared only with what other trials saw.
    """
    found = []
    seen, folder = Seen(results, present), results / "tables"
    told = set()
    for path in sorted(folder.glob("*.json")):
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(plain, dict) and plain.get("kind") == KIND:
                told.add(plain["plan"])
                found += _Written(results, plain, seen).stale()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told.add(path.stem)
            what = f"{path.name} is damaged ({error!r}); write the table again"
            found.append(Stale(table=path.stem, cause="file", what=what))
    for plan in plans(results):
        if plan.name not in told and (folder / f"{plan.name}.tex").exists():
            what = "nothing says what its cells are made of; write the table again"
            found.append(Stale(table=plan.name, cause="file", what=what))
    return found


class _Written:
    """A table as it was written, beside what there is now."""

    def __init__(self, results: Path, plain: Mapping[str, Any], seen: Seen) -> None:
        self._results, self._seen = results, seen
        self._table: str = plain["plan"]
        self._plan_digest: str | None = plain["plan_digest"]
        self._files: Mapping[str, str] = plain["files"]
        self._trials: Mapping[str, Mapping[str, Any]] = plain["trials"]
        self._rows = {(row["row"], row["dataset"]): row for row in plain["rows"]}
        self._cells: list[Mapping[str, Any]] = plain["cells"]
        self._now: dict[str, dict[str, str | None]] = {}

    def stale(self) -> list[Stale]:
        """All that is, what is about the whole table first."""
        found = [*self._stale_files(), *self._stale_plan()]
        for at, row in self._rows.items():
            found += self._stale_row(at, row)
        return found

    def _stale_files(self) -> Iterator[Stale]:
        for name, kept in self._files.items():
            now = digest(self._results / "tables" / name)
            if now != kept:
                what = "is gone" if now is None else "is not as it was written"
                yield Stale(table=self._table, cause="file", what=f"{name} {what}")

    def _stale_plan(self) -> Iterator[Stale]:
        """What changed in the plan beside the trials of rows."""
        path = self._results / "plans" / f"{self._table}.json"
        plan, why = self._plan
        if plan is None:
            yield Stale(table=self._table, cause="spec", what=why)
            return
        rows = {(row.key, row.dataset) for row in plan.rows}
        new = [f"{row.key} on {row.dataset}" for row in plan.rows if _at(row) not in self._rows]
        if new:
            what = f"rows are in its plan since: {', '.join(new)}"
            yield Stale(table=self._table, cause="spec", what=what)
        same = rows == set(self._rows) and not any(
            self._changed_wishes(at, row) for at, row in self._rows.items()
        )
        if same and digest(path) != self._plan_digest:
            what = "its plan has other labels or searches since"
            yield Stale(table=self._table, cause="spec", what=what)

    @cached_property
    def _plan(self) -> tuple[Plan | None, str]:
        """The plan of the table or, in words, why there is none."""
        path = self._results / "plans" / f"{self._table}.json"
        try:
            return read_plan(path), ""
        except FileNotFoundError:
            return None, f"its plan is gone, plans/{path.name}"
        except (ValueError, OSError) as error:
            return None, f"its plan cannot be read, plans/{path.name}: {error}"

    def _stale_row(self, at: tuple[str, str], row: Mapping[str, Any]) -> list[Stale]:
        """What is stale of a row: a `Stale` for each thing that happened to cells of it."""
        cells = [cell for cell in self._cells if (cell["row"], cell["dataset"]) == at]
        columns = [cell["column"] for cell in cells]
        happened: dict[Fact, tuple[list[str], list[str]]] = {
            fact: (columns, trials) for fact, trials in self._changed_wishes(at, row).items()
        }
        finished = self._finished_since(row, cells)
        if finished:
            happened["trials", "finished since"] = (columns, finished)
        data = DataSpec.from_dict(row["data"])
        for cell in cells:
            for trial_id, is_average in _involved(cell):
                for fact in self._facts(trial_id, data, is_average):
                    told, trials = happened.setdefault(fact, ([], []))
                    told += [cell["column"]] * (cell["column"] not in told)
                    trials += [trial_id] * (trial_id not in trials)
        return [
            Stale(
                table=self._table,
                row=at[0],
                dataset=at[1],
                columns=tuple(told),
                cause=cause,
                what=what,
                trials=tuple(trials),
            )
            for (cause, what), (told, trials) in happened.items()
        ]

    def _changed_wishes(
        self, at: tuple[str, str], row: Mapping[str, Any]
    ) -> dict[Fact, list[str]]:
        plan, _ = self._plan
        if plan is None:
            return {}
        now = next((other for other in plan.rows if _at(other) == at), None)
        if now is None:
            return {("spec", "its plan has no such row any more"): []}
        wants = [spec.trial_id for spec in now.specs]
        found: dict[Fact, list[str]] = {
            ("spec", "wanted by its plan since"): [t for t in wants if t not in row["wants"]],
            ("spec", "no longer wanted by its plan"): [t for t in row["wants"] if t not in wants],
        }
        return {fact: trials for fact, trials in found.items() if trials}

    def _finished_since(
        self, row: Mapping[str, Any], cells: Iterable[Mapping[str, Any]]
    ) -> list[str]:
        used = {trial_id for cell in cells for trial_id in cell["trials"]}
        return [t for t in row["wants"] if t not in used and _is_finished(self._results, t)]

    def _facts(self, trial_id: str, data: DataSpec, is_average: bool) -> Iterator[Fact]:
        kept = self._trials[trial_id]
        yield from self._rewritten(trial_id)
        if kept["code"] is None:
            # An average has none if its parts differ; these are looked at themselves.
            if not is_average:
                yield "code", "code unknown, it was not kept then"
        elif kept["code"] != code.fingerprint():
            yield "code", "code changed since"
        if kept["data_fingerprint"] is not None:
            for what in self._seen.against(data, kept["data_fingerprint"]):
                yield "data", what

    def _rewritten(self, trial_id: str) -> Iterator[Fact]:
        if trial_id not in self._now:
            self._now[trial_id] = digests(self._results, trial_id)
        then, now = self._trials[trial_id], self._now[trial_id]
        changed = [name for name in now if now[name] != then[name]]
        for name in changed:
            if now[name] is None:
                yield "trials", f"{DIGESTED[name]} deleted since"
            elif len(changed) == 1:
                yield "trials", f"{DIGESTED[name]} changed since"
        if len(changed) == 2 and None not in now.values():
            yield "trials", "run again since"


def _at(row: PlanRow) -> tuple[str, str]:
    return row.key, row.dataset


def _involved(cell: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The trials that a cell depends on, and whether each averages others."""
    averages = cell["averages"]
    yield from ((trial_id, trial_id in averages) for trial_id in cell["trials"])
    yield from ((part, False) for parts in averages.values() for part in parts)
    if "reference" in cell:
        yield from _involved(cell["reference"])


def _is_finished(results: Path, trial_id: str) -> bool:
    try:
        row = Store(results).trial(trial_id)
    except ValueError:
        return False
    return row is not None and row["status"] == "done" and row["stage"] == "confirm"
