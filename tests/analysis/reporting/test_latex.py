"""The LaTeX folder of a report."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.canvas import Drawn, drawn, figure
from analysis.reporting.contents import Contents, Problem, Report, Shared, Shown
from analysis.reporting.folder import Damaged, read_folder
from analysis.reporting.latex import main_text, write
from analysis.typesetting.latex_table import to_latex
from analysis.typesetting.tabular import Row, Table
from mi2p.plan import Plan

HOSTILE = r"50 % of {x} & y_1 \section #2 ~ ^ $"


@cache
def tall() -> Drawn:
    """Higher than a page."""
    with figure(6.9, 12.0) as made:
        made.subplots().plot([0, 1])
        return drawn(made, name="table5_lab-dots", caption=HOSTILE, alternative="")


def report_of(lab: Any) -> Report:
    plan: Plan = replace(lab.plan(), name="table5_lab")
    plan = replace(plan, rows=(replace(plan.rows[0], label=HOSTILE), *plan.rows[1:]))
    plan.write(lab.results)
    lab.fill(plan.rows[0], [0.6, 0.7, 0.7], seconds=3600.0, weights="a b")
    table = Table(
        caption=HOSTILE,
        label="tab:x",
        heads=("Row", "Acc (%)"),
        groups=((Row(cells=(HOSTILE, "83.4 ± 0.5")),),),
    )
    contents = Contents(
        plan=plan,
        unfinished=False,
        tables=(Shown(name=plan.name, html="", latex=to_latex(table)),),
        figures=(tall(),),
        problems=(Problem(plan=plan.name, what="figure curves", why=HOSTILE),),
    )
    folder = replace(
        read_folder(lab.results), damaged=(Damaged(file="trials/a_b.parquet", why=HOSTILE),)
    )
    return Report(
        folder=folder,
        plans=(contents,),
        shared=Shared(),
        failures=(),
        stale=(f"table5_lab: {HOSTILE}",),
    )


def test_everything_that_the_document_reads_is_there(lab: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "latex", report_of(lab))
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "latex" / "main.tex"
    read = re.findall(r"\\input\{(.*?)\}|\\drawn\{(.*?)\}", text)
    named = {one or other for one, other in read if one or other != "#1"}
    assert named == {"tables/table5_lab.tex", "figures/table5_lab-dots.pdf"}
    there = {
        file.relative_to(path.parent).as_posix()
        for file in path.parent.rglob("*")
        if file.is_file()
    }
    assert there == {"main.tex", *named}


def test_what_an_earlier_report_left_is_gone_and_all_else_stays(lab: Any, tmp_path: Path) -> None:
    report = report_of(lab)
    write(tmp_path, report)
    (tmp_path / "main.pdf").touch()  # the user's
    (tmp_path / "notes.tex").touch()
    write(tmp_path, replace(report, plans=()))
    left = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.*")}
    assert {name for name in left if not name.startswith("results")} == {
        "main.tex",
        "main.pdf",
        "notes.tex",
    }


def test_the_document_has_no_date_and_says_what_is_not_there(lab: Any) -> None:
    text = main_text(report_of(lab))
    assert r"\date{}" in text
    assert r"\textbf{No figure curves:} 50 \% of" in text
    assert r"trials/a\_b.parquet cannot be read: 50 \% of" in text
    assert r"\section{table5\_lab}" in text


def test_rows_of_several_data_sets_are_several_tables(lab: Any) -> None:
    rows = (*lab.plan().rows, *lab.on("crisismmd_task2").plan().rows)
    plan = Plan(name="two", table=3, rows=rows)
    plan.write(lab.results)
    of = Contents(plan=plan, unfinished=True, tables=(), figures=(), problems=())
    report = Report(
        folder=read_folder(lab.results), plans=(of,), shared=Shared(), failures=(), stale=()
    )
    text = main_text(report)
    labels = re.findall(r"\\label\{(tab:report-two-budget.*?)\}", text)
    assert labels == ["tab:report-two-budget-1", "tab:report-two-budget-2"]


@pytest.mark.slow
def test_it_compiles_and_fits_its_pages(lab: Any, tmp_path: Path) -> None:
    compile_twice(write(tmp_path / "latex", report_of(lab)))


def compile_twice(main: Path) -> None:
    """Asserts that `pdflatex` has nothing to complain of."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    for _ in range(2):
        ran = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", main.name],
            cwd=main.parent,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=240,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-3000:]
    assert main.with_suffix(".pdf").exists()
    for complaint in ("Missing character", "Overfull", "Float too large", "multiply", "Warning"):
        assert complaint not in ran.stdout, ran.stdout[ran.stdout.index(complaint) :][:500]
