"""What a table wants: its rows, and the trials (one per seed) that fill each.

A sweep script declares a `Plan`; the sweep runs what is missing of it and keeps it beside the
results, and the analysis reads it there. A cell is therefore never guessed from columns: it is
made of the trials that the plan names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mi2p.files import write_whole
from mi2p.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Searched:
    """How the configuration of a row was chosen on validation."""

    study: str
    """Its name in the storage."""
    sampler: str
    scheduler: str
    against: str | None
    """The second objective, made small, such as `added_parameters`; None: there was only one."""
    wanted: int
    """Configurations that were asked for: the budget."""
    tried: int
    """Different configurations that are over: finished, pruned or failed."""
    pruned: int
    failed: int
    metric: str
    """What was maximised, such as `val/accuracy`."""
    best: float
    """Its value for the chosen configuration, at the seed of the search."""
    first: float | None
    """The same of the row as it is declared, which is tried first; None if that did not finish."""
    trials: tuple[str, ...]
    """Ids of the trials of all different configurations that were suggested, in that order, also
    of those that are not over; the first is the row as it is declared."""


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """A row of a table: specs that differ only in their seed."""

    key: str
    """Short name for `--rows`, such as `me_cnn-1-4`."""
    label: str
    """As printed, such as `DenseNet-121 + MI2P{1-4}`."""
    paper: str
    """The method's name in the paper's table."""
    specs: tuple[TrialSpec, ...]
    searched: Searched | None = None
    """None for a row that is trained as it is declared."""

    @property
    def dataset(self) -> str:
        """The data set of all its trials."""
        return self.specs[0].data.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A table's rows in order. Those of one method on several data sets have the same key."""

    name: str
    """Stem of the table's files, such as `table5-openclipart`."""
    table: int
    """The number of the table in the paper; 0 for one that the paper does not have."""
    rows: tuple[PlanRow, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every data set once, in the order of the rows."""
        return tuple(dict.fromkeys(row.dataset for row in self.rows if row.specs))

    @property
    def methods(self) -> Mapping[str, tuple[PlanRow, ...]]:
        """The rows of each key, in the order of the rows."""
        found: dict[str, tuple[PlanRow, ...]] = {}
        for row in self.rows:
            found[row.key] = (*found.get(row.key, ()), row)
        return found

    def specs(self) -> Iterator[TrialSpec]:
        """Every trial once, though two rows may share it."""
        seen = set()
        for row in self.rows:
            for spec in row.specs:
                if spec.trial_id not in seen:
                    seen.add(spec.trial_id)
                    yield spec

    def changed(self, change: Callable[[PlanRow], PlanRow], name: str) -> Plan:
        """The plan called `name` with other trials in the rows that are trained.

        `change` gives such a row with as many specs as it had; averages are then of these.
        """
        ids: dict[str, str] = {}
        rows = []
        for row in self.rows:  # parts come before what averages them
            if row.specs[0].averages:
                specs = tuple(
                    replace(spec, averages=tuple(ids[part] for part in spec.averages))
                    for spec in row.specs
                )
                row = replace(row, specs=specs)
            else:
                old, row = row, change(row)
                ids |= {
                    before.trial_id: after.trial_id
                    for before, after in zip(old.specs, row.specs, strict=True)
                }
            rows.append(row)
        return Plan(name=name, table=self.table, rows=tuple(rows))

    def write(self, results: Path) -> Path:
        """Keep the plan in `results/plans`; whole or not at all."""
        path = results / "plans" / f"{self.name}.json"
        return write_whole(path, json.dumps(self._plain(), indent=1) + "\n")

    def _plain(self) -> dict[str, Any]:
        rows = [
            {
                "key": row.key,
                "label": row.label,
                "paper": row.paper,
                "searched": asdict(row.searched) if row.searched else None,
                "trials": {spec.trial_id: spec.to_dict() for spec in row.specs},
            }
            for row in self.rows
        ]
        return {"name": self.name, "table": self.table, "rows": rows}


def read_plan(path: Path) -> Plan:
    """The plan kept at `path`; `FileNotFoundError` says which plans there are.

    `ValueError` for a file that is no plan, or whose specs have other ids now.
    """
    if not path.exists():
        there = sorted(p.stem for p in path.parent.glob("*.json"))
        known = ", ".join(there) if there else "none yet; run a sweep first"
        raise FileNotFoundError(f"no plan {path.stem!r} in {path.parent}; there: {known}")
    try:
        return _plan(path, json.loads(path.read_text()))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no plan of a sweep ({error!r}); run its sweep again to write it anew"
        ) from error


def _plan(path: Path, plain: dict[str, Any]) -> Plan:
    rows = tuple(
        PlanRow(
            key=row["key"],
            label=row["label"],
            paper=row["paper"],
            specs=tuple(_spec(path, *trial) for trial in row["trials"].items()),
            # Plans from before there were searches have no such entry.
            searched=_searched(row["searched"]) if row.get("searched") else None,
        )
        for row in plain["rows"]
    )
    return Plan(name=plain["name"], table=plain["table"], rows=rows)


def _searched(plain: dict[str, Any]) -> Searched:
    return Searched(**(plain | {"trials": tuple(plain["trials"])}))


def _spec(path: Path, trial_id: str, plain: dict[str, Any]) -> TrialSpec:
    spec = TrialSpec.from_dict(plain)
    if spec.trial_id != trial_id:
        raise ValueError(
            f"{path}: the spec kept for trial {trial_id} now has the id {spec.trial_id}; it was "
            "edited, or its fields changed meaning. Run the sweep again to write a new plan."
        )
    return spec
