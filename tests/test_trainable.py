"""The Tune adapter without Ray: every trial leaves a row, and none runs twice."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mi2p import steps, train
from mi2p.store import Store, load, load_epochs, load_predictions
from mi2p.trainable import Places, execute
from tests.planted import planted_xor, register
from tests.test_train import spec_of

SPEC = spec_of("me_cnn")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=96))
    return Places(
        results=str(tmp_path / "results"),
        cache=str(tmp_path / "cache"),
        data=str(tmp_path),
        weights=None,
    )


def test_places_make_the_runtime_of_a_trial(tmp_path: Path) -> None:
    places = Places(
        results=str(tmp_path / "results"),
        cache="$TMPDIR/mi2p",
        data=str(tmp_path / "data"),
        weights=None,
        checkpoint_activations=True,
        prepared=(("label", "name"),),
    )
    runtime = places.runtime(places.store().checkpoints("id"))
    assert (runtime.data, runtime.cache) == (tmp_path / "data", Path("$TMPDIR/mi2p"))
    assert runtime.checkpoints == tmp_path / "results" / "checkpoints" / "id"
    assert runtime.checkpoint_activations and runtime.device == "cpu"
    assert runtime.prepared == {"label": "name"}
    assert not replace(places, checkpoint_activations=False).runtime().checkpoint_activations


def ignore(record: dict[str, float]) -> None:
    pass


def test_a_finished_trial_leaves_row_epochs_predictions_and_curves(places: Places) -> None:
    reports: list[dict[str, float]] = []
    execute(SPEC, "me_cnn-seed0", places, reports.append)
    results = Path(places.results)
    row = load(results).iloc[0]
    assert (row["trial_id"], row["status"], row["units.attach"]) == (
        SPEC.trial_id,
        "done",
        "1,2,3",
    )
    assert row["data_fingerprint"] and row["precision"] == "float32" and row["seconds"] > 0
    epochs = load_epochs(results)
    assert epochs["epoch"].tolist() == [1, 2] == [record["epoch"] for record in reports]
    # The stored metrics can be computed again from the stored predictions.
    test = load_predictions(results).query("split == 'test'")
    guesses = np.stack(test["probabilities"].tolist()).argmax(1)
    labels = np.concatenate(test["labels"].tolist())
    assert row["test/accuracy"] == pytest.approx((guesses == labels).mean())
    assert not places.store().checkpoints(SPEC.trial_id).exists()
    curve = scalars(results / "tensorboard" / f"me_cnn-seed0-{SPEC.trial_id}")
    assert [step for step, _ in curve] == [1, 2]
    accuracies = [record["val/accuracy"] for record in reports]
    assert [value for _, value in curve] == pytest.approx(accuracies)


def scalars(folder: Path, name: str = "val/accuracy") -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_a_trial_that_diverges_leaves_an_error_row_and_its_traceback(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "loss", lambda logits, labels: logits.sum() * np.nan)
    execute(SPEC, "x", places, ignore)
    row = load(places.results).iloc[0]
    assert row["status"] == "error"
    assert row["error"].startswith("FloatingPointError: loss is nan at epoch 1, step 1 of ")
    trace = Path(places.results) / "errors" / f"{SPEC.trial_id}.txt"
    assert "Traceback" in trace.read_text()
    assert not (Path(places.results) / "predictions").exists()
    assert not places.store().checkpoints(SPEC.trial_id).exists()


def test_any_other_error_ends_the_process_too(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A GPU's errors stay with the process: the next trial is to have another one.
    def broken(*_: object) -> None:
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(train, "fit", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        execute(SPEC, "x", places, ignore)
    assert load(places.results)["error"].tolist() == ["RuntimeError: device-side assert"]


def test_several_labels_from_training_to_row(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = planted_xor(tmp_path / "planted", count=96)
    # A second label that always holds, and examples with none at all.
    examples = tuple(
        replace(example, labels=() if index % 8 == 0 else (*example.labels, 2))
        for index, example in enumerate(planted.examples)
    )
    several = replace(
        planted, classes=(*planted.classes, "drawn"), multilabel=True, examples=examples
    )
    register(monkeypatch, "planted", several)
    execute(SPEC, "x", places, ignore)
    row = load(places.results).iloc[0]
    assert row["status"] == "done" and np.isnan(row["test/accuracy"])
    test = load_predictions(places.results).query("split == 'test'")
    expected = {example.id: example.labels for example in several.split("test")}
    kept = dict(zip(test["example_id"], (tuple(x) for x in test["labels"]), strict=True))
    assert kept == expected
    guesses = np.stack(test["probabilities"].tolist()) > 0.5
    truth = np.array([[k in labels for k in range(3)] for labels in test["labels"]])
    hits, misses = (guesses & truth).sum(), (guesses ^ truth).sum()
    assert row["test/micro_f1"] == pytest.approx(2 * hits / (2 * hits + misses))


def test_an_interrupted_trial_leaves_no_row_and_resumes(places: Places) -> None:
    seen: list[float] = []

    def stop(record: dict[str, float]) -> None:
        seen.append(record["epoch"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(SPEC, "x", places, stop)
    assert Store(Path(places.results)).trial(SPEC.trial_id) is None
    execute(SPEC, "x", places, lambda record: seen.append(record["epoch"]))
    assert seen == [1, 2]
    # Curves of both runs are one line each.
    folder = Path(places.results) / "tensorboard" / f"x-{SPEC.trial_id}"
    assert [step for step, _ in scalars(folder)] == [1, 2]


def test_a_trial_that_is_over_is_not_run_again(places: Places) -> None:
    execute(SPEC, "x", places, ignore)
    before = load(places.results)
    reports: list[dict[str, float]] = []
    execute(SPEC, "x", places, reports.append)
    assert reports == []
    assert load(places.results).equals(before)


def test_two_workers_with_the_same_trial_run_it_once(places: Places) -> None:
    reports: list[dict[str, float]] = []
    one_epoch = replace(SPEC, train=replace(SPEC.train, epochs=1))
    workers = [
        threading.Thread(target=execute, args=(one_epoch, "x", places, reports.append))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(reports) == 1
