from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.inference.power import outlook
from analysis.seed_planner import main, planned, text
from mi2p.plan import Plan
from sweeps.compare_crisismmd import Options, plan
from tests.simulated import Simulated

ROWS = ("me_cnn", "cnn")


def made_up(results: Path, *, luck: float = 0.1, better: float = 0.68) -> Plan:
    """Unimodal rows with and without units, with two seeds each."""
    whole = plan(Options(dataset="crisismmd_task3", seeds=(0, 1)))
    keys = {"cnn": 0.6, "bert": 0.6, "me_cnn": better, "me_bert": 0.6}
    made = replace(whole, rows=tuple(row for row in whole.rows if row.key in keys))
    made.write(results)
    Simulated(results, num_test=200, luck=luck).fill(made, keys)
    return made


def test_how_many_seeds_and_how_surely(tmp_path: Path) -> None:
    made = made_up(tmp_path)
    found = planned(tmp_path, made, ROWS, difference=0.12)
    assert not found.hopeless and found.seeds is not None and found.fewest is not None
    assert found.fewest <= found.seeds <= (found.most or math.inf)
    assert found.pilot.difference.seeds == (0, 1) and len(found.pilot.others) == 2
    by_count = {step.seeds: step for step in found.steps}
    assert list(by_count) == [*sorted({2, 3, 5, 10, 20, 50, 100, found.seeds}), None]
    assert by_count[found.seeds].power >= 0.8
    assert by_count[5].power == outlook(found.pilot, 5).power(0.12)
    told = text(found)
    assert f"To find 12.0 points with a power of 80 %: {found.seeds} seeds of each row." in told
    assert re.search(r"from \d+ to (more than )?\d+ seeds", told)
    assert "pilot happens to show" not in told
    assert max(map(len, told.splitlines())) < 200


def test_without_a_difference_it_is_the_pilots(tmp_path: Path) -> None:
    found = planned(tmp_path, made_up(tmp_path), (ROWS[1], ROWS[0]))
    assert found.observed and found.difference == -found.pilot.difference.mean > 0
    assert "The difference is the one that the pilot happens to show" in text(found)


def test_where_no_number_of_seeds_will_do(tmp_path: Path) -> None:
    found = planned(tmp_path, made_up(tmp_path), ROWS, difference=0.01)
    assert found.hopeless and (found.seeds, found.fewest, found.most) == (None, None, None)
    # With so many examples, the noise of which goes down with their root, it could be found.
    larger = replace(found.pilot, floor=found.pilot.floor * 200 / found.examples)
    assert outlook(larger, math.inf).power(0.01) == pytest.approx(0.8, abs=0.005)
    told = text(found)
    assert "No number of seeds finds 1.0 points with a power of 80 %" in told
    assert f"1.0 need at least {found.examples} test examples (there are 200)" in told
    assert f"{100 * found.steps[-1].resolvable:.1f} points can be found" in told


def test_where_the_pilot_shows_no_noise_of_examples(tmp_path: Path) -> None:
    found = planned(tmp_path, made_up(tmp_path), ROWS, difference=0.12)
    assert found.pilot.floor > 0 and "any number" in text(found)
    assert "no noise of the test examples" not in text(found)
    told = text(replace(found, pilot=replace(found.pilot, floor=0.0)))
    assert "The pilot shows no noise of the test examples beyond chance answers" in told
    assert "\n   any number" not in told


def test_where_it_is_not_known_whether_any_number_will_do(tmp_path: Path) -> None:
    made = made_up(tmp_path)
    wanted = 0.01 + planned(tmp_path, made, ROWS, difference=0.12).steps[-1].resolvable
    found = planned(tmp_path, made, ROWS, difference=wanted)
    largest = replace(found.pilot, floor=found.pilot.ceiling)
    # 2.8 standard errors.
    assert found.surely == pytest.approx(2.8 * math.sqrt(found.pilot.ceiling), rel=0.02)
    assert outlook(largest, math.inf).power(wanted) < 0.8
    assert found.uncertain and not found.hopeless and found.most is None
    told = text(found)
    assert "by the pilot's estimates, but it is not known whether any number will do" in told
    assert f"no less than {100 * found.surely:.1f} points are found" in told


def test_every_legal_power_is_planned(tmp_path: Path) -> None:
    found = planned(tmp_path, made_up(tmp_path), ROWS, difference=0.12, power=0.051)
    assert found.seeds == 2 and found.steps[0].resolvable < 0.05


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = made_up(tmp_path)
    asked = [str(tmp_path), "--plan", made.name, "--rows", *ROWS, "--difference", "12"]
    main([*asked, "--power", "0.9", "--metric", "macro_f1"])
    told = capsys.readouterr().out
    assert told == text(
        planned(tmp_path, made, ROWS, difference=0.12, power=0.9, metric="macro_f1")
    )
    for wrong, rule in (
        (["--rows", "cnn", "gmu"], "rows must be two of .*, but got 'gmu'"),
        (["--rows", "cnn", "cnn"], "but both are 'cnn'"),
        (["--dataset", "food101"], "dataset must be one of crisismmd_task3, but is 'food101'"),
        (["--difference", "0"], "above 0 and below .*, but it is 0; name one with --difference"),
        (["--power", "0.01"], "0.05 < power < 1 must hold"),
        (["--metric", "micro_f1"], "metric must be one of accuracy, macro_f1, weighted_f1"),
        (["--plan", "nothing"], "no plan 'nothing'"),
    ):
        with pytest.raises(SystemExit, match=rule):
            main([*asked, *wrong])


def test_rows_without_predictions_are_no_pilot(tmp_path: Path) -> None:
    made = made_up(tmp_path)
    for row in made.rows:
        if row.key == "cnn":
            for spec in row.specs:
                (tmp_path / "predictions" / f"{spec.trial_id}.parquet").unlink()
    with pytest.raises(ValueError, match="predictions of both rows, but 'cnn' has none"):
        planned(tmp_path, made, ROWS)
