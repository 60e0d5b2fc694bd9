"""What a failed trial leaves to be read: the line that says it best, and everything."""

from __future__ import annotations

from pathlib import Path

from mi2p.failures import record_error
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store

SPEC = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="densenet121"),
    train=TrainSpec(lr=1e-4, epochs=3),
)


def test_the_row_of_an_error_keeps_the_first_line_of_its_message(tmp_path: Path) -> None:
    # What follows it are details: a list of files, CUDA's advice.
    store = Store(tmp_path)
    row = record_error(store, SPEC, ValueError("2 files are bad\na.png: truncated"), {})
    assert row["error"] == "ValueError: 2 files are bad"
    assert "a.png: truncated" in (tmp_path / "errors" / f"{SPEC.trial_id}.txt").read_text()
    assert store.trial(SPEC.trial_id) == row
    # A process that died left only what Ray printed, whose last line says it best.
    assert record_error(store, SPEC, "Traceback\nActorDiedError: x\n", {})["error"] == (
        "ActorDiedError: x"
    )
    assert record_error(store, SPEC, "", {})["error"] == "the worker died"


def test_what_the_last_epoch_reported_is_kept_for_diagnosis(tmp_path: Path) -> None:
    row = record_error(Store(tmp_path), SPEC, "x", {"val/accuracy": 0.5, "epoch": 2.0})
    assert (row["status"], row["val/accuracy"], row["best_epoch"]) == ("error", 0.5, None)
