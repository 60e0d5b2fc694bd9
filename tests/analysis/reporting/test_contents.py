"""Tables and figures of a plan, and what is told in the place of those that fail."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from analysis.figures.canvas import Drawn
from analysis.reporting import contents as report_contents
from analysis.reporting.contents import Problem, Shared, contents, read_report
from analysis.reporting.folder import read_folder
from analysis.table5 import TABLE
from mi2p.plan import Plan

Draw = Callable[[Path, Plan], list[Drawn]]


def a_figure(results: Path, plan: Plan) -> list[Drawn]:
    return [Drawn(name="one", caption="One.", alternative="One dot.", png=b"png", pdf=b"pdf")]


def broken(results: Path, plan: Plan) -> list[Drawn]:
    raise ZeroDivisionError(f"no spread in {results}/trials")


def nothing(results: Path, plan: Plan) -> list[Drawn]:
    return []


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def replace_them(**draw: Draw) -> None:
        monkeypatch.setattr(report_contents, "FIGURES", MappingProxyType(draw))

    return replace_them


def filled(lab: Any) -> Plan:
    plan: Plan = lab.plan()
    plan.write(lab.results)
    for row in plan.rows:
        lab.fill(row, [0.60, 0.64, 0.65])
    return plan


def test_tables_are_the_files_that_sweeps_write(lab: Any, figures: Callable[..., None]) -> None:
    plan = filled(lab)
    figures(one=a_figure, none=nothing)
    TABLE.write(lab.results, plan)
    files = sorted((lab.results / "tables").iterdir())
    before = {path: path.read_bytes() for path in files}
    found = contents(read_folder(lab.results), plan)
    assert {path: path.read_bytes() for path in (lab.results / "tables").iterdir()} == before
    (table,) = found.tables
    assert table.name == plan.name
    assert table.latex.encode() == before[lab.results / "tables" / f"{plan.name}.tex"]
    assert table.html.encode() == before[lab.results / "tables" / f"{plan.name}.html"]
    assert [drawn.name for drawn in found.figures] == ["one"]
    assert not found.problems
    assert not found.unfinished


def test_what_fails_does_not_take_the_rest_with_it(lab: Any, figures: Callable[..., None]) -> None:
    plan = filled(lab)
    # Another precision: the table must refuse to average.
    lab.fill(plan.rows[0], [0.6], precision="bfloat16")
    figures(broken=broken, one=a_figure)
    found = contents(read_folder(lab.results), plan)
    assert [drawn.name for drawn in found.figures] == ["one"]
    assert found.tables == ()
    tables, figure = found.problems
    assert (tables.plan, tables.what) == (plan.name, "tables")
    assert "precision is 'bfloat16' (seed 0)" in tables.why
    assert figure.what == "figure broken"
    assert figure.why == "ZeroDivisionError: no spread in results/trials"


def test_what_stands_beside_a_table_may_fail_alone(
    lab: Any, figures: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = filled(lab)
    figures()

    def warns(results: Path, plan: Plan) -> list[Path]:
        paths = TABLE.write(results, plan)
        warnings.warn(f"no claims in {results}", stacklevel=2)
        return paths

    monkeypatch.setattr(report_contents, "of_plan", warns)
    found = contents(read_folder(lab.results), plan)
    assert [table.name for table in found.tables] == [plan.name]
    assert [problem.why for problem in found.problems] == ["no claims in results"]


def test_a_plan_for_a_table_that_nobody_makes(lab: Any, figures: Callable[..., None]) -> None:
    figures()
    plan = filled(lab)
    other = Plan(name="seven", table=7, rows=plan.rows)
    (problem,) = contents(read_folder(lab.results), other).problems
    assert problem.why == "seven is for table 7, but there are 0, 3, 4, 5, 6"


def test_nothing_is_made_of_nothing(lab: Any, figures: Callable[..., None]) -> None:
    figures(broken=broken)
    plan: Plan = lab.plan()
    plan.write(lab.results)
    report = read_report(lab.results)
    (found,) = report.plans
    assert found.unfinished
    assert (found.tables, found.figures, found.problems) == ((), (), ())
    assert not (lab.results / "tables").exists()


def test_out_of_date_is_told_without_the_folders_path(
    lab: Any, figures: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures()
    filled(lab)
    monkeypatch.setattr(
        report_contents, "check", lambda results: [f"x: {results}/tables/x.json is damaged"]
    )
    assert read_report(lab.results).stale == ("x: results/tables/x.json is damaged",)


def test_tables_of_all_plans(
    lab: Any, figures: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures()
    filled(lab)
    report = read_report(lab.results)
    assert [table.name for table in report.shared.tables] == ["table2"]
    # The lab keeps no summary of its data, which is no failure.
    (note,) = report.shared.notes
    assert note.startswith("Table 1 needs what sweeps keep of data sets, but results/datasets has")
    assert report.problems == ()

    def broken(results: Path) -> list[Path]:
        raise ValueError("mixed")

    monkeypatch.setattr(report_contents, "OF_ALL", {"table1": broken})
    report = read_report(lab.results)
    assert report.shared == Shared(problems=report.problems)
    assert report.problems == (Problem(plan="table1", what="table", why="mixed"),)
