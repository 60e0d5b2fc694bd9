"""What befalls trials, as it is told, kept and counted."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mi2p.faults import MOST, Fault, Record, of_lost_actor, of_storage

NODE = """The actor died unexpectedly before finishing this task.
\tclass_name: ImplicitFunc
\tactor_id: 0fb1
\tpid: 611
\tip: 10.200.0.12
The actor died because its node has died. Node Id: 1a2b, NodeIp: 10.200.0.12, died reason: \
unexpected termination: health check failed due to missing too many heartbeats."""
PROCESS = """The actor died unexpectedly before finishing this task.
\tclass_name: ImplicitFunc
\tpid: 611
\tip: 10.200.0.12
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file. There are some \
potential root causes. (1) The process is killed by SIGKILL by OOM killer due to high memory \
usage. (2) ray stop --force is called. (3) The worker is crashed unexpectedly due to SIGSEGV or \
other unexpected errors."""


def test_a_lost_node_and_a_dead_process_are_told_apart() -> None:
    lost = Fault(kind="node", what="node 10.200.0.12 was lost")
    assert of_lost_actor(NODE, preempted=False) == lost
    died = Fault(kind="process", what="the process on 10.200.0.12 died")
    assert of_lost_actor(PROCESS, preempted=False) == died
    taken = Fault(kind="node", what="node 10.200.0.12 was taken back")
    assert of_lost_actor(NODE, preempted=True) == taken
    away = "The actor 1f is temporarily unavailable: rpc_code: 14"
    assert of_lost_actor(away, preempted=False).kind == "node"
    assert of_lost_actor("", preempted=False).what == "the process on its node died"


def test_a_disk_that_fails_is_seen_behind_other_errors() -> None:
    assert of_storage(OSError(errno.ENOSPC, "full"))
    assert not of_storage(FileNotFoundError(errno.ENOENT, "no such file"))
    assert not of_storage(None)
    try:
        try:
            raise OSError(errno.EROFS, "read-only")
        except OSError as error:
            raise RuntimeError("cannot save") from error
    except RuntimeError as error:
        assert of_storage(error)


def test_a_record_has_faults_in_order(tmp_path: Path) -> None:
    record = Record(tmp_path, "id")
    assert record.faults() == [] and record.text() is None and record.too_many() is None
    record.begins()
    assert record.faults() == []  # the trial runs
    record.add(Fault(kind="node", what="node a was lost"), 2)
    record.begins()
    found = Record(tmp_path, "id").faults()
    assert found == [{"kind": "node", "what": "node a was lost", "epoch": 2}]
    assert record.text() == '[{"epoch": 2, "kind": "node", "what": "node a was lost"}]'
    record.remove()
    assert record.faults() == [] and not list(tmp_path.glob("*/*"))
    record.remove()


def test_a_trial_that_begins_again_for_no_reason_had_lost_its_driver(tmp_path: Path) -> None:
    record = Record(tmp_path, "id")
    record.begins()
    record.begins()
    (fault,) = record.faults()
    assert fault["kind"] == "driver" and fault["what"].startswith("the sweep stopped (")


@pytest.mark.parametrize("kind", ["node", "process", "storage"])
def test_faults_are_counted_by_kind(tmp_path: Path, kind: str) -> None:
    record = Record(tmp_path, "id")
    for _ in range(MOST[kind]):
        record.begins()
        record.add(Fault(kind=kind, what="x"), 0)  # type: ignore[arg-type]
        record.begins()  # and the driver was stopped, which costs nothing
    assert record.too_many() is None
    record.add(Fault(kind=kind, what="the last"), 0)  # type: ignore[arg-type]
    count = 1 + MOST[kind]
    assert record.too_many() == f"gave up after {count} faults of kind {kind}: the last"


def test_a_damaged_record_is_an_empty_one(tmp_path: Path) -> None:
    record = Record(tmp_path, "id")
    record.begins()
    record.path.write_text("[{")
    assert record.faults() == []
    record.begins()
    assert record.faults() == []
