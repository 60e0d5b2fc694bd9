"""The tables and figures of each plan, or what is to be told in the place of one.

Tables are written to `results/tables` by what the sweeps write them with; a report shows these
files, and has no table of its own making.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from analysis.figures.canvas import Drawn
from analysis.figures.catalogue import FIGURES
from analysis.reporting.failures import Failure, failures
from analysis.reporting.folder import Folder, portable, read_folder, told
from analysis.tables import OF_ALL, of_plan
from analysis.tracing.staleness import check
from mi2p.plan import Plan

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A table or figure that could not be made."""

    plan: str
    """Its name, or that of a table of all plans."""
    what: str
    """Such as `tables` or `figure curves`."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A table in `results/tables`."""

    name: str
    """Stem of its files."""
    html: str
    """A fragment of a page."""
    latex: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a report shows of a plan."""

    plan: Plan
    unfinished: bool
    """Whether no trial is finished, so that there is nothing to show."""
    tables: tuple[Shown, ...]
    """The plan's own first, then claims and searches."""
    figures: tuple[Drawn, ...]
    """In the order of reading."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a report shows of all plans together: sizes of the data, and how was trained."""

    tables: tuple[Shown, ...] = ()
    notes: tuple[str, ...] = ()
    """Why a table is not there yet."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All that a report shows."""

    folder: Folder
    plans: tuple[Contents, ...]
    """In the order of the folder's plans."""
    shared: Shared
    failures: tuple[Failure, ...]
    stale: tuple[str, ...]
    """Cells of the written tables to which something happened since, a line each."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Those of all plans together, then of each."""
        return (*self.shared.problems, *(one for of in self.plans for one in of.problems))


def read_report(results: Path) -> Report:
    """Write the tables of an absolute path's folder, draw its figures, and gather the rest.

    `FileNotFoundError` if it is no results folder.
    """
    folder = read_folder(results)
    return Report(
        folder=folder,
        shared=Shared() if folder.trials.empty else _shared(folder),
        plans=tuple(contents(folder, plan) for plan in folder.plans),
        failures=tuple(failures(folder)),
        # After the tables were written, or a second report would differ from the first.
        stale=tuple(portable(str(cell), results) for cell in check(results)),
    )


def contents(folder: Folder, plan: Plan) -> Contents:
    """Write the tables of a plan and draw its figures; what fails is among the problems."""
    problems: list[Problem] = []
    unfinished = not folder.states(list(plan.specs()))["done"]
    tables = [] if unfinished else _tables(folder, plan, problems)
    figures: list[Drawn] = []
    # A search has configurations to show before any trial with the seeds of the table is over.
    for name, draw in FIGURES.items() if not folder.trials.empty else ():
        what = f"figure {name}"
        figures += _tried(folder, plan.name, what, problems, partial(draw, folder.results, plan))
    return Contents(
        plan=plan,
        unfinished=unfinished,
        tables=tuple(tables),
        figures=tuple(figures),
        problems=tuple(problems),
    )


def _shared(folder: Folder) -> Shared:
    tables: list[Shown] = []
    notes: list[str] = []
    problems: list[Problem] = []

    def write(make: Callable[[Path], list[Path]]) -> list[Path]:
        try:
            return make(folder.results)
        except FileNotFoundError as error:  # nothing to make it of is no failure
            notes.append(told(error, folder.results))
            return []

    for name, make in OF_ALL.items():
        tables += _shown(folder, _tried(folder, name, "table", problems, partial(write, make)))
    return Shared(tables=tuple(tables), notes=tuple(notes), problems=tuple(problems))


def _tables(folder: Folder, plan: Plan, problems: list[Problem]) -> list[Shown]:
    """The plan's own first, whatever the order in which those beside it are written."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        write = partial(of_plan, folder.results, plan)
        paths = _tried(folder, plan.name, "tables", problems, write)
    for warning in warned:
        why = told(ValueError(str(warning.message)), folder.results)
        problems.append(Problem(plan=plan.name, what="tables", why=why))
    return sorted(_shown(folder, paths), key=lambda shown: (shown.name != plan.name, shown.name))


def _shown(folder: Folder, paths: Sequence[Path]) -> list[Shown]:
    tables = folder.results / "tables"
    return [
        Shown(
            name=stem,
            html=(tables / f"{stem}.html").read_text(encoding="utf-8"),
            latex=(tables / f"{stem}.tex").read_text(encoding="utf-8"),
        )
        for stem in dict.fromkeys(path.stem for path in paths)
    ]


def _tried(
    folder: Folder,
    name: str,
    what: str,
    problems: list[Problem],
    make: Callable[[], Sequence[Result]],
) -> Sequence[Result]:
    """What `make` returns; nothing and one more problem if it fails."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        # Whatever it is, all else is to be shown, and it is told in its place.
        problems.append(Problem(plan=name, what=what, why=told(error, folder.results)))
        return ()
