"""What Tune is told and tells: the calls it makes, without a cluster."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from mi2p.faults import Fault
from mi2p.feed import Clock, Feed, Referee, Watcher, _error_of, fault_of
from mi2p.lease import LeaseLostError
from mi2p.nodes import NotShared
from tests.test_source import SPEC


class Listener:
    """Writes down what it hears; stops trials after their second epoch."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def started(self, trial_id: str) -> None:
        self.heard.append(("started", trial_id))

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        self.heard.append(("reported", trial_id, record["epoch"]))
        return bool(record["epoch"] >= 2)

    def interrupted(self, trial_id: str, fault: Fault) -> None:
        self.heard.append(("interrupted", trial_id, fault))

    def ended(self, trial_id: str, reason: str | None) -> None:
        self.heard.append(("ended", trial_id, reason))


def trial(**more: Any) -> Any:
    """A trial as Tune has it: its own id is another one than ours."""
    return SimpleNamespace(
        trial_id="tune-1", config={"trial": {"spec": SPEC.to_dict()}}, error_file=None, **more
    )


def test_tune_asks_until_it_is_over() -> None:
    configs: list[dict[str, Any] | None] = [{"spec": 1}, None, {"spec": 2}, None]
    feed = Feed(lambda: configs.pop(0), lambda: not configs)
    assert feed.suggest("a") == {"trial": {"spec": 1}}
    assert feed.suggest("b") is None  # not yet
    assert feed.suggest("c") == {"trial": {"spec": 2}}
    assert feed.suggest("d") == Searcher.FINISHED


def test_trials_are_known_by_their_own_ids() -> None:
    listener = Listener()
    watcher, own = Watcher(listener), SPEC.trial_id
    watcher.on_trial_start(1, [], trial())
    watcher.on_trial_complete(1, [], trial())
    assert listener.heard == [("started", own), ("ended", own, None)]
    assert replace(SPEC, seed=1).trial_id != own


def test_a_failed_trial_ends_with_its_error(tmp_path: Path) -> None:
    listener = Listener()
    failed, died = trial(), trial()
    failed.error_file = str(tmp_path / "error.txt")
    (tmp_path / "error.txt").write_text("Traceback\nValueError: boom\n")
    for each in (failed, died):
        Watcher(listener).on_trial_error(1, [], each)
    reasons = [heard[2] for heard in listener.heard]
    assert reasons == ["Traceback\nValueError: boom\n", "the worker died"]


def lost(tmp_path: Path, error: object) -> Fault:
    """What a listener hears of a trial whose worker ended so, as Tune keeps it."""
    listener, gone = Listener(), trial(pickled_error_file=str(tmp_path / "error.pkl"))
    (tmp_path / "error.pkl").write_bytes(pickle.dumps(error))
    Watcher(listener).on_trial_recover(1, [], gone)
    ((_, _, fault),) = listener.heard
    return fault  # type: ignore[no-any-return]


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("run_trial", "Traceback", cause)


def test_what_a_machine_did_is_told_from_what_a_trial_raised(tmp_path: Path) -> None:
    node = RayActorError(error_msg="The actor died because its node has died.")
    assert lost(tmp_path, node) == Fault(kind="node", what="node was lost")
    taken = RayActorError(error_msg="ip: 10.0.0.2", preempted=True)
    assert lost(tmp_path, taken) == Fault(kind="node", what="node 10.0.0.2 was taken back")
    # A trial of several processes raises what became of one of them.
    assert lost(tmp_path, raised(node)) == Fault(kind="node", what="node was lost")
    full = OSError(errno.ENOSPC, "No space left on device")
    assert lost(tmp_path, raised(full)) == Fault(kind="storage", what=str(full))
    apart = NotShared("/results on h2 is another place")
    assert lost(tmp_path, raised(apart)) == Fault(kind="apart", what=str(apart))
    taken_over = LeaseLostError("another worker has it")
    assert lost(tmp_path, raised(taken_over)) == Fault(kind="node", what=str(taken_over))
    own = raised(ValueError("boom"))  # with a row it is a result, without one a fault
    assert lost(tmp_path, own) == Fault(kind="process", what="ValueError('boom')")
    (tmp_path / "error.pkl").write_bytes(pickle.dumps(node)[:-9])
    assert fault_of(_error_of(trial(pickled_error_file=str(tmp_path / "error.pkl")))) == Fault(
        kind="process", what="the process died"
    )
    gone = trial(pickled_error_file=str(tmp_path / "none.pkl"))
    listener = Listener()
    Watcher(listener).on_trial_recover(1, [], gone)
    assert listener.heard[0][2] == Fault(kind="process", what="the process died")


def test_the_listener_decides_what_is_stopped() -> None:
    listener = Listener()
    referee = Referee(listener)
    decisions = [referee.on_trial_result(None, trial(), {"epoch": epoch}) for epoch in (1.0, 2.0)]
    assert decisions == [FIFOScheduler.CONTINUE, FIFOScheduler.STOP]
    # Tune adds a result of its own keys when a function ends.
    assert referee.on_trial_result(None, trial(), {"done": True}) == FIFOScheduler.CONTINUE
    assert len(listener.heard) == 2


def test_trials_that_lost_their_worker_go_first() -> None:
    referee = Referee(Listener())
    first, second, over = (trial(status=status) for status in ("RUNNING", "RUNNING", "RUNNING"))
    assert referee.choose_trial_to_run(None) is None
    for each in (first, second, over):
        referee.on_trial_error(None, each)
        each.status = "PENDING"
    over.status = "ERROR"  # it will not go on
    assert referee.choose_trial_to_run(None) is first
    first.status = "RUNNING"
    assert referee.choose_trial_to_run(None) is second
    second.status = "TERMINATED"
    assert referee.choose_trial_to_run(None) is None and referee.resumed == []


def test_the_clock_stops_all_trials_together() -> None:
    up, ticks = [False], []
    clock = Clock(lambda: up[0], lambda: ticks.append(1))
    assert not clock.stop_all() and not clock("tune-1", {})
    up[0] = True
    assert clock.stop_all() and not clock("tune-1", {})
    assert len(ticks) == 2


@pytest.mark.parametrize(
    "made",
    [
        Feed(lambda: None, lambda: True),
        Referee(Listener()),
        Watcher(Listener()),
        Clock(lambda: True),
    ],
)
def test_tune_can_pickle_what_it_is_given(made: object) -> None:
    # A sweep's own state (consoles, locks, studies) must not get into Tune's files.
    assert not vars(pickle.loads(pickle.dumps(made)))
