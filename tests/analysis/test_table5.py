"""What is Table 5's own; `test_comparison.py` has what it shares with others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import comparison
from analysis.table5 import TABLE
from mi2p.plan import Plan
from tests.analysis.conftest import UNTESTED, table_of

CNN, ME_CNN, BERT, ME_BERT = range(4)

MARKDOWN = """\
MI2P units attached to different layers: MI2P{1-4} has one at each of layers (or blocks) 1 to 4. \
Mean over 3 seeds (0, 1, 2) on the test split of openclipart (50 examples); ± is the sample \
standard deviation over seeds. Δ Acc is the paired difference, in points, to the row of the same \
backbone without units, ± its standard error over seeds. Each trial is tested at its best epoch \
on validation.

| Model design             |    Acc (%) |   M-F1 (%) |   W-F1 (%) |      Δ Acc |
| ------------------------ | ---------: | ---------: | ---------: | ---------: |
| DenseNet-121             | 63.0 ± 2.6 | 53.0 ± 2.6 | 63.0 ± 2.6 |            |
| DenseNet-121 + MI2P{1-4} | 72.0 ± 2.0 | 62.0 ± 2.0 | 72.0 ± 2.0 | +9.0 ± 0.6 |
|                          |            |            |            |            |
| MiniLM                   | 80.0 ± 0.0 | 70.0 ± 0.0 | 80.0 ± 0.0 |            |
| MiniLM + MI2P{1-3}       | 80.0 ± 1.0 | 70.0 ± 1.0 | 80.0 ± 1.0 | +0.0 ± 0.6 |

- No intervals, tests and verdicts: the predictions of these trials are not kept.
- One of 50 test examples is 2.00 points of accuracy. At the best accuracy (80.0) the binomial \
95 % half-width is 10.9 points (Wilson): the noise of a test split of this size, which ± over \
seeds does not contain.
"""


def full(lab: Any) -> Plan:
    plan: Plan = lab.plan()
    lab.fill(plan.rows[CNN], [0.60, 0.64, 0.65])
    lab.fill(plan.rows[ME_CNN], [0.70, 0.72, 0.74])
    lab.fill(plan.rows[BERT], [0.80, 0.80, 0.80])
    lab.fill(plan.rows[ME_BERT], [0.79, 0.80, 0.81])
    return plan


def test_the_papers_numbers_stand_beside_ours_only_on_its_data_set(lab: Any) -> None:
    lab = lab.on("crisismmd_task2")
    plan = full(lab)
    strange = replace(plan.rows[ME_BERT], paper="Bert + MI2P{5-6}")
    table = table_of(TABLE, lab.results, replace(plan, rows=(*plan.rows[:ME_BERT], strange)))
    assert table.heads[1:7] == ("Acc (%)", "paper", "M-F1 (%)", "paper", "W-F1 (%)", "paper")
    assert table.rows[CNN].cells[2:8:2] == ("83.4", "60.5", "87.0")
    assert table.rows[ME_CNN].cells[2:8:2] == ("90.7", "75.8", "91.6")
    assert table.rows[ME_BERT].cells[2:8:2] == ("--", "--", "--")
    assert table.rows[CNN].record["accuracy_paper"] == 83.4
    assert TABLE.paper("openclipart") == {}
    assert len(TABLE.paper("crisismmd_task2")) == 12
    assert table.footnotes == (
        UNTESTED,
        "paper: as printed there for DenseNet and BERT, without deviation or number of runs; "
        "--: it has no such row.",
    )


def test_the_whole_text(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = full(lab)
    monkeypatch.setattr(comparison, "sizes_of_test", lambda *_: {"openclipart": 50})
    assert TABLE.write(lab.results, plan)[1].read_text(encoding="utf-8") == MARKDOWN


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "page"),
    [
        ("openclipart", r"\documentclass{article}"),
        # The paper's numbers need the width of a two-column page.
        ("crisismmd_task2", r"\documentclass[twocolumn]{article}\textwidth 6.875in"),
    ],
)
def test_the_latex_compiles_with_booktabs_alone_and_fits(
    lab: Any, compiles: Callable[[Path, str], None], dataset: str, page: str
) -> None:
    lab = lab.on(dataset)
    plan = full(lab)
    lab.fill(plan.rows[BERT], [0.8, 0.8, 0.8], device=r"odd_[50%] & {x} ~^\<|>#$")
    if "twocolumn" in page:
        lab.trial(plan.rows[ME_BERT].specs[2], {}, status="error")
    compiles(TABLE.write(lab.results, plan)[0], page)
