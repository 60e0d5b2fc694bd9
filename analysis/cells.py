"""Which stored trials make a cell of a table, and which must not be put into one.

Conditions that trials must share before they are averaged or compared:

- In a row (`SAME_IN_ROW`): everything in the spec but the seed, the data, the pretrained weights,
  the numeric precision, and the versions of this code and of torch, either of which may change
  what a spec means.
- On a data set of a table (`SAME_IN_TABLE`): the data and the precision, since rows are compared.
  The fingerprint covers examples, splits, texts and classes, and so what labels were merged to.

What else rows do not share is told in footnotes (`analysis/conditions.py`), also the hash of the
sources (`code`): it moves with every edit, most of which change no number.

The device is left free. One row on two kinds of GPU is what a mixed cluster gives; at one
precision they differ by rounding, which is small beside the noise between seeds, and a CPU beside
a bfloat16 GPU is already refused for its precision. Tables name the devices in a footnote.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from mi2p.plan import Plan, PlanRow, read_plan
from mi2p.store import trial_row

SAME_IN_ROW = ("data_fingerprint", "weights", "precision", "torch_version", "code_version")
SAME_IN_TABLE = (
    *("data.name", "data.limit", "data.splits", "data.clean", "data.fix_mojibake"),
    *("data.text_field", "data_fingerprint", "precision"),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One metric of the finished trials of a row, in the order of their seeds."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    trial_ids: tuple[str, ...]
    want: int
    """How many trials the plan has for the row."""

    @property
    def n(self) -> int:
        """How many of the wanted trials are finished."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None for an empty cell."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds (ddof=1); None for fewer than two."""
        return statistics.stdev(self.values) if self.n > 1 else None

    @property
    def standard_error(self) -> float | None:
        """Of the mean over seeds; None for fewer than two."""
        return self.std / math.sqrt(self.n) if self.std is not None else None


@dataclass(frozen=True, kw_only=True, eq=False)
class RowTrials:
    """A row of a plan with what became of its trials."""

    row: PlanRow
    finished: pd.DataFrame
    """Rows of `mi2p.store.load` in the order of their seeds; only these enter cells."""
    failed: tuple[str, ...]
    """Ids of trials that ended in an error."""

    @cached_property
    def want(self) -> int:
        """How many trials the plan has for this row."""
        return len({spec.trial_id for spec in self.row.specs})

    def cell(self, metric: str, *, partly: bool = False) -> Cell:
        """The column `metric`; a finished trial without it is a `ValueError`.

        `partly` leaves such trials out: for metrics that rows did not always have.
        """
        there = self.finished[metric].notna()
        without = list(self.finished["trial_id"][~there])
        if without and not partly:
            raise ValueError(
                f"every finished trial of row {self.row.key!r} must have {metric}, but it is "
                f"missing in {', '.join(without)}; delete these files in trials/ to run them again"
            )
        having = self.finished[there]
        return Cell(
            seeds=tuple(int(seed) for seed in having["seed"]),
            values=tuple(float(value) for value in having[metric]),
            trial_ids=tuple(str(trial_id) for trial_id in having["trial_id"]),
            want=self.want,
        )


def paired(cell: Cell, reference: Cell) -> Cell:
    """`cell` minus `reference` seed by seed, over the seeds that both have."""
    theirs = dict(zip(reference.seeds, reference.values, strict=True))
    shared = [i for i, seed in enumerate(cell.seeds) if seed in theirs]
    return Cell(
        seeds=tuple(cell.seeds[i] for i in shared),
        values=tuple(cell.values[i] - theirs[cell.seeds[i]] for i in shared),
        trial_ids=tuple(cell.trial_ids[i] for i in shared),
        want=cell.want,
    )


def select(plan: Plan, trials: pd.DataFrame) -> list[RowTrials]:
    """The trials of every row of `plan`, found by id; `ValueError` where conditions are mixed.

    Only trials that are `done` in stage `confirm` are finished. Others leave their cell short.
    """
    twice = trials["trial_id"][trials["trial_id"].duplicated()]
    if len(twice):
        raise ValueError(f"a trial has one row, but {', '.join(sorted(set(twice)))} has several")
    rows = [_row_trials(row, trials) for row in plan.rows]
    for row in rows:
        _refuse_mixed_row(row)
    for dataset in plan.datasets:
        _refuse_mixed_table(plan, dataset, [row for row in rows if row.row.dataset == dataset])
    return rows


def find_plan(results: Path, *, table: int, name: str | None = None) -> Plan:
    """The plan called `name` or, without a name, the only one for this table of the paper."""
    if name is not None:
        return read_plan(results / "plans" / f"{name}.json")
    plans = find_plans(results, tables=(table,))
    if len(plans) > 1:
        names = ", ".join(plan.name for plan in plans)
        raise ValueError(f"name one of the {len(plans)} plans for table {table}: {names}")
    return plans[0]


def find_plans(results: Path, *, tables: Sequence[int]) -> list[Plan]:
    """The plans for any of these tables of the paper, by name; `FileNotFoundError` if none is."""
    folder = results / "plans"
    plans = [read_plan(path) for path in sorted(folder.glob("*.json"))]
    found = [plan for plan in plans if plan.table in tables]
    if not found:
        wanted = " or ".join(map(str, tables))
        raise FileNotFoundError(f"no plan for table {wanted} in {folder}; run its sweep first")
    return found


def _row_trials(row: PlanRow, trials: pd.DataFrame) -> RowTrials:
    if not row.specs:
        raise ValueError(f"a row needs at least one trial, but row {row.key!r} has none")
    mine = trials[trials["trial_id"].isin([spec.trial_id for spec in row.specs])]
    finished = mine[(mine["status"] == "done") & (mine["stage"] == "confirm")]
    return RowTrials(
        row=row,
        finished=finished.sort_values("seed", ignore_index=True),
        failed=tuple(sorted(mine["trial_id"][mine["status"] == "error"])),
    )


def _refuse_mixed_row(row: RowTrials) -> None:
    # What the model does not read is no condition: a trial that has run may differ in it from the
    # spec of the plan that has its id.
    unread = {f"data.{name}" for name in row.row.specs[0].unread()}
    # The specs of the plan tell of a stray one even before its trial has run.
    planned = _planned([row.row])
    conditions = [name for name in planned.columns if "." in name and name not in unread]
    for frame, columns in (
        (planned, [*conditions, "stage"]),
        (row.finished, [*conditions, *SAME_IN_ROW]),
    ):
        _refuse_mixed(
            frame,
            columns,
            by="seed",
            rule=(
                f"trials of row {row.row.key!r} on {row.row.dataset} may differ only in their seed"
            ),
        )


def _refuse_mixed_table(plan: Plan, dataset: str, rows: Sequence[RowTrials]) -> None:
    _refuse_mixed(
        pd.concat([row.finished.assign(row=row.row.key) for row in rows]),
        SAME_IN_TABLE,
        by="row",
        rule=f"rows of plan {plan.name!r} on {dataset} must be comparable",
    )


def _planned(rows: Iterable[PlanRow]) -> pd.DataFrame:
    """The trial rows that the specs would leave, for their spec columns."""
    specs = [spec for row in rows for spec in row.specs]
    return pd.DataFrame([trial_row(spec, status="done", metrics={}) for spec in specs])


def _refuse_mixed(frame: pd.DataFrame, columns: Iterable[str], *, by: str, rule: str) -> None:
    """`ValueError` that names each column with several values, and the seeds or rows of each."""
    found = []
    for column in columns:
        owners: dict[str, list[str]] = {}
        for value, owner in zip(frame[column], frame[by], strict=True):
            # A parquet null becomes NaN, which is not equal to itself: compare as text.
            text = "nothing" if pd.isna(value) else repr(value)
            owners.setdefault(text, []).append(str(owner))
        if len(owners) > 1:
            told = (
                f"{text} ({by} {', '.join(sorted(set(owners[text])))})" for text in sorted(owners)
            )
            found.append(f"{column} is {' and '.join(told)}")
    if found:
        raise ValueError(
            f"{rule}, but {'; '.join(found)}. Correct the plan, or delete the files of the "
            "other trials in trials/ and run the sweep again"
        )
