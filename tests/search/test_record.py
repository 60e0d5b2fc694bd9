"""What is written to a study: states, epochs and errors, also after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage

from mi2p.search.storage import open_storage
from mi2p.search.studies import RowStudy
from mi2p.spec import TrialSpec
from mi2p.store import Store
from tests.toy_search import METRIC, ToySpace, done, failed, open_row, pruned, states_of


def handed(study: RowStudy, store: Store, count: int) -> list[TrialSpec]:
    out: dict[str, TrialSpec] = {}
    for _ in range(count):
        found = study.next(store, out)
        assert found is not None
        out[found[1].trial_id] = found[1]
    return list(out.values())


def at(epoch: int, value: float, **more: Any) -> dict[str, Any]:
    return {"epoch": float(epoch), METRIC: value, "test/accuracy": 0.77, **more}


@pytest.mark.parametrize("uri", [None, "sqlite:///{}/studies.db"])
def test_every_end_is_kept_as_what_it_is(uri: str | None, tmp_path: Path) -> None:
    storage, store = open_storage(uri and uri.format(tmp_path), tmp_path), Store(tmp_path)
    study = open_row(storage, in_flight=5)
    specs = handed(study, store, 5)
    for spec in specs:
        study.reported(spec.trial_id, at(1, 0.3))
    rows = [done(specs[0], 0.6), pruned(specs[1]), failed(specs[2]), done(specs[3], float("nan"))]
    for spec, row in zip(specs, rows, strict=False):
        study.ended(spec.trial_id, row)
    study.release()
    assert states_of(study) == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "WAITING"]
    seen = optuna.load_study(study_name=study.name, storage=storage).trials
    assert [trial.intermediate_values for trial in seen] == [{1: 0.3}] * 5
    assert (seen[0].value, seen[1].value) == (0.6, 0.3)
    assert seen[2].user_attrs["error"] == "boom"
    assert METRIC in seen[3].user_attrs["error"]
    # No metric of the test split is anywhere in what the storage keeps.
    assert "test/" not in str(seen) and "0.77" not in str(seen) and "test/" not in str(
        optuna.load_study(study_name=study.name, storage=storage).user_attrs
    )  # fmt: skip


@pytest.mark.parametrize("uri", [None, "sqlite:///{}/studies.db"])
def test_after_a_kill_rows_are_told_and_the_rest_waits(uri: str | None, tmp_path: Path) -> None:
    store = Store(tmp_path)

    def opened() -> RowStudy:
        return open_row(open_storage(uri and uri.format(tmp_path), tmp_path))

    specs = handed(opened(), store, 3)
    store.write_trial(done(specs[1], 0.6))
    study = opened()
    assert states_of(study) == ["RUNNING"] * 3
    study.settle(store)
    assert states_of(study) == ["WAITING", "COMPLETE", "WAITING"]
    assert handed(study, store, 2) == [specs[0], specs[2]]
    assert states_of(study) == ["RUNNING", "COMPLETE", "RUNNING"]


def test_an_epoch_that_comes_again_after_a_resume_changes_nothing(tmp_path: Path) -> None:
    study = open_row(InMemoryStorage())
    (spec,) = handed(study, Store(tmp_path), 1)
    for record in (at(1, 0.3), at(2, 0.4), at(2, 0.9), at(3, float("nan"))):
        assert not study.reported(spec.trial_id, record)
    assert study._trials[0].intermediate_values == {1: 0.3, 2: 0.4}
    assert not study.reported("unknown", at(1, 0.1))


def test_a_hopeless_trial_stays_so_when_it_is_resumed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    study = open_row(open_storage(None, tmp_path), scheduler="asha", in_flight=2)
    good, bad = handed(study, store, 2)
    assert not study.reported(good.trial_id, at(1, 0.9))
    assert study.reported(bad.trial_id, at(1, 0.1))
    # Killed before its row was written, it goes on from its checkpoint.
    study = open_row(open_storage(None, tmp_path), scheduler="asha", in_flight=2)
    study.settle(store)
    assert handed(study, store, 2) == [good, bad]
    assert study.reported(bad.trial_id, at(2, 0.1))
    assert not study.reported(good.trial_id, at(2, 0.9))


def test_the_last_epoch_is_not_judged(tmp_path: Path) -> None:
    study = open_row(InMemoryStorage(), scheduler="asha", in_flight=2)
    good, bad = handed(study, Store(tmp_path), 2)
    last = ToySpace().base.train.epochs
    study.reported(good.trial_id, at(last, 0.9))
    assert not study.reported(bad.trial_id, at(last, 0.1))


def test_failed_configurations_are_tried_again_and_count_once(tmp_path: Path) -> None:
    store, study = Store(tmp_path), open_row(InMemoryStorage(), budget=3)
    specs = handed(study, store, 3)
    for spec, row in zip(
        specs, (failed(specs[0]), done(specs[1], float("nan")), done(specs[2], 0.4)), strict=True
    ):
        store.write_trial(row)
        study.ended(spec.trial_id, row)
    assert study.is_over and len(study.tally.ids) == 3
    study.retry(store)
    study.retry(store)  # twice is once
    assert states_of(study) == ["FAIL", "FAIL", "COMPLETE", "WAITING"]
    assert not study.is_over
    assert handed(study, store, 1) == [specs[0]]
    study.ended(specs[0].trial_id, done(specs[0], 0.8))
    found = study.summary()
    assert found is not None and study.is_over
    assert (found.tried, found.failed, found.best, found.first) == (3, 1, 0.8, 0.8)


def test_a_second_writer_is_noticed(tmp_path: Path) -> None:
    one, other = (open_row(open_storage(None, tmp_path)) for _ in range(2))
    handed(one, Store(tmp_path), 1)
    with pytest.raises(RuntimeError, match="another process writes the study"):
        other.next(Store(tmp_path), ())
