"""A report in a browser and in print: nothing is wider than its place.

By hand: `screenshot` in `browser.py` gives pictures to look at.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.report import main
from mi2p.plan import Plan
from mi2p.store import Store
from tests.analysis.browser import measured
from tests.analysis.reporting.test_latex import compile_twice

pytestmark = pytest.mark.slow

WIDTHS = (1280, 400)
LONG = "A-name-that-somebody-gave-without-any-space-because-it-is-that-of-a-file_" * 2


def seen(lab: Any) -> Path:
    """A report with all that can be long: names, messages, tracebacks, tables and figures."""
    rows = (*lab.plan().rows, *lab.on("crisismmd_task2").plan().rows)
    rows = (replace(rows[0], label="DenseNet-121 " + "with something more " * 2), *rows[1:])
    long = Plan(name=LONG.lower()[:80], table=0, rows=rows)
    few: Plan = lab.plan()
    for plan in (long, few):
        plan.write(lab.results)
        for place, row in enumerate(plan.rows):
            made = lab.on(row.dataset)
            made.fill(row, [0.6 + 0.01 * place, 0.64, 0.65], seconds=1234.5)
            for spec in row.specs:
                history = [{"epoch": n, "train/loss": 1 / n, "val/accuracy": 0.5} for n in (1, 2)]
                Store(lab.results).write_epochs(spec.trial_id, history)
    spec = few.rows[3].specs[2]
    lab.trial(spec, {}, status="error")
    (lab.results / "errors").mkdir()
    (lab.results / "errors" / f"{spec.trial_id}.txt").write_text(f"Traceback:\n  {LONG * 3}\n")
    (lab.results / "plans" / f"{LONG[:60]}.json").write_text(f"{LONG}")
    with pytest.raises(SystemExit, match="the report lacks"):
        main([str(lab.results)])
    folder: Path = lab.results / "report"
    return folder


def test_nothing_is_wider_than_its_place(lab: Any, tmp_path: Path) -> None:
    page = (seen(lab) / "index.html").read_text(encoding="utf-8")
    for width in WIDTHS:
        found = measured(page, width, tmp_path)
        assert found["width"] == width
        assert found["scrollWidth"] <= width
        assert found["wide"] == []
        assert found["beyond"] == []
        assert found["elements"] > 50
        assert found["images"], "no figure is shown"
        assert all(natural > 0 for natural, _ in found["images"])
        if width == min(WIDTHS):
            assert found["scrolling"] > 0, "a wide table or figure must scroll in its own box"


def test_the_measure_finds_what_is_too_wide(tmp_path: Path) -> None:
    page = (
        '<!DOCTYPE html><html><body style="margin: 0"><p style="width: 9em">Short</p>'
        '<div style="width: 500px">Beyond</div>'
        '<p style="width: 50px; overflow: hidden">Unbreakable</p>'
        f'<div class="scroll" style="overflow: auto"><b>{LONG}</b></div></body></html>'
    )
    found = measured(page, 400, tmp_path)
    assert found["scrollWidth"] == 500
    assert found["wide"] == ["P: Unbreakable"]
    assert found["beyond"] == ["DIV: Beyond"]


def test_the_document_fits_its_pages(lab: Any) -> None:
    compile_twice(seen(lab) / "latex" / "main.tex")
