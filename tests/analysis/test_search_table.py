"""What is the own of the table of searched models; `test_comparison.py` has what is shared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.search_table import TABLE
from analysis.typesetting.tabular import Table
from mi2p.model_spec import LATE_FUSIONS
from mi2p.options import SEARCH_SEED
from mi2p.plan import Plan, PlanRow, Searched
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row
from sweeps.search import Options, plan
from tests.analysis.conftest import ENVIRONMENT, table_of

ROOT = Path(__file__).resolve().parents[2]
CNN, ME_CNN, BERT, ME_BERT, FUSION, ME_FUSION = range(6)
NAME = "models-openclipart-search20"


def chosen(row: PlanRow) -> PlanRow:
    """The row as a search might find it: another rate, another type of fusion."""

    def change(spec: TrialSpec) -> TrialSpec:
        train, model = replace(spec.train, lr=2 * spec.train.lr), spec.model
        if model.name == "fusion":
            model = replace(model, fusion=LATE_FUSIONS["concat"])
        return replace(spec, train=train, model=model)

    first = replace(row.specs[0], stage="search", seed=SEARCH_SEED)
    found = change(first)
    searched = Searched(
        study=f"openclipart {row.key} a+b_c tpe 48508ce1",
        sampler="tpe",
        scheduler="none",
        against=None,
        wanted=20,
        tried=20,
        pruned=0,
        failed=0,
        metric="val/accuracy",
        best=0.7,
        first=0.6,
        trials=(first.trial_id, found.trial_id),
    )
    return replace(row, specs=tuple(map(change, row.specs)), searched=searched)


def full(lab: Any, **options: Any) -> Plan:
    """The sweep's plan with a search's choices, whose trials are there; each row gains 0.01."""
    declared = plan(Options(**options))
    found = declared.changed(chosen, NAME)
    for number, (before, row) in enumerate(zip(declared.rows, found.rows, strict=True)):
        lab.fill(row, [0.50 + 0.01 * number + 0.001 * seed for seed in range(3)])
        for spec, value in ((before.specs[0], 0.6), (row.specs[0], 0.7)):
            Store(lab.results).write_trial(
                trial_row(
                    replace(spec, stage="search", seed=SEARCH_SEED),
                    status="done",
                    metrics={"val/accuracy": value},
                    environment=ENVIRONMENT,
                )
            )
    return found


def made(lab: Any, table: Plan) -> Table:
    return table_of(TABLE, lab.results, table)


def test_the_paper_has_no_such_numbers(lab: Any) -> None:
    for dataset in ("openclipart", "crisismmd_task2"):
        table = made(lab, full(lab, dataset=dataset))
        assert table.heads == ("Model", "Acc (%)", "M-F1 (%)", "W-F1 (%)", "Δ Acc")
        assert "paper" not in " ".join(table.footnotes)


def test_a_gain_is_to_the_same_backbones_without_units_whatever_the_fusion(lab: Any) -> None:
    table = made(lab, full(lab))
    assert [len(group) for group in table.groups] == [2, 2, 2]
    gains = [row.cells[-1] for row in table.rows]
    assert gains == ["", "+1.0 ± 0.0"] * 3
    assert table.rows[FUSION].cells[0] == "Late fusion"


def test_the_caption_says_what_was_searched_and_where_the_choices_are(lab: Any) -> None:
    table = full(lab)
    caption = made(lab, table).caption
    assert caption.startswith(
        "A CNN, a transformer and their late fusion, and the same multimodal expanded (ME) with "
        "MI2P units. Learning rates, heads, layers of units and the type of fusion are chosen by "
        f"a search; the choices are in {NAME}-search beside this table. Mean over 3 seeds"
    )
    assert "the best of 20 configurations on validation (TPE, search seed 1000)" in caption


def test_without_a_search_nothing_is_said_of_one(lab: Any) -> None:
    table = plan(Options(search=0))
    for row in table.rows:
        lab.fill(row, [0.5, 0.5, 0.5])
    assert "search" not in made(lab, table).caption


def test_the_files_and_the_choices_beside_them(lab: Any) -> None:
    paths = TABLE.write(lab.results, full(lab))
    ends = ("tex", "md", "html", "csv")
    names = [f"{NAME}.{end}" for end in (*ends, "json")] + [f"{NAME}-search.{end}" for end in ends]
    assert [path.name for path in paths] == names
    assert "written by analysis/search_table.py" in paths[0].read_text(encoding="utf-8")
    lines = paths[6].read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("| Late fusion ")]
    assert "fusion concat" in line


def test_the_command_line(lab: Any) -> None:
    full(lab).write(lab.results)
    ran = subprocess.run(
        [sys.executable, str(ROOT / "analysis" / "search_table.py")],
        cwd=lab.results.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[0] == f"results/tables/{NAME}.tex"


@pytest.mark.slow
def test_the_latex_compiles_with_booktabs_alone_and_fits(
    lab: Any, compiles: Callable[[Path, str], None]
) -> None:
    page = r"\documentclass[twocolumn]{article}\textwidth 6.875in"
    paths = TABLE.write(lab.results, full(lab))
    compiles(paths[0], page)
    compiles(paths[5], page)
