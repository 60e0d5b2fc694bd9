"""What a results folder holds, however unfinished or damaged: what cannot be read is told.

Tables refuse a folder with a damaged file, as they must. A report is for the moment before that is
mended, and shows what there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from mi2p.data.summary import FOLDER, Summary, read_summaries
from mi2p.plan import Plan, read_plan
from mi2p.spec import TrialSpec
from mi2p.store import TRIAL_SCHEMA, Store, load

State = Literal["done", "failed", "begun", "missing"]
STATES: tuple[State, ...] = ("done", "failed", "begun", "missing")
"""Of a trial that a plan wants: finished, ended in an error, has checkpoints but no row (it runs,
or was stopped), or none of these."""
NAME = "results"
"""What a folder is called in a report, wherever it lies."""


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A file that cannot be read, and why."""

    file: str
    """Below the results folder."""
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Folder:
    """What could be read of a results folder."""

    results: Path
    plans: tuple[Plan, ...]
    """By name."""
    trials: pd.DataFrame
    """Rows as of `mi2p.store.load`, by id; no row if there are none."""
    summaries: Mapping[str, Summary]
    """Of data sets, by fingerprint."""
    damaged: tuple[Damaged, ...]
    begun: frozenset[str]
    """Ids of trials with checkpoints or faults, which are deleted when a trial is over."""

    @cached_property
    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """The row of each trial by its id; what is not there is None."""
        plain = self.trials.astype(object).where(self.trials.notna(), None)
        records: list[Any] = plain.to_dict("records")
        return {str(row["trial_id"]): row for row in records}

    def state(self, trial_id: str) -> State:
        """What became of a trial that a plan wants."""
        row = self.rows.get(trial_id)
        if row is None:
            return "begun" if trial_id in self.begun else "missing"
        if row["status"] == "error":
            return "failed"
        return "done" if row["status"] == "done" and row["stage"] == "confirm" else "missing"

    def states(self, specs: Sequence[TrialSpec]) -> dict[State, int]:
        """How many of these trials are in each state, in the order of `STATES`."""
        found = [self.state(spec.trial_id) for spec in specs]
        return {state: found.count(state) for state in STATES}

    def unpredicted(self, plan: Plan) -> list[str]:
        """Ids of the plan's finished trials whose predictions are not kept."""
        folder = self.results / "predictions"
        return sorted(
            spec.trial_id
            for spec in plan.specs()
            if self.state(spec.trial_id) == "done"
            and not (folder / f"{spec.trial_id}.parquet").exists()
        )


def read_folder(results: Path) -> Folder:
    """Everything that can be read below an absolute path.

    `FileNotFoundError` if it is no results folder at all.
    """
    confirm(results)
    damaged: list[Damaged] = []
    return Folder(
        results=results,
        plans=tuple(_plans(results, damaged)),
        trials=_trials(results, damaged),
        summaries=_summaries(results, damaged),
        damaged=tuple(damaged),
        begun=frozenset(_begun(results)),
    )


def confirm(results: Path) -> None:
    """`FileNotFoundError` if a folder has nothing of a results folder."""
    if not any((results / kind).is_dir() for kind in ("plans", "trials")):
        what = "has neither plans/ nor trials/" if results.is_dir() else "is not there"
        raise FileNotFoundError(
            f"a results folder of a sweep is needed, but {results} {what}; run a sweep first, "
            "such as sweeps/ablation_layers.py, or name the folder"
        )


def portable(text: str, results: Path) -> str:
    """The text with the folder's own absolute path as `results`: a copy has the same report."""
    return text.replace(str(results), NAME)


def told(error: BaseException, results: Path) -> str:
    """An error in one line."""
    # A message such as that of a `KeyError` says nothing without its type.
    expected = isinstance(error, (ValueError, FileNotFoundError)) and str(error)
    text = str(error) if expected else f"{type(error).__name__}: {error}"
    return portable(" ".join(text.split()), results)


def _plans(results: Path, damaged: list[Damaged]) -> Iterator[Plan]:
    for path in sorted((results / "plans").glob("*.json")):
        try:
            yield read_plan(path)
        # JSON of any other shape is damaged, too.
        except (ValueError, OSError) as error:
            damaged.append(Damaged(file=f"plans/{path.name}", why=told(error, results)))


def _trials(results: Path, damaged: list[Damaged]) -> pd.DataFrame:
    files = sorted((results / "trials").glob("*.parquet"))
    try:
        return load(results) if files else _frame([])
    except (ValueError, OSError, LookupError):
        # One bad file hides all others: read each on its own.
        return _frame(list(_each(results, files, damaged)))


def _each(
    results: Path, files: Sequence[Path], damaged: list[Damaged]
) -> Iterator[Mapping[str, Any]]:
    for path in files:
        try:
            row = Store(results).trial(path.stem)
            if row is not None:
                yield row
        except (ValueError, OSError, LookupError) as error:
            damaged.append(Damaged(file=f"trials/{path.name}", why=told(error, results)))


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=TRIAL_SCHEMA.names)


def _summaries(results: Path, damaged: list[Damaged]) -> Mapping[str, Summary]:
    try:
        return read_summaries(results)
    except (ValueError, OSError, AttributeError) as error:
        damaged.append(Damaged(file=f"{FOLDER}/", why=told(error, results)))
        return {}


def _begun(results: Path) -> Iterator[str]:
    folder = results / "checkpoints"
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            yield path.name
        elif path.name.endswith(".faults.json"):
            yield path.name.removesuffix(".faults.json")
