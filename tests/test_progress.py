"""What a sweep prints fits 80 columns and says what a row's state is."""

from __future__ import annotations

import io

from rich.console import Console

from mi2p.progress import Progress, print_plan
from sweeps.ablation_layers import Options, plan

# The longest labels the system has.
TABLE = plan(Options(visual="densenet121", textual="bert-base-uncased", image_size=256))


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, force_terminal=terminal, color_system=None), out


def test_the_plan_counts_done_failed_and_to_run() -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    first, second = (spec.trial_id for spec in TABLE.rows[0].specs[:2])
    states |= {first: "done", second: "failed"}
    print_plan(shown, TABLE, states, {row.key for row in TABLE.rows})
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["cnn", "DenseNet-121", "1", "1", "1"]
    assert "12 rows x 3 seeds: 1 done, 1 failed, 34 to run" in lines


def test_rows_that_were_not_chosen_are_not_to_run() -> None:
    shown, out = console(False)
    states = dict.fromkeys((spec.trial_id for spec in TABLE.specs()), "to run")
    print_plan(shown, TABLE, states, {"bert"})
    assert "12 rows x 3 seeds: 0 done, 0 failed, 3 to run" in out.getvalue()


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
