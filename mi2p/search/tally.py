"""What the trials of a row's study come to: its configurations, and the best of them.

A configuration is what has an id; that it was suggested twice, or tried again, counts once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from mi2p.store import Row


def told_by(row: Row, metrics: Sequence[str]) -> tuple[TrialState, list[float] | None, str | None]:
    """What a study is told of a trial that left this row: its state, values, and error.

    Of the row only its status and `metrics` are read; one that is no number is an error.
    """
    if row["status"] == "pruned":
        return TrialState.PRUNED, None, None
    if row["status"] == "error":
        return TrialState.FAIL, None, str(row["error"])
    values = [math.nan if row.get(name) is None else float(row[name]) for name in metrics]
    if any(map(math.isnan, values)):
        return TrialState.FAIL, None, f"{', '.join(metrics)}: {values}, of which one is no number"
    return TrialState.COMPLETE, values, None


class Tally:
    """The first `budget` configurations of a study's trials, in the order of their numbers."""

    def __init__(self, trials: Sequence[FrozenTrial], budget: int) -> None:
        found: dict[str, list[FrozenTrial]] = {}
        for trial in trials:
            found.setdefault(trial.user_attrs["trial_id"], []).append(trial)
        self._of = {trial_id: found[trial_id] for trial_id in list(found)[:budget]}
        retried = sum("retry" in trial.user_attrs for trial in trials)
        self.repeats = len(trials) - len(found) - retried
        """Suggestions that had been made before."""

    @property
    def ids(self) -> list[str]:
        """The configurations' trial ids."""
        return list(self._of)

    def of(self, trial_id: str) -> list[FrozenTrial]:
        """All trials of a configuration; none if it is not of the budget."""
        return self._of.get(trial_id, [])

    def waiting(self) -> FrozenTrial | None:
        """The first trial that waits to be started."""
        waiting = [t for of in self._of.values() for t in of if t.state == TrialState.WAITING]
        return min(waiting, key=lambda trial: trial.number, default=None)

    def begun(self) -> int:
        """How many configurations were started, or are over."""
        return sum(any(t.state != TrialState.WAITING for t in of) for of in self._of.values())

    def over(self) -> int:
        """How many configurations are over."""
        return sum(self._state(trial_id).is_finished() for trial_id in self._of)

    def ended(self, state: TrialState) -> list[str]:
        """The configurations that ended so."""
        return [trial_id for trial_id in self._of if self._state(trial_id) == state]

    def complete(self) -> list[FrozenTrial]:
        """A trial of each configuration that finished."""
        return [
            next(t for t in self._of[trial_id] if t.state == TrialState.COMPLETE)
            for trial_id in self.ended(TrialState.COMPLETE)
        ]

    def first(self) -> float | None:
        """The metric of the first configuration, if it finished."""
        trials = next(iter(self._of.values()), [])
        return next((t.values[0] for t in trials if t.state == TrialState.COMPLETE), None)

    def best(self) -> FrozenTrial | None:
        """With the highest metric; of equal ones the smaller second objective, then the first."""
        return min(self.complete(), key=lambda t: (*_costs(t), t.number), default=None)

    def error(self) -> str | None:
        """The error of the first configuration that failed, if there are some and all did."""
        failed = self.ended(TrialState.FAIL)
        if not failed or len(failed) < len(self._of):
            return None
        return str(self._of[failed[0]][-1].user_attrs.get("error"))

    def _state(self, trial_id: str) -> TrialState:
        """Of a configuration: that of its best trial; tried again, it is not over."""
        states = {trial.state for trial in self._of[trial_id]}
        order = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING, TrialState.PRUNED)
        return next((state for state in order if state in states), TrialState.FAIL)


def _costs(trial: FrozenTrial) -> tuple[float, ...]:
    """The objectives, all to be small."""
    return (-trial.values[0], *trial.values[1:])
