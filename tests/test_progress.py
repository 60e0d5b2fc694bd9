"""What a sweep prints fits 80 columns and says what a row's state is."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from mi2p.failures import record_error
from mi2p.progress import Progress, labels, name_of, outcome, print_failures, print_plan
from mi2p.store import Store
from sweeps import compare_crisismmd
from sweeps.ablation_layers import Options, plan

# The longest labels the system has.
TABLE = plan(Options(visual="densenet121", textual="bert-base-uncased", image_size=256))
SEVERAL = compare_crisismmd.plan(compare_crisismmd.Options(smoke=True))


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, force_terminal=terminal, color_system=None), out


def test_the_plan_counts_done_failed_and_to_run() -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    first, second = (spec.trial_id for spec in TABLE.rows[0].specs[:2])
    states |= {first: "done", second: "failed"}
    print_plan(shown, TABLE, states, states)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["cnn", "DenseNet-121", "1", "1", "1"]
    assert "12 rows x 3 seeds: 1 done, 1 failed, 34 to run" in lines


def test_rows_that_were_not_chosen_are_not_to_run() -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    bert = next(row for row in TABLE.rows if row.key == "bert")
    print_plan(shown, TABLE, states, {spec.trial_id for spec in bert.specs})
    lines = out.getvalue().splitlines()
    assert "12 rows x 3 seeds: 0 done, 0 failed, 3 to run" in lines
    told = {line.split()[0]: line.split()[-1] for line in lines[2:-1]}
    assert told.pop("bert") == "3"
    assert set(told.values()) == {"."}


def test_methods_on_several_data_sets_are_a_line_each() -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in SEVERAL.specs()), "to run")
    gmu = [row.specs[0].trial_id for row in SEVERAL.methods["gmu"]]
    states |= {gmu[0]: "done", gmu[1]: "failed"}
    print_plan(shown, SEVERAL, states, states)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert len(lines) == 1 + 1 + 18 + 3 + 1
    assert ["gmu", "GMU", "1", "1", "1"] in lines
    assert ["vilt", "ViLT", ".", ".", "3"] in lines
    assert lines[-4:-1] == [
        ["all", "on", "crisismmd_task1", "1", ".", "17"],
        ["all", "on", "crisismmd_task2", ".", "1", "17"],
        ["all", "on", "crisismmd_task3", ".", ".", "18"],
    ]
    last = out.getvalue().splitlines()[-1]
    assert last == "18 rows x 3 data sets x 1 seeds: 1 done, 1 failed, 52 to run"


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


def test_off_a_terminal_every_ended_trial_is_a_line() -> None:
    shown, out = console(False)
    progress = Progress(shown, TABLE, 2)
    done, failed = (row.specs[0].trial_id for row in TABLE.rows[:2])
    with progress.shown():
        progress.started(done)
        progress.reported(done, {"epoch": 1, "val/accuracy": 0.5})
        progress.ended(done, {"status": "done", "val/accuracy": 0.655})
        progress.ended(failed, {"status": "error", "error": "ValueError: [x]"})
    assert out.getvalue().splitlines() == [
        "[1/2] DenseNet-121, seed 0: val accuracy 65.5",
        "[2/2] DenseNet-121 + MI2P{1}, seed 0: error: ValueError: [x]",
    ]


def test_on_a_terminal_running_trials_are_shown_live() -> None:
    shown, out = console(True)
    progress = Progress(shown, TABLE, 36)
    running = TABLE.rows[-1].specs[0].trial_id
    with progress.shown():
        progress.started(running)
        progress.reported(running, {"epoch": 2, "val/accuracy": 0.5})
    assert "0/36 done, 1 running, 0 failed" in out.getvalue()
    assert "epoch 2/3  val accuracy 50.0" in out.getvalue()
    assert max(len(line) for line in out.getvalue().splitlines()) <= 100  # with escape codes
