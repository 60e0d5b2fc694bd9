"""What a sweep prints fits 80 columns and says what a row's state is."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from mi2p.failures import record_error
from mi2p.plan import Plan
from mi2p.progress import (
    Progress,
    labels,
    name_of,
    outcome,
    print_failures,
    print_plan,
    shared_trials,
)
from mi2p.source import Job, Planned
from mi2p.store import Store
from sweeps import compare_crisismmd
from sweeps.ablation_layers import Options, plan

# The longest labels the system has.
TABLE = plan(Options(visual="densenet121", textual="bert-base-uncased", image_size=256))
SEVERAL = compare_crisismmd.plan(compare_crisismmd.Options(smoke=True))


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, force_terminal=terminal, color_system=None), out


def test_the_plan_counts_done_failed_and_to_run(tmp_path: Path) -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    first, second = (spec.trial_id for spec in TABLE.rows[0].specs[:2])
    states |= {first: "done", second: "failed"}
    print_plan(shown, TABLE, states, states, tmp_path)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["cnn", "DenseNet-121", "1", "1", "1", "."]
    assert "12 rows x 3 seeds: 1 done, 1 failed, 34 to run; 0 shared with other tables" in lines


def test_rows_that_were_not_chosen_are_not_to_run(tmp_path: Path) -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    bert = next(row for row in TABLE.rows if row.key == "bert")
    print_plan(shown, TABLE, states, {spec.trial_id for spec in bert.specs}, tmp_path)
    lines = out.getvalue().splitlines()
    assert "12 rows x 3 seeds: 0 done, 0 failed, 3 to run; 0 shared with other tables" in lines
    told = {line.split()[0]: line.split()[-2] for line in lines[2:-1]}
    assert told.pop("bert") == "3"
    assert set(told.values()) == {"."}


def test_methods_on_several_data_sets_are_a_line_each(tmp_path: Path) -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in SEVERAL.specs()), "to run")
    gmu = [row.specs[0].trial_id for row in SEVERAL.methods["gmu"]]
    states |= {gmu[0]: "done", gmu[1]: "failed"}
    print_plan(shown, SEVERAL, states, states, tmp_path)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert len(lines) == 1 + 1 + 18 + 3 + 2
    assert ["gmu", "GMU", "1", "1", "1", "."] in lines
    assert ["vilt", "ViLT", ".", ".", "3", "."] in lines
    assert lines[-5:-2] == [
        ["all", "on", "crisismmd_task1", "1", ".", "17", "."],
        ["all", "on", "crisismmd_task2", ".", "1", "17", "."],
        ["all", "on", "crisismmd_task3", ".", ".", "18", "."],
    ]
    assert " ".join(lines[-2] + lines[-1]) == (
        "18 rows x 3 data sets x 1 seeds: 1 done, 1 failed, 52 to run; 0 shared with other tables"
    )


def test_trials_of_other_tables_are_told(tmp_path: Path) -> None:
    cnn, first_unit, *_ = TABLE.rows
    part = replace(cnn, specs=cnn.specs[:2])
    Plan(name="one", table=3, rows=(part,)).write(tmp_path)
    Plan(name="two", table=4, rows=(part, first_unit)).write(tmp_path)
    TABLE.write(tmp_path)  # its own does not count
    (tmp_path / "plans" / "broken.json").write_text("{")
    (tmp_path / "plans" / "other.json").write_text("[1]")
    wrong = json.loads((tmp_path / "plans" / "one.json").read_text())
    wrong["rows"][0]["trials"] = {"x": {"unknown": 1}}
    (tmp_path / "plans" / "wrong.json").write_text(json.dumps(wrong))
    expected = {spec.trial_id for spec in (*part.specs, *first_unit.specs)}
    assert shared_trials(tmp_path, TABLE) == expected and len(expected) == 5
    assert shared_trials(tmp_path / "none", TABLE) == set()

    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    print_plan(shown, TABLE, states, states, tmp_path)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[-1] == "shared"
    assert [line.split()[-1] for line in lines[2:5]] == ["2", "3", "."]
    assert "12 rows x 3 seeds: 0 done, 0 failed, 36 to run; 5 shared with other tables" in lines
    # Rows that are not to run are not counted.
    shown, out = console(False)
    print_plan(shown, TABLE, states, {spec.trial_id for spec in cnn.specs}, tmp_path)
    assert out.getvalue().splitlines()[-1].endswith("3 to run; 2 shared with other tables")


def test_trials_are_called_by_their_data_set_where_there_are_several() -> None:
    first, last = SEVERAL.methods["cnn"][2], SEVERAL.methods["gmu"][2]
    told = labels(SEVERAL)
    assert told[first.specs[0].trial_id] == (
        "crisismmd_task3: Unimodal tiny random DenseNet, seed 0"
    )
    assert name_of(SEVERAL, last) == "gmu-crisismmd_task3"
    assert name_of(TABLE, TABLE.rows[0]) == "cnn"
    of_paper = labels(compare_crisismmd.plan(compare_crisismmd.Options())).values()
    assert max(len(f"[162/162] {label}: val accuracy 65.5") for label in of_paper) <= 80


def test_what_became_of_a_trial() -> None:
    assert outcome({"status": "done", "val/micro_f1": 0.5}) == "val micro-f1 50.0"
    assert outcome({"status": "pruned"}) == "pruned"
    assert outcome({"status": "error", "error": "x", "val/accuracy": 0.5}) == "error: x"


def test_failures_are_told_with_their_error_and_its_file(tmp_path: Path) -> None:
    shown, out = console(False)
    failed = SEVERAL.methods["gmu"][1].specs[0]
    record_error(Store(tmp_path), failed, "[red]boom", {})
    print_failures(shown, tmp_path, SEVERAL)
    first, second = out.getvalue().splitlines()
    assert first == "failed: gmu-crisismmd_task2 seed 0: [red]boom"
    trace = Path(second.strip())
    assert trace.read_text() == "[red]boom" and trace.parent == tmp_path / "errors"


def job(number: int) -> Job:
    row = TABLE.rows[number]
    return Job(spec=row.specs[0], label=f"{row.label}, seed 0", name=row.key)


def test_off_a_terminal_every_ended_trial_is_a_line() -> None:
    shown, out = console(False)
    done, failed = job(0), job(1)
    progress = Progress(shown, Planned([done, failed]))
    with progress.shown():
        progress.started(done)
        progress.reported(done.spec.trial_id, {"epoch": 1, "val/accuracy": 0.5})
        progress.ended(done, {"status": "done", "val/accuracy": 0.655})
        progress.ended(failed, {"status": "error", "error": "ValueError: [x]"})
    assert out.getvalue().splitlines() == [
        "[1/2] DenseNet-121, seed 0: val accuracy 65.5",
        "[2/2] DenseNet-121 + MI2P{1}, seed 0: error: ValueError: [x]",
    ]


def test_on_a_terminal_running_trials_are_shown_live() -> None:
    shown, out = console(True)
    running = job(-1)
    progress = Progress(shown, Planned([running] * 36))
    with progress.shown():
        progress.started(running)
        progress.reported(running.spec.trial_id, {"epoch": 2, "val/accuracy": 0.5})
    assert "0/36 done, 1 running, 0 failed" in out.getvalue()
    assert "epoch 2/3  val accuracy 50.0" in out.getvalue()
    assert max(len(line) for line in out.getvalue().splitlines()) <= 100  # with escape codes
