"""A driver's results folder that follows a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from mi2p.faults import Fault
from mi2p.mirrored import MirroredStore, results_of
from mi2p.options import SweepOptions
from mi2p.remote import Remote
from mi2p.store import Store, trial_row
from mi2p.training import forget
from tests.test_source import SPEC

ID = SPEC.trial_id


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote.open((tmp_path / "bucket").as_uri())


def leave(remote: Remote, folder: Path, status: str = "done") -> None:
    """What a worker leaves in the bucket, from a folder of its own."""
    store = Store(folder)
    store.write_epochs(ID, [{"epoch": 1.0, "train/loss": 0.5}])
    store.write_trial(trial_row(SPEC, status=status, metrics={}))  # type: ignore[arg-type]
    remote.push_results(store, ID)


def test_without_a_bucket_it_is_a_folder(tmp_path: Path) -> None:
    store = results_of(SweepOptions(results=tmp_path))
    assert type(store) is Store and store.fetched(ID) is None
    store.write_trial(trial_row(SPEC, status="done", metrics={}))
    store.hand_over(ID)
    assert store.fetched(ID) == store.trial(ID)


def test_what_the_bucket_has_is_there_from_the_start(tmp_path: Path, remote: Remote) -> None:
    leave(remote, tmp_path / "worker")
    uri = (tmp_path / "bucket").as_uri()
    store = results_of(SweepOptions(results=tmp_path / "here", remote=uri))
    row = store.trial(ID)
    assert row is not None and row["status"] == "done"
    assert (tmp_path / "here/epochs" / f"{ID}.parquet").exists()


def test_a_row_is_fetched_when_it_is_asked_for(tmp_path: Path, remote: Remote) -> None:
    store = MirroredStore(tmp_path / "here", remote)
    assert store.fetched(ID) is None
    leave(remote, tmp_path / "worker")
    assert store.trial(ID) is None and store.fetched(ID) is not None
    assert store.trial(ID) is not None


def test_a_row_of_the_drivers_is_handed_over(tmp_path: Path, remote: Remote) -> None:
    store = MirroredStore(tmp_path / "here", remote)
    store.write_trial(trial_row(SPEC, status="pruned", metrics={}))
    store.hand_over(ID)
    assert remote.is_over(ID)


def test_a_trial_that_runs_again_does_not_come_back(tmp_path: Path, remote: Remote) -> None:
    store = MirroredStore(tmp_path / "here", remote)
    for again in (lambda: store.discard_error(ID), lambda: forget(store, [SPEC])):
        leave(remote, tmp_path / "worker", "error")
        assert store.fetched(ID) is not None
        again()
        assert store.fetched(ID) is None and not remote.is_over(ID)
    leave(remote, tmp_path / "worker")
    store.fetched(ID)
    store.discard_error(ID)  # it has not failed
    assert store.trial(ID) is not None and remote.is_over(ID)


def test_what_befell_a_trial_is_known_on_both_sides(tmp_path: Path, remote: Remote) -> None:
    driver = MirroredStore(tmp_path / "here", remote).record(ID)
    worker = MirroredStore(tmp_path / "worker", remote).record(ID)
    assert worker.faults() == []
    worker.begins()
    driver.add(Fault(kind="node", what="node a was lost"), 1)
    worker.begins()
    assert (
        worker.text()
        == driver.text()
        == '[{"epoch": 1, "kind": "node", "what": "node a was lost"}]'
    )
    driver.remove()
    assert worker.faults() == []
