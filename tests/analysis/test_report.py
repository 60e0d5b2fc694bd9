"""The command line of reports: what it writes, says and ends with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from analysis.report import main
from analysis.reporting import contents as report_contents
from analysis.table5 import TABLE
from mi2p.plan import Plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds; `test_report_shown.py` has them."""
    monkeypatch.setattr(report_contents, "FIGURES", MappingProxyType({}))


def filled(lab: Any) -> Plan:
    plan: Plan = lab.plan()
    plan.write(lab.results)
    for row in plan.rows:
        lab.fill(row, [0.60, 0.64, 0.65], seconds=10.0)
    lab.trial(plan.rows[0].specs[0], {}, status="error")
    return plan


def files(folder: Path) -> Mapping[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_says_where_the_report_is(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    filled(lab)
    main([str(lab.results)])
    page, latex = capsys.readouterr().out.split()
    assert Path(page) == lab.results / "report" / "index.html"
    assert Path(latex) == lab.results / "report" / "latex" / "main.tex"
    assert "DenseNet-121 + MI2P{1-4}" in Path(page).read_text()
    assert r"\input{tables/table5-lab.tex}" in Path(latex).read_text()


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(
    lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(lab)
    # Whose message names its path.
    (lab.results / "plans" / "cut.json").write_text("{")
    path = lab.results / "trials" / "cut.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(SystemExit):
        main([str(lab.results)])
    first = files(lab.results)
    with pytest.raises(SystemExit):
        main([str(lab.results)])
    assert files(lab.results) == first
    copy = tmp_path / "another place" / "of the same"
    shutil.copytree(lab.results, copy)
    shutil.rmtree(copy / "report")
    with pytest.raises(SystemExit):
        main([str(copy)])
    assert files(copy) == first
    assert not any(str(tmp_path).encode() in content for content in first.values())


def test_what_is_missing_is_said_at_the_end(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plan = filled(lab)
    lab.fill(plan.rows[0], [0.6, 0.6], precision="bfloat16")
    (lab.results / "plans" / "cut.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        main([str(lab.results)])
    told = str(ended.value).splitlines()
    assert told[0].startswith("plans/cut.json: ")
    assert told[1].startswith("table5-lab, tables: trials of row 'cnn' on openclipart may differ")
    assert told[-1] == "error: the report lacks what is named above"
    # It is written all the same.
    assert "plans/cut.json" in Path(capsys.readouterr().out.split()[0]).read_text()


def test_a_folder_in_which_nothing_is_finished_is_no_error(
    lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.plan().write(lab.results)
    main([str(lab.results)])
    assert "there is no table yet" in Path(capsys.readouterr().out.split()[0]).read_text()


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_no_results_folder(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="a results folder of a sweep is needed"):
        main([str(tmp_path), *arguments])
    assert not list(tmp_path.iterdir())


def test_a_check_writes_nothing(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plan = filled(lab)
    TABLE.write(lab.results, plan)
    before = files(lab.results)
    main([str(lab.results), "--check"])
    assert capsys.readouterr().out == "no cell is out of date\n"
    # Another seed is wanted, and a trial has run again.
    row = plan.rows[1]
    more = replace(row, specs=(*row.specs, replace(row.specs[0], seed=7)))
    replace(plan, rows=(plan.rows[0], more, *plan.rows[2:])).write(lab.results)
    lab.fill(plan.rows[2], [0.1])
    changed = files(lab.results)
    with pytest.raises(SystemExit) as ended:
        main([str(lab.results), "--check"])
    told = capsys.readouterr().out.splitlines()
    assert str(ended.value) == f"error: {len(told)} entries above are out of date"
    assert any("row me_cnn-1-4" in line for line in told)
    assert any(plan.rows[2].specs[0].trial_id in line for line in told)
    assert files(lab.results) == changed
    assert before != changed


def test_after_a_report_nothing_is_out_of_date(
    lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(lab)
    main([str(lab.results)])
    capsys.readouterr()
    main([str(lab.results), "--check"])
    assert capsys.readouterr().out == "no cell is out of date\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", [["analysis/report.py"], ["-m", "analysis.report"]])
def test_it_runs_as_a_file_and_as_a_module(lab: Any, command: list[str]) -> None:
    lab.plan().write(lab.results)
    ran = subprocess.run(
        [sys.executable, *command, str(lab.results)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].endswith("report/index.html")
