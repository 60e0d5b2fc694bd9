"""What is Table 4's own, on made-up results; it shares much with Table 3."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.table4 import TABLE
from analysis.typesetting.tabular import Table
from mi2p.store import load
from sweeps.compare_food101_mmimdb import Options, plan
from tests.analysis.conftest import table_of
from tests.simulated import Simulated

ROOT = Path(__file__).resolve().parents[2]


def made(results: Path, dataset: str, *, tuned: bool = False) -> Table:
    table = plan(Options(dataset=dataset, seeds=(0,)))
    Simulated(results).fill(table)
    return table_of(TABLE, results, table, tuned=tuned)


def test_food101_has_accuracy_alone(tmp_path: Path) -> None:
    table = made(tmp_path, "food101")
    assert table.heads == ("Method", "Acc (%)", "paper", "Δ Acc")
    assert [row.cells[2][:4] for row in table.rows[:2]] == ["60.8", "87.9"]
    assert table.comments[0].endswith("written by analysis/table4.py.")


def test_mmimdb_has_f1_at_a_half_and_if_asked_at_the_tuned_threshold(tmp_path: Path) -> None:
    table = made(tmp_path, "mmimdb")
    heads = ["Method", "Macro-F1 (%)", "paper", "Micro-F1 (%)", "paper"]
    assert list(table.heads) == [*heads, "Δ Micro-F1"]
    assert [cell[:4] for cell in table.rows[-1].cells[2:5:2]] == ["64.2", "70.8"]
    assert not any("threshold" in note for note in table.footnotes)

    table = made(tmp_path, "mmimdb", tuned=True)
    assert list(table.heads) == [*heads, "Macro-F1* (%)", "Micro-F1* (%)", "Δ Micro-F1"]
    stored = load(tmp_path).set_index("trial_id").loc[str(table.rows[4].record["trial_ids"])]
    assert table.rows[4].cells[5] == f"{100 * stored['test/macro_f1_tuned']:.1f}"
    assert table.rows[4].cells[6] == f"{100 * stored['test/micro_f1_tuned']:.1f}"
    assert (
        "*: a label is predicted above one threshold for all labels, which gave the best micro-F1 "
        "on validation, tuned for each trial; without *: above 0.5. Columns with * are not "
        "tested: nothing in them is bold, and they have no intervals."
    ) in table.footnotes


@pytest.mark.slow
@pytest.mark.parametrize("tuned", [[], ["--tuned-threshold"]])
def test_the_command_line(tmp_path: Path, tuned: list[str]) -> None:
    table = plan(Options(dataset="packaged", seeds=(0,)))
    table.write(tmp_path)
    Simulated(tmp_path, num_test=50).fill(table, {"cnn": 0.6, "me_cnn": 0.8})
    ran = subprocess.run(
        [sys.executable, str(ROOT / "analysis" / "table4.py"), str(tmp_path), *tuned],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    names = [Path(line).name for line in ran.stdout.split()]
    assert names == [
        f"{stem}.{end}"
        for stem, ends in (
            ("table4-packaged", ("tex", "md", "html", "csv", "json")),
            ("claims-table4-packaged", ("tex", "md", "html", "csv")),
        )
        for end in ends
    ]
    latex = Path(ran.stdout.split()[0]).read_text(encoding="utf-8")
    columns = 4 if tuned else 2
    assert rf"\multicolumn{{{columns}}}{{c}}{{openclipart-tags}} \\" in latex
    assert ("Macro-F1{*}" in latex) == bool(tuned)
    markdown = Path(ran.stdout.split()[1]).read_text(encoding="utf-8")
    assert (r"Macro-F1\* (%)" in markdown) == bool(tuned)
