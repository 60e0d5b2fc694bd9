"""Rows on disk: fixed schemas, whole files, and errors that say what to do."""

from __future__ import annotations

import json
import os
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mi2p import __version__, loading
from mi2p.files import write_whole
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.store import (
    TRIAL_SCHEMA,
    Store,
    load,
    load_epochs,
    load_predictions,
    trial_row,
)

CNN = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="densenet121"),
    train=TrainSpec(lr=1e-4, epochs=3),
)
ME_CNN = TrialSpec(
    data=DataSpec(image_size=256),
    model=ModelSpec(
        name="me_cnn",
        visual="densenet121",
        textual="minilm",
        units=UnitSpec(attach=(1, 2, 4), init="gate", lr_multiplier=5),
    ),
    train=TrainSpec(lr=1e-4, epochs=3),
    seed=7,
    stage="search",
)
ENVIRONMENT = {
    "parameters": 12,
    "added_parameters": 3,
    "seconds": 1.5,
    "data_fingerprint": "f00d",
    "device": "cpu",
    "precision": "float32",
    "torch_version": "2",
}


def done(spec: TrialSpec, **metrics: float) -> dict[str, Any]:
    return trial_row(spec, status="done", metrics=metrics, environment=ENVIRONMENT, best_epoch=2)


def test_a_row_says_all_of_its_spec() -> None:
    row = done(ME_CNN)
    for part, value in (
        ("data", ME_CNN.data),
        ("model", ME_CNN.model),
        ("units", ME_CNN.model.units),
        ("train", ME_CNN.train),
    ):
        for item in fields(value):  # type: ignore[arg-type]
            if item.name not in ("units", "textual_units", "fusion", "attach"):
                assert row[f"{part}.{item.name}"] == getattr(value, item.name)
    assert row["units.attach"] == "1,2,4"
    assert (row["seed"], row["stage"]) == (7, "search")
    assert TrialSpec.from_dict(json.loads(row["spec"])) == ME_CNN
    assert row["trial_id"] == ME_CNN.trial_id
    assert row["code_version"] == __version__


def test_a_row_fills_the_schema_and_no_more() -> None:
    assert list(done(CNN)) == TRIAL_SCHEMA.names


def test_what_does_not_apply_is_missing_and_not_a_default() -> None:
    row = done(CNN)
    units = [name for name in row if name.startswith("units.")]
    assert len(units) == len(fields(UnitSpec))
    assert all(row[name] is None for name in [*units, "model.textual", "test/accuracy", "error"])


def test_columns_have_the_types_of_their_fields() -> None:
    expected = {
        "units.attach": pa.string(),
        "units.heads": pa.int64(),
        "units.query_kernel": pa.int64(),
        "units.query_bias": pa.bool_(),
        "units.lr_multiplier": pa.float64(),
        "units.init": pa.string(),
        "model.visual": pa.string(),
        "train.lr": pa.float64(),
        "seed": pa.int64(),
        "best_epoch": pa.int64(),
        "test/micro_f1": pa.float64(),
    }
    assert {name: TRIAL_SCHEMA.field(name).type for name in expected} == expected


@pytest.mark.parametrize("spec", [CNN, ME_CNN], ids=["cnn", "me_cnn"])
def test_round_trip(tmp_path: Path, spec: TrialSpec) -> None:
    store = Store(tmp_path)
    row = done(spec, **{"val/accuracy": 0.75, "test/loss": 0.5})
    store.write_trial(row)
    assert store.trial(spec.trial_id) == row


def test_metrics_without_a_column_are_left_out() -> None:
    # Records of an epoch go in as they are: their number and training loss live elsewhere.
    row = done(CNN, **{"epoch": 1.0, "train/loss": 0.1, "val/loss": 0.2})
    assert row["val/loss"] == 0.2
    assert list(row) == TRIAL_SCHEMA.names


