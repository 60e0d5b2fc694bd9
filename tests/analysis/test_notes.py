from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.cells import Cell, select
from analysis.notes import footnotes, half_width, resolution, runs
from mi2p.store import load


def test_half_width() -> None:
    # Wald at p = 0.91, n = 451: 1.96 * sqrt(0.91 * 0.09 / 451) = 0.0264; Wilson is near it.
    assert half_width(0.91, 451) == pytest.approx(0.0264, abs=2e-4)
    # At p = 1 Wilson's interval is (n / (n + z^2), 1), half of z^2 / (n + z^2) = 3.84 / 103.84.
    assert half_width(1.0, 100) == pytest.approx(0.0185, abs=1e-4)


def test_resolution_is_of_the_best_cell() -> None:
    cells = [
        Cell(seeds=(0,), values=(value,), trial_ids=("a",), want=1) for value in (0.5, 0.8, 0.6)
    ]
    empty = Cell(seeds=(), values=(), trial_ids=(), want=1)
    # One of 400 is 0.25 points; Wilson at 0.8: 1.96 * sqrt(0.0004 + 0.000006) / 1.0096 = 0.0391.
    note = resolution([*cells, empty], 400)
    assert "One of 400 test examples is 0.25 points" in note
    assert "(80.0)" in note
    assert "3.9 points" in note


def test_the_caption_says_seeds_and_what_the_deviation_is(lab: Any) -> None:
    plan = lab.plan(seeds=(0, 1, 4))
    assert runs(plan, 439) == (
        "Mean over 3 seeds (0, 1, 4) on the test split of openclipart (439 examples); "
        "± is the sample standard deviation over seeds."
    )
    assert runs(lab.plan(seeds=(7,))) == "One seed (7) on the test split of openclipart."
    uneven = replace(plan, rows=(lab.plan(seeds=(7,)).rows[0], *plan.rows[1:]))
    assert "seeds of each row (up to 3, among 0, 1, 4, 7)" in runs(uneven)


def test_missing_failed_and_several_devices_are_told(lab: Any) -> None:
    plan = lab.plan()
    for row in plan.rows:
        lab.fill(row, [0.6, 0.6, 0.6])
    assert footnotes(select(plan, load(lab.results))) == []

    lab.trial(plan.rows[0].specs[0], {"accuracy": 0.6}, device="NVIDIA A100")
    lab.trial(plan.rows[1].specs[2], {}, status="error")
    missing, failed, devices = footnotes(select(plan, load(lab.results)))
    assert missing == "(n/want): only n of the wanted seeds are finished; --: none."
    assert failed == ("Failed trials, which enter no mean: 1 (1 of DenseNet-121 + MI2P{1-4}).")
    assert devices == "Trials ran on several devices: NVIDIA A100, cpu."
