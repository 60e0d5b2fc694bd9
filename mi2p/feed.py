"""The driver's side of Ray Tune: it asks a `Source` for trials and passes on what it hears."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from mi2p.faults import Fault, of_lost_actor, of_storage
from mi2p.lease import LeaseLostError
from mi2p.nodes import NotShared
from mi2p.spec import TrialSpec


class Listener(Protocol):
    """What a sweep does when it hears of a trial, by the trial's own id."""

    def started(self, trial_id: str) -> None:
        """A trial got its place."""

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        """A trial finished an epoch; whether it is to be stopped."""

    def interrupted(self, trial_id: str, fault: Fault) -> None:
        """A trial's worker is gone, or raised, and another one will go on."""

    def ended(self, trial_id: str, reason: str | None) -> None:
        """A trial is over; `reason` says why one has failed whose process died or raised."""


class Feed(Searcher):
    """Tune's search algorithm: whatever `next_config` gives is the next trial's `trial`.

    None from it is a trial that is not there yet, or no more trials when `is_over` says so.
    """

    def __init__(
        self, next_config: Callable[[], Mapping[str, Any] | None], is_over: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.next_config, self.is_over = next_config, is_over

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given for its own restore, which is not used."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        config = self.next_config()
        if config is not None:
            return {"trial": config}
        return Searcher.FINISHED if self.is_over() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `Watcher` hears of it, with the reason."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: rows and studies decide what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""


class Referee(FIFOScheduler):
    """Tune's scheduler: trials in the order they come, stopped when the listener says so."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener = listener
        self.resumed: list[Any] = []
        """Trials that lost their worker and may wait for another."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of `Feed`."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """A trial that lost its worker, before those that have not begun; else None in particular.

        Tune starts those that wait by itself. Its own scheduler would look at all trials there
        ever were, at each step.
        """
        self.resumed = [trial for trial in self.resumed if trial.status == Trial.PENDING]
        return self.resumed[0] if self.resumed else None

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """It may go on: Tune says so, or ends it, after this."""
        self.resumed = [*(t for t in self.resumed if t.status == Trial.PENDING), trial]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        # Tune repeats the last result when a function ends, and adds keys of its own.
        stop = "epoch" in result and self.listener.reported(_id_of(trial), result)
        return str(FIFOScheduler.STOP if stop else FIFOScheduler.CONTINUE)


class Watcher(tune.Callback):
    """Tells the listener of trials that start, lose their worker, and end."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of `Feed`."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.listener.started(_id_of(trial))

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.listener.interrupted(_id_of(trial), fault_of(_error_of(trial)))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.listener.ended(_id_of(trial), None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        reason = "the worker died"
        if trial.error_file:
            reason = Path(trial.error_file).read_text(encoding="utf-8")
        self.listener.ended(_id_of(trial), reason)


class Clock(tune.Stopper):
    """Stops all trials when `is_up` says so; they go on from their checkpoints another time.

    `tick` is called at each step of Tune.
    """

    def __init__(self, is_up: Callable[[], bool], tick: Callable[[], None] = lambda: None) -> None:
        self.is_up, self.tick = is_up, tick

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of `Feed`."""
        return {}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        self.tick()
        return self.is_up()


def fault_of(error: BaseException | None) -> Fault:
    """What ended a worker. An error that nobody can read is taken for the process's death."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RayActorError):
        return of_lost_actor(str(cause), preempted=cause.preempted)
    if isinstance(cause, NotShared):
        return Fault(kind="apart", what=str(cause))
    if of_storage(cause):
        return Fault(kind="storage", what=str(cause))
    if isinstance(cause, LeaseLostError):
        return Fault(kind="node", what=str(cause))
    return Fault(kind="process", what=repr(cause) if cause else "the process died")


UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, EOFError)
"""What a pickled error is known to raise that is damaged, or of a class that is not here."""


def _error_of(trial: Any) -> BaseException | None:
    """The last error of a trial of Tune's."""
    try:
        with open(trial.pickled_error_file, "rb") as file:
            error: BaseException = pickle.load(file)
    except (*UNREADABLE, pickle.UnpicklingError):
        return None
    return error


def _id_of(trial: Any) -> str:
    return TrialSpec.from_dict(trial.config["trial"]["spec"]).trial_id
