"""Where the paper's numbers, intervals and notes stand in each format."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.assembled import texts
from analysis.table3 import TABLE as TABLE3
from analysis.table5 import TABLE as TABLE5
from mi2p.data.summary import Counts, Summary
from mi2p.plan import read_plan
from sweeps.compare_crisismmd import Options, plan
from tests.analysis.test_studied import answered
from tests.analysis.typesetting.test_html_table import Tree
from tests.simulated import Simulated

WIDTH = 100
"""Columns of a terminal."""


def test_one_data_set_of_the_paper(lab: Any) -> None:
    lab = lab.on("crisismmd_task2")
    made = texts(TABLE5, TABLE5.studied(lab.results, answered(lab)))
    heads = ["Model design", "Acc (%)", "paper", "M-F1 (%)", "paper", "W-F1 (%)", "paper", "Δ Acc"]
    assert Tree(made["html"]).rows[0] == heads
    latex = "{Acc (\\%)} & {paper} & {M-F1 (\\%)} & {paper} & {W-F1 (\\%)} & {paper} & {$\\Delta$"
    assert latex in made["tex"]
    assert made["tex"].count(r"\begin{table*}") == 1

    lines = made["md"].splitlines()
    of_tables = [line for line in lines if line.startswith("|")]
    assert max(map(len, of_tables)) <= WIDTH
    at = lines.index("The paper's numbers (its Table 5), and our 95 % intervals:")
    assert re.match(r"\| Model design +\| +Acc, paper \| +M-F1, paper \| +W-F1, p", lines[at + 2])
    assert re.match(r"\| DenseNet-121 +\| 83\.4 ↑ \[\d\d\.\d, \d\d\.\d\] \|", lines[at + 4])
    assert any(line.startswith("| **") or "**90.0 ± 0.0**" in line for line in lines[:at])
    for text in ("tex", "md", "html"):
        assert "not significantly worse than the best of its metric (paired" in made[text]
    record = next(csv.DictReader(made["csv"].splitlines()))
    assert (record["row"], record["accuracy_verdict"]) == ("cnn", "above")
    assert "dataset" not in record


def test_the_rows_of_html_can_be_opened(lab: Any) -> None:
    made = texts(TABLE5, TABLE5.studied(lab.results, plan := answered(lab)))
    tree = Tree(made["html"])
    assert [tag for tag, _ in tree.tags].count("details") == 4
    assert f"trials: {' '.join(spec.trial_id for spec in plan.rows[1].specs)}" in made["html"]
    assert '<figure class="table" id="tab-table5-lab">' in made["html"]


def test_how_fine_the_test_split_is(lab: Any) -> None:
    table = answered(lab)
    counts = {split: Counts(examples=60, classes=(57, 3)) for split in ("train", "val", "test")}
    summary = Summary(
        name="openclipart",
        fingerprint="f00d",
        multilabel=False,
        classes=("a", "rare_one"),
        counts=counts,
    )
    before = texts(TABLE5, TABLE5.studied(lab.results, table))["md"]
    summary.write(lab.results)
    made = texts(TABLE5, TABLE5.studied(lab.results, table))["md"]
    assert "One of 60 test examples is 1.67 points of accuracy." in made
    assert re.search(r"With 60 test examples and 3 seeds, differences of accuracy under \d", made)
    assert "- rare_one has 3 test examples and moves macro-F1 by up to 50.0 points" in made
    assert "rare_one" not in before


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of three methods on two tasks."""
    folder: Path = tmp_path_factory.mktemp("results")
    made = plan(Options(seeds=(0, 1)))
    made = replace(made, rows=tuple(row for row in made.rows if row.dataset[-1] in "12"))
    made.write(folder)
    Simulated(folder, num_test=80).fill(made, {"cnn": 0.5, "gmu": 0.8, "me_cnn": 0.9})
    TABLE3.write(folder, made)
    return folder


def text_of(results: Path, suffix: str) -> str:
    return (results / "tables" / f"table3-crisismmd.{suffix}").read_text(encoding="utf-8")


def test_several_data_sets_have_the_papers_numbers_in_a_table_of_their_own(results: Path) -> None:
    latex = text_of(results, "tex")
    ours, theirs = latex.split(r"\end{table*}")[:2]
    assert r"\label{tab:table3-crisismmd-paper}" in theirs
    assert r"\caption{The paper's numbers (its Table 3), all in \%.}" in theirs
    assert re.search(r"(?m)^GMU & 87\.2\{\\,\$\\\w+\$\} & 84\.6", theirs)
    assert "paper: as printed there" in theirs and "paper: as printed" not in ours
    assert r"$\in$, $\uparrow$, $\downarrow$: the paper's number lies" in theirs
    assert "CrisisMMD (Task 1): With 80 test examples" in ours


def test_several_data_sets_stand_below_each_other_elsewhere(results: Path) -> None:
    page, markdown = text_of(results, "html"), text_of(results, "md")
    assert page.count("<figure") == 2
    assert 'id="tab-table3-crisismmd-crisismmd_task2"' in page
    # Each figure is about its own data set.
    first, second = page.split("</figcaption>")[:2]
    assert "on CrisisMMD (Task 1). ME" in first and "Task 2" not in first
    assert "on CrisisMMD (Task 2). ME" in second.split("<figcaption>")[1]
    assert re.findall("(?m)^### (.*)$", markdown) == ["CrisisMMD (Task 1)", "CrisisMMD (Task 2)"]
    assert markdown.count("and our 95 % intervals:") == 2
    assert max(len(line) for line in markdown.splitlines() if line.startswith("|")) <= WIDTH
    records = list(csv.DictReader(text_of(results, "csv").splitlines()))
    assert {record["dataset"] for record in records} == {"crisismmd_task1", "crisismmd_task2"}


def test_every_cell_of_several_data_sets_is_in_the_json(results: Path) -> None:
    plain = json.loads(text_of(results, "json"))
    found = {(cell["dataset"], cell["row"], cell["column"]) for cell in plain["cells"]}
    metrics = ("accuracy", "macro_f1", "weighted_f1")
    expected = {
        (f"crisismmd_task{task}", row, metric)
        for task in "12"
        for row in ("cnn", "gmu", "me_cnn")
        for metric in metrics
    }
    expected |= {(f"crisismmd_task{task}", "me_cnn", "delta_accuracy") for task in "12"}
    assert found == expected
    assert sorted(plain["files"]) == [
        f"table3-crisismmd.{end}" for end in ("csv", "html", "md", "tex")
    ]


def test_a_row_without_its_reference_says_so(lab: Any) -> None:
    plan = answered(lab)
    lone = replace(plan, rows=plan.rows[1:])  # without the CNN alone
    note = (
        "Δ Acc --: the plan has no row of the same backbone without units for DenseNet-121 + "
        "MI2P{1-4}."
    )
    made = texts(TABLE5, TABLE5.studied(lab.results, lone))
    assert f"- {note}" in made["md"] and f"<li>{note.replace('Δ', '&#916;')}</li>" in made["html"]
    assert "the plan has no row of" not in texts(TABLE5, TABLE5.studied(lab.results, plan))["md"]


def test_a_row_that_one_data_set_lacks_is_named(results: Path) -> None:
    made = read_plan(results / "plans" / "table3-crisismmd.json")
    some = replace(
        made,
        rows=tuple(row for row in made.rows if (row.dataset[-1], row.key) != ("2", "gmu")),
    )
    note = "-- where the plan has no such row: on CrisisMMD (Task 2): GMU."
    assert note in texts(TABLE3, TABLE3.studied(results, some))["tex"]
    assert "no such row: on" not in text_of(results, "tex")
