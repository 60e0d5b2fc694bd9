"""A worker's hold on a trial: one at a time, in a shared folder and through a bucket alike."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mi2p.attempt import SharedTrial, attempt_at, worker_store
from mi2p.mirrored import MirroredStore
from mi2p.remote import RemoteTrial
from mi2p.store import Store, trial_row
from tests.test_source import SPEC


@pytest.mark.parametrize("remote", [False, True])
def test_the_second_worker_waits_and_finds_the_row(tmp_path: Path, remote: bool) -> None:
    uri = (tmp_path / "bucket").as_uri() if remote else None
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def first() -> None:
        store = worker_store(str(tmp_path / "one"), uri)
        with attempt_at(store, SPEC.trial_id) as attempt:
            assert not attempt.is_over()
            inside.set()
            assert go_on.wait(20)
            store.write_trial(trial_row(SPEC, status="done", metrics={}))
            order.append("written")
            attempt.finish()

    def second() -> None:
        store = worker_store(str(tmp_path / ("two" if remote else "one")), uri)
        with attempt_at(store, SPEC.trial_id) as attempt:
            order.append("second")
            assert attempt.is_over()

    threads = [threading.Thread(target=work) for work in (first, second)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert order == ["written", "second"]


def test_a_checkpoint_goes_when_the_row_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    last = store.checkpoints(SPEC.trial_id) / "last.pt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"state")
    with attempt_at(store, SPEC.trial_id) as attempt:
        attempt.after_epoch()
        assert last.exists()
        attempt.finish()
    assert not last.parent.exists()


def test_which_hold_it_is(tmp_path: Path) -> None:
    uri = (tmp_path / "bucket").as_uri()
    assert isinstance(attempt_at(worker_store(str(tmp_path), None), "id"), SharedTrial)
    through = worker_store(str(tmp_path), uri)
    assert isinstance(through, MirroredStore)
    assert isinstance(attempt_at(through, "id"), RemoteTrial)
