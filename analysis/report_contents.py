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
from analysis.report_failures import Failure, failures
from analysis.report_folder import Folder, portable, read_folder, told
from analysis.staleness import check
from analysis.tables import COMPARISONS
from mi2p.plan import Plan

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A table or figure that could not be made."""

    plan: str
    what: str
    """Such as `tables` or `figure curves`."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Written:
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
    tables: tuple[Written, ...]
    """The plan's own first, then claims and searches."""
    figures: tuple[Drawn, ...]
    """In the order of reading."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All that a report shows."""

    folder: Folder
    plans: tuple[Contents, ...]
    """In the order of the folder's plans."""
    failures: tuple[Failure, ...]
    stale: tuple[str, ...]
    """Cells of the written tables to which something happened since, a line each."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Those of all plans."""
        return tuple(problem for of in self.plans for problem in of.problems)


def read_report(results: Path) -> Report:
    """Write the tables of an absolute path's folder, draw its figures, and gather the rest.

    `FileNotFoundError` if it is no results folder.
    """
    folder = read_folder(results)
    made = tuple(contents(folder, plan) for plan in folder.plans)
    return Report(
        folder=folder,
        plans=made,
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
        figures += _tried(folder, plan, what, problems, partial(draw, folder.results, plan))
    return Contents(
        plan=plan,
        unfinished=unfinished,
        tables=tuple(tables),
        figures=tuple(figures),
        problems=tuple(problems),
    )


def _tables(folder: Folder, plan: Plan, problems: list[Problem]) -> list[Written]:
    def write() -> list[Path]:
        comparison = COMPARISONS.get(plan.table)
        if comparison is None:
            known = ", ".join(map(str, sorted(COMPARISONS)))
            raise ValueError(f"tables are made for {known} of the paper, but not {plan.table}")
        return comparison.write(folder.results, plan)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        paths = _tried(folder, plan, "tables", problems, write)
    for warning in warned:
        why = told(ValueError(str(warning.message)), folder.results)
        problems.append(Problem(plan=plan.name, what="tables", why=why))
    stems = dict.fromkeys(path.stem for path in paths)
    # The plan's own is the first; what stands beside it may have come in any order.
    return [
        Written(
            name=stem,
            html=(folder.results / "tables" / f"{stem}.html").read_text(encoding="utf-8"),
            latex=(folder.results / "tables" / f"{stem}.tex").read_text(encoding="utf-8"),
        )
        for stem in sorted(stems, key=lambda stem: (stem != plan.name, stem))
    ]


def _tried(
    folder: Folder,
    plan: Plan,
    what: str,
    problems: list[Problem],
    make: Callable[[], Sequence[Result]],
) -> Sequence[Result]:
    """What `make` returns; nothing and one more problem if it fails."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        # Whatever it is, all else is to be shown, and it is told in its place.
        problems.append(Problem(plan=plan.name, what=what, why=told(error, folder.results)))
        return ()
