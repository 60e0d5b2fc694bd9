"""What is Table 3's own, on made-up results; `test_comparison.py` has what tables share."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.table3 import TABLE
from analysis.typesetting.tabular import EMPTY, Table
from mi2p.plan import Plan
from mi2p.store import load
from sweeps.compare_crisismmd import Options, plan
from tests.analysis.conftest import table_of
from tests.simulated import PAPER, Simulated

SCORE, ME_CNN, ME_SCORE = 2, 13, 15


def full(results: Path, *, num_test: int = 100, **options: Any) -> Plan:
    made = plan(Options(**options))
    Simulated(results, num_test=num_test).fill(made)
    return made


def of_one(results: Path, made: Plan) -> Table:
    return table_of(TABLE, results, made)


def test_one_task_has_the_papers_numbers_beside_ours(tmp_path: Path) -> None:
    made = full(tmp_path, dataset="crisismmd_task3", seeds=(0, 1))
    table = of_one(tmp_path, made)
    heads = ("Method", "Acc (%)", "paper", "M-F1 (%)", "paper", "W-F1 (%)", "paper", "Δ Acc")
    assert table.heads == heads
    assert [cell[:4] for cell in table.rows[0].cells[2:8:2]] == ["62.9", "52.3", "66.1"]
    assert [cell[:4] for cell in table.rows[-1].cells[2:8:2]] == ["76.5", "63.8", "75.7"]
    assert not any(EMPTY in row.cells for row in table.rows)
    assert [len(group) for group in table.groups] == [2, 7, 4, 5]
    assert table.caption.startswith("Methods of image-text classification on CrisisMMD (Task 3).")
    assert "Δ Acc is the paired difference, in points, to the row of the plain method of the " in (
        table.caption
    )


def test_an_expanded_row_is_compared_with_the_plain_one_of_its_kind(tmp_path: Path) -> None:
    made = full(tmp_path, dataset="crisismmd_task3", seeds=(0, 1))
    rows = of_one(tmp_path, made).rows
    trials = load(tmp_path).set_index("trial_id")["test/accuracy"]

    def accuracies(row: int) -> list[float]:
        return [trials[spec.trial_id] for spec in made.rows[row].specs]

    for expanded, plain in ((ME_CNN, 0), (14, 1), (ME_SCORE, SCORE), (16, 3), (17, 4)):
        pairs = zip(accuracies(expanded), accuracies(plain), strict=True)
        mean = sum(ours - theirs for ours, theirs in pairs) / 2
        assert rows[expanded].record["delta_accuracy_mean"] == pytest.approx(100 * mean)
    assert [row.cells[-1] for row in rows[:ME_CNN]] == [""] * ME_CNN

    without = replace(made, rows=tuple(row for row in made.rows if row.key != "score_fusion"))
    assert of_one(tmp_path, without).rows[ME_SCORE - 1].cells[-1] == EMPTY


def test_score_fusion_names_the_trials_it_averages(tmp_path: Path) -> None:
    made = full(tmp_path, dataset="crisismmd_task3", seeds=(0, 1))
    table = of_one(tmp_path, made)
    cnn, bert, score = (made.rows[i].specs for i in (0, 1, SCORE))
    assert table.rows[SCORE].comment.startswith(
        f"trials: {score[0].trial_id} {score[1].trial_id}; "
        f"averages: {score[0].trial_id} of {cnn[0].trial_id} and {bert[0].trial_id}, "
        f"{score[1].trial_id} of {cnn[1].trial_id} and {bert[1].trial_id}; configuration: "
    )
    assert "averages" not in table.rows[ME_SCORE].comment
    assert (
        "Score Fusion: not trained; the mean of what the two unimodal trials of the same seed "
        "predict."
    ) in table.footnotes


def test_what_multimodal_transformers_start_from(tmp_path: Path) -> None:
    packaged = full(tmp_path / "packaged", dataset="packaged", seeds=(0,))
    notes = of_one(tmp_path / "packaged", packaged).footnotes
    assert (
        "VisualBERT starts from MiniLM's weights, ViLT from its word embeddings only: neither has "
        "been pretrained on images and texts."
    ) in notes
    apart = (
        "MMBT, PixelBERT: no multimodal pretraining is public; from a CNN and a transformer "
        "pretrained apart."
    )
    assert apart in notes
    published = full(tmp_path / "crisis", dataset="crisismmd_task1", seeds=(0,))
    notes = of_one(tmp_path / "crisis", published).footnotes
    assert apart in notes
    assert not any("neither" in note for note in notes)


def test_what_must_be_known_of_differences(tmp_path: Path) -> None:
    made = full(tmp_path / "two", dataset="crisismmd_task3", seeds=(0, 1))
    notes = of_one(tmp_path / "two", made).footnotes
    assert (
        "ME Score Fusion is trained jointly, Score Fusion averages models trained apart: the "
        "difference is not the units' alone."
    ) in notes
    assert (
        "Rows are made of DenseNet-121 and bert-base-uncased, but VisualBERT of ResNet-50 and "
        "visualbert-vqa-coco-pre, ViLT of vilt-b32-mlm."
    ) in notes

    one = full(tmp_path / "one", dataset="packaged", seeds=(0,))
    notes = of_one(tmp_path / "one", one).footnotes
    assert not any(note.startswith("Rows are made of") for note in notes)


def test_damaged_predictions_lose_the_claims_and_not_the_table(tmp_path: Path) -> None:
    made = full(tmp_path, dataset="crisismmd_task3", seeds=(0,))
    assert len(TABLE.write(tmp_path, made)) == 9
    damaged = tmp_path / "predictions" / f"{made.rows[3].specs[0].trial_id}.parquet"
    damaged.write_bytes(damaged.read_bytes()[:500])
    with pytest.warns(UserWarning, match=f"{damaged.name} is not readable as predictions"):
        paths = TABLE.write(tmp_path, made)
    assert len(paths) == 5
    assert sorted((tmp_path / "tables").iterdir()) == sorted(paths)


@pytest.mark.slow
def test_three_tasks_in_the_papers_shape(tmp_path: Path) -> None:
    made = full(tmp_path, seeds=(0,))
    paths = TABLE.write(tmp_path, made)
    names = [path.name for path in paths]
    ends = ("tex", "md", "html", "csv")
    assert names[:5] == [f"table3-crisismmd.{end}" for end in (*ends, "json")]
    assert names[5:] == [f"claims-table3-crisismmd.{end}" for end in ends]

    latex = paths[0].read_text(encoding="utf-8")
    assert r"\multicolumn{3}{c}{CrisisMMD (Task 1)} & \multicolumn{3}{c}{Cris" in latex
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7} \cmidrule(lr){8-10}" in latex
    assert latex.split(r"\end{table*}")[0].count("Score Fusion &") == 2
    first = re.search(r"(?m)^Unimodal DenseNet-121 & (.*) \\\\\n% (.*)$", latex)
    assert first is not None
    trials = {row["trial_id"]: row for row in load(tmp_path).to_dict("records")}
    specs = [row.specs[0] for row in made.rows if row.key == "cnn"]
    cells = [
        f"{100 * float(trials[spec.trial_id][f'test/{metric}']):.1f}"
        for spec in specs
        for metric in ("accuracy", "macro_f1", "weighted_f1")
    ]
    assert first[1].replace(r"\bfseries ", "").split(" & ") == cells
    for spec in specs:
        assert f"{spec.data.name}: trials: {spec.trial_id}; configuration: " in first[2]
    assert "paper" not in latex.split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0]

    markdown = paths[1].read_text(encoding="utf-8")
    assert re.findall("(?m)^### (.*)$", markdown) == [
        f"CrisisMMD (Task {task})" for task in (1, 2, 3)
    ]
    assert markdown.count("Acc, paper |") == 3
    assert markdown.count("no multimodal pretraining is public") == 1

    records = list(csv.DictReader(paths[3].read_text(encoding="utf-8").splitlines()))
    assert len(records) == 54
    assert [record["dataset"] for record in records[::18]] == list(made.datasets)
    assert records[18]["row"] == "cnn"
    assert float(records[18]["accuracy_paper"]) == 83.4


def test_a_task_whose_trials_are_not_there_yet_has_empty_cells(tmp_path: Path) -> None:
    made = plan(Options(seeds=(0, 1)))
    some = replace(made, rows=tuple(row for row in made.rows if row.dataset == made.datasets[1]))
    Simulated(tmp_path).fill(some, {"cnn": 0.6, "mmbt": 0.7})
    paths = TABLE.write(tmp_path, made)
    latex = paths[0].read_text(encoding="utf-8")
    assert re.search(r"(?m)^MMBT & -- & -- & -- & .*\d.* & -- & -- & -- \\\\$", latex)
    assert "(n/want): only n of the wanted seeds are finished; --: none." in latex
    records = list(csv.DictReader(paths[3].read_text(encoding="utf-8").splitlines()))
    assert [record["n"] for record in records if record["row"] == "mmbt"] == ["0", "2", "0"]


@pytest.mark.slow
def test_the_latex_of_three_tasks_fits_a_page_of_two_columns(
    tmp_path: Path, compiles: Callable[[Path, str], None]
) -> None:
    # The longest labels and the most crowded cells: seeds missing, deviations of two digits.
    made = plan(Options(visual="efficientnet_lite0"))
    results = tmp_path / "results"
    Simulated(results, num_test=40, luck=0.4).fill(made)
    for row in made.rows:
        (results / "trials" / f"{row.specs[0].trial_id}.parquet").unlink()
    table, *_, claims, _, _, _ = TABLE.write(results, made)
    text = table.read_text(encoding="utf-8")
    assert re.search(r"\d\d\.\d\{\$_\{\\pm \d\d\.\d\}\^\{\(2/3\)\}\$\}", text)
    page = r"\documentclass[twocolumn]{article}\textwidth 6.875in"
    compiles(table, page)
    # A page of pairs is longer than LaTeX's narrow default, not than a conference's page.
    compiles(claims, page + r"\textheight 8.875in")


def test_what_may_stand_in_the_plan(tmp_path: Path) -> None:
    made = full(tmp_path, dataset="crisismmd_task3", seeds=(0,))
    twice = replace(made, rows=(*made.rows, made.rows[0]))
    both = replace(twice, rows=(*twice.rows, *plan(Options(dataset="openclipart")).rows))
    with pytest.raises(ValueError, match="'cnn' has several on crisismmd_task3"):
        TABLE.write(tmp_path, both)
    assert set(PAPER) == {row.key for row in made.rows}
