"""What is Table 6's own; `test_comparison.py` has what it shares with others."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.table6 import TABLE
from analysis.typesetting.tabular import MINUS, Table
from mi2p.plan import Plan
from sweeps.ablation_backbones import Options, plan
from tests.analysis.conftest import UNTESTED, table_of

ROOT = Path(__file__).resolve().parents[2]
RESNET, ME_RESNET, XLNET, ME_XLNET, CLIP_TEXT, ME_CLIP_TEXT, CLIP_IMAGE, ME_CLIP_IMAGE = range(8)


def full(lab: Any, dataset: str = "crisismmd_task2", **options: Any) -> Plan:
    """The sweep's own plan with every cell filled; each unit row gains 0.1, 0.2, 0.3."""
    table = plan(Options(dataset=dataset, **options))
    for number, row in enumerate(table.rows):
        base = 0.50 + 0.01 * number
        gains = (0.1, 0.2, 0.3) if row.specs[0].model.units else (0.0, 0.0, 0.0)
        lab.fill(row, [base + gain for gain in gains])
    return table


def made(lab: Any, table: Plan) -> Table:
    return table_of(TABLE, lab.results, table)


def test_the_papers_numbers_stand_beside_ours(lab: Any) -> None:
    table = made(lab, full(lab))
    heads = ("Model", "Acc (%)", "paper", "M-F1 (%)", "paper", "W-F1 (%)", "paper", "Δ Acc")
    assert table.heads == heads
    # From the paper's Table 6 as printed: accuracy, macro F1, weighted F1.
    printed = {
        RESNET: ("83.9", "61.4", "87.6"),
        ME_RESNET: ("91.4", "76.3", "91.9"),
        XLNET: ("87.8", "67.4", "88.3"),
        ME_XLNET: ("92.1", "84.6", "92.8"),
        CLIP_TEXT: ("86.3", "61.1", "86.8"),
        ME_CLIP_TEXT: ("90.4", "76.2", "90.2"),
        CLIP_IMAGE: ("84.3", "60.3", "84.1"),
        ME_CLIP_IMAGE: ("89.6", "74.7", "90.1"),
    }
    assert {i: row.cells[2:8:2] for i, row in enumerate(table.rows)} == printed
    assert table.footnotes == (
        UNTESTED,
        "paper: as printed there, without deviation or number of runs; --: it has no such row.",
    )


def test_a_gain_is_to_the_row_of_the_same_backbone(lab: Any) -> None:
    table = full(lab)
    # The two CNNs differ by 0.06: pairing ME CLIP with ResNet would give 0.26 in the mean.
    lab.fill(table.rows[ME_XLNET], [0.42, 0.42, 0.42])
    shown = made(lab, table)
    # Gains 0.11, 0.21, 0.31 (a row later is 0.01 higher): mean 0.21, error 0.1 / sqrt(3) = 0.058.
    assert shown.rows[ME_RESNET].cells[-1] == "+21.0 ± 5.8"
    assert shown.rows[ME_CLIP_IMAGE].cells[-1] == "+21.0 ± 5.8"
    # 0.42 - 0.52 at every seed.
    assert shown.rows[ME_XLNET].cells[-1] == f"{MINUS}10.0 ± 0.0"
    assert [shown.rows[i].cells[-1] for i in (RESNET, XLNET, CLIP_TEXT, CLIP_IMAGE)] == [""] * 4


def test_a_rule_is_drawn_where_the_trained_modality_changes(lab: Any) -> None:
    labels = [[row.cells[0] for row in group] for group in made(lab, full(lab)).groups]
    assert [len(group) for group in labels] == [2, 4, 2]
    assert all(group[1] == f"ME {group[0]}" for group in labels)


def test_the_caption_names_the_frozen_encoders(lab: Any) -> None:
    caption = made(lab, full(lab)).caption
    assert caption.startswith(
        "Pre-trained backbones, and the same multimodal expanded (ME): with a MI2P unit at every "
        "block or layer. Units of CNNs look at the words of a frozen BERT. Units of transformers "
        "look at the map of a frozen DenseNet-121. Mean over 3 seeds (0, 1, 2) on the test split "
        "of crisismmd_task2"
    )
    only = made(lab, full(lab, backbones=("xlnet-base-cased",))).caption
    assert "Units of CNNs" not in only
    assert "Units of transformers look at the map of a frozen DenseNet-121." in only


def test_rows_that_read_less_text_are_told(lab: Any) -> None:
    # CLIP's 77 positions, of the 512 word pieces that the protocol of web pages asks for.
    table = full(lab, "food101")
    text, expanded = (table.rows[i].label for i in (CLIP_TEXT, ME_CLIP_TEXT))
    assert made(lab, table).footnotes == (
        f"Texts are cut at 512 word pieces, but at 77 in {text}, {expanded} "
        "(their encoders take no more).",
        UNTESTED,
    )


def test_tiny_random_backbones_are_told(lab: Any) -> None:
    table = full(lab, "openclipart", smoke=True)
    note, untested = made(lab, table).footnotes
    assert untested == UNTESTED
    titles = [table.rows[i].label for i in (RESNET, XLNET, CLIP_TEXT, CLIP_IMAGE)]
    assert note == (
        f"Not pretrained: {', '.join(titles)}. Rows with them only show that the path works, "
        "their numbers say nothing."
    )
    assert made(lab, table).heads == ("Model", "Acc (%)", "M-F1 (%)", "W-F1 (%)", "Δ Acc")


def test_the_command_line(lab: Any) -> None:
    full(lab).write(lab.results)
    ran = subprocess.run(
        [sys.executable, str(ROOT / "analysis" / "table6.py")],
        cwd=lab.results.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    names = [
        f"results/tables/table6-crisismmd_task2.{end}"
        for end in ("tex", "md", "html", "csv", "json")
    ]
    assert ran.stdout.split() == names
    written = lab.results.parent / names[0]
    assert "written by analysis/table6.py" in written.read_text(encoding="utf-8")
    with (lab.results.parent / names[3]).open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    assert records[ME_RESNET]["row"] == "me-resnet50"
    assert float(records[ME_RESNET]["accuracy_paper"]) == 91.4
    # 0.61, 0.71, 0.81: mean 0.71.
    assert float(records[ME_RESNET]["accuracy_mean"]) == pytest.approx(71)


@pytest.mark.slow
def test_the_latex_compiles_with_booktabs_alone_and_fits(
    lab: Any, compiles: Callable[[Path, str], None]
) -> None:
    table = full(lab)
    lab.trial(table.rows[ME_CLIP_TEXT].specs[2], {}, status="error")
    page = r"\documentclass[twocolumn]{article}\textwidth 6.875in"
    compiles(TABLE.write(lab.results, table)[0], page)
