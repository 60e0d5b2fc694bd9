"""The files and the command line; `test_observations.py` has what is found."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.claims import main, write
from mi2p.plan import Plan
from sweeps.compare_crisismmd import Options, plan
from tests.simulated import Simulated

ROOT = Path(__file__).resolve().parents[2]
SKILL = {"cnn": 0.3, "me_cnn": 0.9, "bert": 0.6, "me_bert": 0.6, "gmu": 0.6}


def made(results: Path) -> Plan:
    table = plan(Options(dataset="crisismmd_task2"))
    table.write(results)
    Simulated(results, num_test=80).fill(table, SKILL)
    return table


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "analysis" / "claims.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_files(tmp_path: Path) -> None:
    paths = write(tmp_path, made(tmp_path))
    assert [path.name for path in paths] == [
        f"claims-table3-crisismmd_task2.{end}" for end in ("tex", "md", "html", "csv")
    ]
    latex, markdown, page, table = (path.read_text(encoding="utf-8") for path in paths)
    assert "plans/table3-crisismmd_task2.json), written by analysis/claims.py" in latex
    assert latex.count(r"\begin{table*}") == 2
    assert page.count("<figure") == 2
    rows = [line for line in markdown.splitlines() if line.startswith("| (2)")]
    assert rows == [rows[0]]
    assert [cell.strip() for cell in rows[0].split("|")[2:]] == [
        "not resolved",
        "1.000",
        "1/0/1",
        "2/2",
        "",
    ]
    records = list(csv.DictReader(table.splitlines()))
    found = next(record for record in records if record["better"] == "me_cnn")
    assert (found["claim"], found["worse"], found["verdict"]) == ("2", "cnn", "holds")
    assert found["seeds"] == "0 1 2"
    assert float(found["low"]) < float(found["difference"]) < float(found["high"])
    assert float(found["p"]) < float(found["p_holm"]) < 0.05


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    table = made(tmp_path)
    first = [path.read_bytes() for path in write(tmp_path, table)]
    assert [path.read_bytes() for path in write(tmp_path, table)] == first


@pytest.mark.slow  # takes ten seconds
def test_the_command_line(tmp_path: Path) -> None:
    table = made(tmp_path)
    ran = run(str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert "| Claim " in ran.stdout
    written = ran.stdout.split()[-4:]
    assert [Path(path).suffix for path in written] == [".tex", ".md", ".html", ".csv"]

    other = replace(table, name="table4-other", table=4)
    other.write(tmp_path)
    several = run(str(tmp_path))
    assert several.returncode == 0, several.stderr
    assert several.stdout.startswith(ran.stdout)
    assert Path(several.stdout.split()[-1]).name == "claims-table4-other.csv"
    named = run(str(tmp_path), "--plan", "table3-crisismmd_task2")
    assert named.stdout == ran.stdout


@pytest.mark.slow  # takes ten seconds
def test_the_command_line_tells_of_all_plans_also_if_one_has_a_problem(tmp_path: Path) -> None:
    table = made(tmp_path)
    empty = plan(Options(dataset="crisismmd_task1"))
    empty.write(tmp_path)
    ran = run(str(tmp_path))
    assert ran.returncode == 1
    assert "error: a table needs at least one finished trial, but plan" in ran.stderr
    assert ran.stdout.split()[-1].endswith(f"claims-{table.name}.csv")
    unknown = run(str(tmp_path), "--plan", "x")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error: ")


def without_predictions(results: Path, table: Plan) -> None:
    for row in table.rows:
        for spec in row.specs:
            if row.key != "cnn":
                path = results / "predictions" / f"{spec.trial_id}.parquet"
                path.unlink(missing_ok=True)


def test_without_a_pair_there_is_nothing_to_say(tmp_path: Path) -> None:
    table = made(tmp_path)
    without_predictions(tmp_path, table)
    assert write(tmp_path, table) == []
    assert not (tmp_path / "tables").exists()
    with pytest.raises(SystemExit, match=r"^error: a pair of methods needs predictions of a seed"):
        main([str(tmp_path)])


def test_what_cannot_be_said_any_more_is_gone(tmp_path: Path) -> None:
    table = made(tmp_path)
    before = write(tmp_path, table)
    without_predictions(tmp_path, table)
    assert write(tmp_path, table) == []
    assert not any(path.exists() for path in before)

    Simulated(tmp_path, num_test=80).fill(table, SKILL)
    before = write(tmp_path, table)
    damaged = next(row for row in table.rows if row.key == "gmu").specs[1].trial_id
    (tmp_path / "predictions" / f"{damaged}.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=f"{damaged}.parquet is not readable"):
        write(tmp_path, table)
    assert not any(path.exists() for path in before)


def test_another_table_is_refused(tmp_path: Path) -> None:
    table = made(tmp_path)
    with pytest.raises(ValueError, match="for table 3 or 4 is needed, but 'x' is for 5"):
        write(tmp_path, replace(table, name="x", table=5))
