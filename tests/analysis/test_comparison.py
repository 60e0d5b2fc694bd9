"""What tables share, on Table 5. Numbers are worked by hand in the comments."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.table5 import TABLE
from analysis.typesetting.tabular import MINUS, Table
from mi2p.plan import Plan
from mi2p.store import Store
from tests.analysis.conftest import UNTESTED, table_of

SUFFIXES = ("tex", "md", "html", "csv", "json")
ROOT = Path(__file__).resolve().parents[2]
CNN, ME_CNN, BERT, ME_BERT = range(4)


def full(lab: Any) -> Plan:
    """Every cell filled; visual gains 0.10, 0.08, 0.09, textual gains -0.01, 0, 0.01."""
    plan: Plan = lab.plan()
    lab.fill(plan.rows[CNN], [0.60, 0.64, 0.65])
    lab.fill(plan.rows[ME_CNN], [0.70, 0.72, 0.74])
    lab.fill(plan.rows[BERT], [0.80, 0.80, 0.80])
    lab.fill(plan.rows[ME_BERT], [0.79, 0.80, 0.81])
    return plan


def made(lab: Any, plan: Plan) -> Table:
    return table_of(TABLE, lab.results, plan)


def test_cells_and_gains(lab: Any) -> None:
    table = made(lab, full(lab))
    assert table.heads == ("Model design", "Acc (%)", "M-F1 (%)", "W-F1 (%)", "Δ Acc")
    assert [row.cells for row in table.rows] == [
        # Mean 0.63; deviations -0.03, 0.01, 0.02: std = sqrt(0.0014 / 2) = 0.02646.
        ("DenseNet-121", "63.0 ± 2.6", "53.0 ± 2.6", "63.0 ± 2.6", ""),
        # std 0.02. Gains 0.10, 0.08, 0.09: mean 0.09, std 0.01, error 0.01 / sqrt(3) = 0.0058.
        ("DenseNet-121 + MI2P{1-4}", "72.0 ± 2.0", "62.0 ± 2.0", "72.0 ± 2.0", "+9.0 ± 0.6"),
        ("MiniLM", "80.0 ± 0.0", "70.0 ± 0.0", "80.0 ± 0.0", ""),
        ("MiniLM + MI2P{1-3}", "80.0 ± 1.0", "70.0 ± 1.0", "80.0 ± 1.0", "+0.0 ± 0.6"),
    ]
    assert [len(group) for group in table.groups] == [2, 2]
    assert table.footnotes == (UNTESTED,)


def test_a_missing_seed_leaves_the_cell_short_and_the_gain_to_shared_seeds(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[CNN], [0.60, 0.64])
    for spec, accuracy in zip(plan.rows[ME_CNN].specs[1:], (0.60, 0.90), strict=True):
        lab.trial(spec, {"accuracy": accuracy, "macro_f1": 0.5, "weighted_f1": 0.5})
    table = made(lab, plan)
    # Mean 0.75, std = sqrt(2 * 0.15^2) = 0.2121. Only seed 1 is shared: 0.60 - 0.64 = -0.04.
    assert table.rows[ME_CNN].cells[1] == "75.0 ± 21.2 (2/3)"
    assert table.rows[ME_CNN].cells[-1] == f"{MINUS}4.0 (1/3)"
    assert table.rows[ME_BERT].cells == ("MiniLM + MI2P{1-3}", "--", "--", "--", "--")
    assert any("(n/want)" in note for note in table.footnotes)


def test_a_failed_trial_is_counted_and_never_averaged(lab: Any) -> None:
    plan = full(lab)
    lab.trial(plan.rows[ME_CNN].specs[2], {"accuracy": 0.01}, status="error")
    table = made(lab, plan)
    # 0.70 and 0.72: mean 0.71, std = 0.0141.
    assert table.rows[ME_CNN].cells[1] == "71.0 ± 1.4 (2/3)"
    assert table.rows[ME_CNN].record["failed"] == 1
    assert "Failed trials, which enter no mean: 1 (1 of DenseNet-121 + MI2P{1-4})." in (
        table.footnotes
    )


def test_no_gain_without_a_unimodal_row_of_the_same_backbone(lab: Any) -> None:
    plan = full(lab)
    table = made(lab, replace(plan, rows=(plan.rows[ME_CNN], *plan.rows[BERT:])))
    assert table.rows[0].cells[-1] == "--"


def test_one_seed_prints_no_deviation(lab: Any) -> None:
    plan = lab.plan(seeds=(3,))
    for row, accuracy in zip(plan.rows, (0.6, 0.7, 0.6, 0.65), strict=True):
        lab.fill(row, [accuracy])
    table = made(lab, plan)
    assert table.rows[ME_CNN].cells[1:] == ("70.0", "60.0", "70.0", "+10.0")
    assert "One seed (3)" in table.caption
    assert "±" not in table.caption


def test_multilabel_data_has_macro_and_micro_f1(lab: Any) -> None:
    lab = lab.on("openclipart-tags")
    plan = lab.plan(seeds=(0,))
    lab.trial(plan.rows[CNN].specs[0], {"macro_f1": 0.5, "micro_f1": 0.6})
    lab.trial(plan.rows[ME_CNN].specs[0], {"macro_f1": 0.55, "micro_f1": 0.7})
    table = made(lab, plan)
    assert table.heads == ("Model design", "Macro-F1 (%)", "Micro-F1 (%)", "Δ Micro-F1")
    assert table.rows[ME_CNN].cells[1:] == ("55.0", "70.0", "+10.0")
    assert "Δ Micro-F1 is the paired difference" in table.caption

    lab.trial(plan.rows[BERT].specs[0], {"accuracy": 0.6})
    with pytest.raises(ValueError, match="test/accuracy or none"):
        made(lab, plan)


def test_tuned_thresholds_are_columns_if_asked_for(lab: Any) -> None:
    lab = lab.on("openclipart-tags")
    plan = lab.plan(seeds=(0,))
    tuned = {"macro_f1_tuned": 0.52, "micro_f1_tuned": 0.61}
    lab.trial(plan.rows[CNN].specs[0], {"macro_f1": 0.5, "micro_f1": 0.6} | tuned)
    lab.trial(plan.rows[BERT].specs[0], {"macro_f1": 0.55, "micro_f1": 0.7})  # from before
    table = table_of(TABLE, lab.results, plan, tuned=True)
    assert table.heads[1:5] == (
        "Macro-F1 (%)",
        "Micro-F1 (%)",
        "Macro-F1* (%)",
        "Micro-F1* (%)",
    )
    assert table.rows[CNN].cells[1:5] == ("50.0", "60.0", "52.0", "61.0")
    assert table.rows[BERT].cells[1:5] == ("55.0", "70.0", "--", "--")
    assert table.footnotes[1].startswith("*: a label is predicted above one threshold")
    assert table.rows[CNN].record["micro_f1_tuned_mean"] == 61
    assert not any("*" in head for head in made(lab, plan).heads)


def test_the_size_of_the_test_split_comes_from_predictions(lab: Any) -> None:
    plan = full(lab)
    example = {"labels": [0], "probabilities": [1.0]}
    rows = [{"split": "val", "example_id": "v", **example}]
    rows += [{"split": "test", "example_id": f"t{i}", **example} for i in range(50)]
    Store(lab.results).write_predictions(plan.rows[BERT].specs[1].trial_id, rows)
    text = TABLE.write(lab.results, plan)[1].read_text()
    assert "openclipart (50 examples)" in text
    assert "One of 50 test examples is 2.00 points" in text


def test_written_files(lab: Any) -> None:
    plan = full(lab)
    paths = TABLE.write(lab.results, plan)
    assert [path.name for path in paths] == [f"table5-lab.{end}" for end in SUFFIXES]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    ids = [spec.trial_id for spec in plan.rows[ME_CNN].specs]
    lines = paths[0].read_text().splitlines()
    assert "plans/table5-lab.json" in lines[0]
    at = next(i for i, line in enumerate(lines) if r"MI2P\{1-4\} &" in line)
    assert lines[at + 1].startswith(f"% trials: {' '.join(ids)}; configuration: ")
    assert lines[at + 1].endswith("; data: f00d")
    record = list(csv.DictReader(paths[3].read_text(encoding="utf-8").splitlines()))[ME_CNN]
    assert record["row"] == "me_cnn-1-4"
    assert float(record["accuracy_mean"]) == pytest.approx(72)
    assert float(record["accuracy_std"]) == pytest.approx(2)
    assert float(record["delta_accuracy_mean"]) == pytest.approx(9)
    assert (record["n"], record["want"]) == ("3", "3")
    assert record["trial_ids"].split() == ids
    assert "accuracy_paper" not in record


def test_latex_is_balanced_and_every_row_has_every_column(lab: Any) -> None:
    text = TABLE.write(lab.results, full(lab.on("crisismmd_task2")))[0].read_text()
    bare = re.sub(r"(?m)^%.*$", "", text)
    bare = re.sub(r"\\[{}&%$_#]", "", bare)
    depth = 0
    for char in bare:
        depth += {"{": 1, "}": -1}.get(char, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    lines = [line for line in bare.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 5
    assert {line.count("&") for line in lines} == {7}
    assert text.count("S[table-format=") == 7


def test_a_rebuild_gives_the_same_bytes_in_whatever_order_files_came(
    lab: Any, tmp_path: Path
) -> None:
    plan = full(lab)
    plan.write(lab.results)
    first = [path.read_bytes() for path in TABLE.write(lab.results, plan)]
    assert [path.read_bytes() for path in TABLE.build(lab.results)] == first

    other = tmp_path / "other" / "trials"
    other.mkdir(parents=True)
    for path in sorted((lab.results / "trials").iterdir(), reverse=True):
        shutil.copy(path, other / path.name)
    plan.write(other.parent)
    assert [path.read_bytes() for path in TABLE.write(other.parent, plan)] == first


def test_a_plan_that_cannot_be_a_table_is_refused(lab: Any) -> None:
    plan = lab.plan()
    lab.trial(plan.rows[CNN].specs[0], {}, status="error")
    failed = plan.rows[CNN].specs[0].trial_id
    with pytest.raises(ValueError, match=f"'table5-lab' has none of 12; failed: {failed}"):
        TABLE.write(lab.results, plan)
    with pytest.raises(ValueError, match="a plan for table 5 is needed, but 'x' is for 6"):
        TABLE.write(lab.results, replace(plan, name="x", table=6))
    assert not (lab.results / "tables").exists()


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_stands_beside_a_table_cannot_hide_it(lab: Any) -> None:
    plan = full(lab)

    def beside(results: Path, plan: Plan) -> list[Path]:
        assert (results / "tables" / f"{plan.name}.md").exists()
        raise ValueError("predictions of x are damaged")

    with pytest.warns(UserWarning, match="the table is written, but not .*: predictions of x"):
        paths = replace(TABLE, beside=beside).write(lab.results, plan)
    assert [path.name for path in paths] == [f"{plan.name}.{end}" for end in SUFFIXES]


def test_the_command_line(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plan = full(lab)
    plan.write(lab.results)
    # As a file, from the folder that holds `results`.
    script = run(str(ROOT / "analysis" / "table5.py"), cwd=lab.results.parent)
    assert script.returncode == 0, script.stderr
    listed = script.stdout.split()
    assert listed[0] == str(Path("results", "tables", "table5-lab.tex"))
    before = (lab.results.parent / listed[0]).read_bytes()

    replace(plan, name="table5-other").write(lab.results)
    with pytest.raises(SystemExit, match=r"^error: .*table5-lab, table5-other"):
        TABLE.main([str(lab.results)])
    assert capsys.readouterr().out == ""
    TABLE.main([str(lab.results), "--plan", "table5-lab"])
    named = capsys.readouterr().out.split()
    assert [Path(path).name for path in named] == [Path(path).name for path in listed]
    assert (lab.results / "tables" / "table5-lab.tex").read_bytes() == before
