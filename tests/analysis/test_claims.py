"""The files and the command line; `test_observations.py` has what is found."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.claims import write
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
        f"claims-table3-crisismmd_task2.{end}" for end in ("tex", "md", "csv")
    ]
    latex, markdown, table = (path.read_text(encoding="utf-8") for path in paths)
    assert "plans/table3-crisismmd_task2.json), written by analysis/claims.py" in latex
    assert latex.count(r"\begin{table*}") == 2
    rows = [line for line in markdown.splitlines() if line.startswith("| (2)")]
    assert rows == [rows[0]]
    assert rows[0].endswith("not resolved (1/0/1) |")
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


def test_the_command_line(tmp_path: Path) -> None:
    table = made(tmp_path)
    ran = run(str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert "| Claim " in ran.stdout
    written = ran.stdout.split()[-3:]
    assert [Path(path).suffix for path in written] == [".tex", ".md", ".csv"]

    replace(table, name="table4-other", table=4).write(tmp_path)
    several = run(str(tmp_path))
    assert several.returncode == 1
    assert "2 plans for table 3 or 4: table3-crisismmd_task2, table4-other" in several.stderr
    named = run(str(tmp_path), "--plan", "table3-crisismmd_task2")
    assert named.stdout == ran.stdout


def test_without_a_pair_there_is_nothing_to_say(tmp_path: Path) -> None:
    table = made(tmp_path)
    for row in table.rows:
        for spec in row.specs:
            if row.key != "cnn":
                path = tmp_path / "predictions" / f"{spec.trial_id}.parquet"
                path.unlink(missing_ok=True)
    assert write(tmp_path, table) == []
    assert not (tmp_path / "tables").exists()
    ran = run(str(tmp_path))
    assert ran.returncode == 1
    assert "error: a pair of methods needs predictions of a seed that both have" in ran.stderr


def test_another_table_is_refused(tmp_path: Path) -> None:
    table = made(tmp_path)
    with pytest.raises(ValueError, match="for table 3 or 4 is needed, but 'x' is for 5"):
        write(tmp_path, replace(table, name="x", table=5))