def test_an_error_can_be_discarded_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.trial(CNN.trial_id) is None
    store.write_trial(trial_row(CNN, status="error", metrics={}, error="boom"))
    found = store.trial(CNN.trial_id)
    assert found is not None
    assert (found["status"], found["error"]) == ("error", "boom")
    store.discard_error(CNN.trial_id)
    assert store.trial(CNN.trial_id) is None
    store.discard_error(CNN.trial_id)  # twice is no error
    # Another sweep may have finished the trial meanwhile.
    store.write_trial(trial_row(CNN, status="done", metrics={}))
    store.discard_error(CNN.trial_id)
    assert store.trial(CNN.trial_id) is not None


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_row_says_which_file_to_delete(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.write_trial(done(CNN))
    path = tmp_path / "trials" / f"{CNN.trial_id}.parquet"
    whole = path.read_bytes()
    path.write_bytes(
        {"truncated": whole[: len(whole) // 2], "text": b"x" * 99, "empty": b""}[damage]
    )
    with pytest.raises(ValueError, match=f"{CNN.trial_id}.parquet is not a readable.*; delete it"):
        store.trial(CNN.trial_id)


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.write_trial(done(CNN, **{"val/accuracy": 0.75}))
    original = pq.write_table

    def half(table: pa.Table, where: Path) -> None:
        original(table, where)
        raise OSError("no space left")

    monkeypatch.setattr(pq, "write_table", half)
    for spec in (CNN, ME_CNN):
        with pytest.raises(OSError, match="no space left"):
            store.write_trial(done(spec, **{"val/accuracy": 0.25}))
    assert [file.name for file in (tmp_path / "trials").iterdir()] == [f"{CNN.trial_id}.parquet"]
    assert load(tmp_path)["val/accuracy"].tolist() == [0.75]


def test_load_reads_all_trials_at_any_moment(tmp_path: Path) -> None:
    store = Store(tmp_path)
    specs = [CNN, ME_CNN, replace(CNN, seed=1)]
    for spec in specs:
        store.write_trial(done(spec))
    # Another process is writing.
    (tmp_path / "trials" / ".x.parquet.1.partial").write_bytes(b"PAR1")
    frame = load(tmp_path)
    assert frame["trial_id"].tolist() == sorted(spec.trial_id for spec in specs)
    assert list(frame.columns) == TRIAL_SCHEMA.names
    by_id = frame.set_index("trial_id")
    assert by_id.loc[ME_CNN.trial_id, "units.heads"] == 8
    assert by_id["units.heads"].isna().to_dict()[CNN.trial_id]
    # As the module promises to anyone with pandas alone.
    assert len(pd.read_parquet(tmp_path / "trials")) == 3


def test_what_is_loaded_again_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MANY", 2)
    store = Store(tmp_path)
    all_of(store, CNN, ME_CNN, replace(CNN, seed=1))
    then = time.time() - 60
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (then, then))
    for read in (load, load_epochs, load_predictions):
        first = read(tmp_path)
        pd.testing.assert_frame_equal(read(tmp_path), first)
    # Predictions are most of what there is: they are not kept twice.
    kept = {path.name for path in (tmp_path / "index").iterdir()}
    assert kept == {"trials.arrow", "epochs.arrow"}
    store.write_trial(done(CNN, **{"val/accuracy": 0.25}))
    assert load(tmp_path).set_index("trial_id").loc[CNN.trial_id, "val/accuracy"] == 0.25


def test_rows_of_an_older_version_have_gaps_where_columns_are_new(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_trial(done(CNN))
    store.write_trial(done(ME_CNN))
    path = tmp_path / "trials" / f"{ME_CNN.trial_id}.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["units.lr_multiplier"]), path)
    found = store.trial(ME_CNN.trial_id)
    assert found is not None
    assert found["units.lr_multiplier"] is None
    assert found["units.heads"] == 8
    assert list(load(tmp_path).columns) == TRIAL_SCHEMA.names


def test_epochs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    history = [{"epoch": float(e), "train/loss": 1 / e, "val/accuracy": e / 4} for e in (1, 2)]
    store.write_epochs(CNN.trial_id, history)
    store.write_epochs(ME_CNN.trial_id, history[:1])
    frame = load_epochs(tmp_path)
    assert len(frame) == 3
    of_cnn = frame[frame["trial_id"] == CNN.trial_id]
    assert of_cnn["epoch"].tolist() == [1, 2]
    assert of_cnn["train/loss"].tolist() == [1.0, 0.5]
    assert of_cnn["val/accuracy"].tolist() == [0.25, 0.5]
    assert of_cnn["val/micro_f1"].isna().all()


def test_predictions(tmp_path: Path) -> None:
    rows = [
        {"split": "val", "example_id": "b", "labels": [], "probabilities": [0.25, 0.5]},
        {"split": "test", "example_id": "a", "labels": [0, 1], "probabilities": [1.0, 0.0]},
    ]
    Store(tmp_path).write_predictions(CNN.trial_id, rows)
    frame = load_predictions(tmp_path)
    assert frame["trial_id"].tolist() == [CNN.trial_id] * 2
    assert frame["split"].tolist() == ["val", "test"]
    assert frame["example_id"].tolist() == ["b", "a"]
    assert [list(labels) for labels in frame["labels"]] == [[], [0, 1]]
    assert [list(values) for values in frame["probabilities"]] == [[0.25, 0.5], [1.0, 0.0]]


def test_predictions_of_one_trial(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = {"split": "val", "example_id": "b", "labels": [1], "probabilities": [0.25, 0.5]}
    store.write_predictions(CNN.trial_id, [row])
    store.write_predictions(ME_CNN.trial_id, [row, row])
    whole = store.predictions(CNN.trial_id, lambda table: table.to_pylist())
    assert whole == [{"trial_id": CNN.trial_id, **row}]
    columns = store.predictions(ME_CNN.trial_id, lambda table: table.to_pydict(), ["split"])
    assert columns == {"split": ["val", "val"]}
    with pytest.raises(FileNotFoundError, match=r"x is done, but .*x\.parquet; delete its row"):
        store.predictions("x", len)


@pytest.mark.parametrize("damage", ["truncated", "empty", "decode"])
def test_damaged_predictions_say_which_files_to_delete(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.write_predictions("x", [{"split": "val", "example_id": "b"}])
    path = store.predictions_file("x")
    if damage != "decode":
        path.write_bytes(path.read_bytes()[: {"truncated": 300, "empty": 0}[damage]])

    def decode(table: pa.Table) -> float:
        return float("no number")

    with pytest.raises(ValueError, match=r"x\.parquet is not readable .*; delete it and trials.x"):
        store.predictions("x", decode)


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by its path there."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def all_of(store: Store, *specs: TrialSpec) -> dict[str, bytes]:
    for spec in specs:
        store.write_predictions(spec.trial_id, [{"split": "val", "example_id": "a"}])
        store.write_epochs(spec.trial_id, [{"epoch": 1, "train/loss": 0.5}])
        write_whole(store.weights(spec.trial_id), "weights")
        store.write_trial(done(spec))
    return files(store.folder)


def test_a_trial_is_set_aside_with_all_that_it_left(tmp_path: Path) -> None:
    store, aside = Store(tmp_path / "results"), tmp_path / "results/replaced/then"
    before = all_of(store, CNN, ME_CNN)
    store.set_aside(CNN.trial_id, aside)
    assert store.trial(CNN.trial_id) is None
    moved = {name for name in before if CNN.trial_id in name}
    assert len(moved) == 4
    assert files(aside) == {name: before[name] for name in moved}
    assert files(tmp_path / "results") == {
        (f"replaced/then/{name}" if name in moved else name): before[name] for name in before
    }
    # The folder is one of results: it is read as such, and is no part of that above it.
    assert load(aside)["trial_id"].tolist() == [CNN.trial_id]
    assert load(store.folder)["trial_id"].tolist() == [ME_CNN.trial_id]
    store.set_aside(CNN.trial_id, aside)  # nothing is left
    assert len(files(aside)) == 4


@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_a_trial_that_was_half_set_aside_has_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    store, before = Store(tmp_path / "r"), all_of(Store(tmp_path / "r"), CNN)
    original, left = Path.rename, [True] * moves

    def killed(path: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return original(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        store.set_aside(CNN.trial_id, tmp_path / "first")
    assert (store.trial(CNN.trial_id) is None) == (moves > 0)
    monkeypatch.undo()
    store.set_aside(CNN.trial_id, tmp_path / "second")  # goes on
    assert not files(tmp_path / "r")
    assert files(tmp_path / "first") | files(tmp_path / "second") == before


def test_setting_aside_replaces_nothing(tmp_path: Path) -> None:
    store, aside = Store(tmp_path / "results"), tmp_path / "aside"
    before = all_of(store, CNN)
    for kind in ("trials", "epochs", "predictions"):
        there = aside / kind / f"{CNN.trial_id}.parquet"
        there.parent.mkdir(parents=True)
        there.write_text("mine")
        with pytest.raises(FileExistsError, match=f"{kind}/{CNN.trial_id}.parquet is there"):
            store.set_aside(CNN.trial_id, aside)
        assert (files(store.folder), there.read_text()) == (before, "mine")
        there.unlink()


@pytest.mark.parametrize("kind", ["trials", "epochs", "predictions"])
def test_a_damaged_file_among_many_is_named(tmp_path: Path, kind: str) -> None:
    all_of(Store(tmp_path), CNN, ME_CNN)
    path = tmp_path / kind / f"{CNN.trial_id}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    read: Any = {"trials": load, "epochs": load_epochs, "predictions": load_predictions}[kind]
    with pytest.raises(ValueError, match=rf"{kind}/{CNN.trial_id}\.parquet is not .*; delete it"):
        read(tmp_path)


@pytest.mark.parametrize("read", [load, load_epochs, load_predictions])
def test_an_empty_folder_is_an_error(tmp_path: Path, read: Any) -> None:
    # An empty frame would make an empty table.
    with pytest.raises(FileNotFoundError, match=r"no (trials|epochs|predictions) in"):
        read(tmp_path)


def test_reports_do_not_overwrite_what_a_row_says_of_itself() -> None:
    # Tune adds its own `trial_id` to what a trial reports.
    row = trial_row(CNN, status="pruned", metrics={"trial_id": "x_0", "seed": 9, "val/loss": 0.5})
    assert (row["trial_id"], row["seed"], row["val/loss"]) == (CNN.trial_id, CNN.seed, 0.5)


def test_rows_of_an_older_release_get_what_absent_fields_stand_for(tmp_path: Path) -> None:
    # Beside new rows they must not look like another condition.
    Store(tmp_path).write_trial(trial_row(CNN, status="done", metrics={}))
    new = pq.read_table(tmp_path / "trials" / f"{CNN.trial_id}.parquet")
    old = new.drop_columns(["data.view", "data.fix_mojibake", "images_left_out"])
    pq.write_table(old, tmp_path / "trials" / f"{CNN.trial_id}.parquet")
    row = load(tmp_path).iloc[0]
    assert (row["data.view"], row["data.fix_mojibake"]) == ("fit", False)
    assert pd.isna(row["images_left_out"])
    assert pd.isna(row["units.attach"])
