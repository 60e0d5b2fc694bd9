"""What is written to a row's study: trials, their epochs, and what became of them.

A trial is written before it is started, and what is over is told from the rows that trials leave
in the results folder, so that a search can be killed at any moment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mi2p.search.opening import spec_of
from mi2p.search.sampling import alike
from mi2p.search.tally import Tally, told_by
from mi2p.store import Row, Store

if TYPE_CHECKING:
    from mi2p.search.spaces import Space


class StudyRecord:
    """An Optuna study of the trials of one row, and a tally of it that is always up to date.

    One process at a time may write it: `mi2p.search.storage.alone`.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study: Study,
        space: Space,
        metrics: tuple[str, ...],
        budget: int,
    ) -> None:
        self.space, self.metrics, self.budget = space, metrics, budget
        self.name, self._storage, self._study = study.study_name, storage, study
        self._refresh()

    def _refresh(self) -> None:
        self._trials = self._study.get_trials(deepcopy=False)
        self.tally = Tally(self._trials, self.budget)

    def _add(self, trial: FrozenTrial, state: TrialState, trial_id: str, **attrs: Any) -> None:
        """Write a new trial with the parameters of this one, in one piece.

        `RuntimeError` if it does not follow the last one that is known.
        """
        number = len(self._trials)
        self._study.add_trial(alike(trial, state, user_attrs={"trial_id": trial_id, **attrs}))
        self._refresh()
        ids = [trial.user_attrs.get("trial_id") for trial in self._trials[number:]]
        if ids != [trial_id]:
            raise RuntimeError(f"another process writes the study {self.name!r}")

    def _open(self, trial_id: str) -> list[FrozenTrial]:
        return [trial for trial in self.tally.of(trial_id) if not trial.state.is_finished()]

    def _row(self, store: Store, trial_id: str) -> Row | None:
        """The row of a trial in `store`; none if it was pruned, unless this study has: beside
        the trials of another it was hopeless, or by another scheduler."""
        row = store.trial(trial_id)
        if row is None or row["status"] != "pruned":
            return row
        return row if any("stopped" in t.user_attrs for t in self.tally.of(trial_id)) else None

    @property
    def runs(self) -> bool:
        """Whether a trial was started and is not over."""
        return any(trial.state == TrialState.RUNNING for trial in self._trials)

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        """Keep the metric of an epoch; whether the trial is hopeless, which stays so.

        An epoch that was reported before changes nothing. The last is not judged.
        """
        opened, value = self._open(trial_id), float(record[self.metrics[0]])
        if not opened or math.isnan(value):
            return False
        trial, epoch = opened[0], int(record["epoch"])
        if "stopped" in trial.user_attrs:
            return True
        if epoch in trial.intermediate_values:
            return False
        self._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)
        self._refresh()
        trial = self._trials[trial.number]
        if len(self.metrics) > 1 or epoch >= spec_of(self.space, trial).train.epochs:
            return False
        stop = self._study.pruner.prune(self._study, trial)
        if stop:  # else a trial that is killed now would go on past its rung
            self._storage.set_trial_user_attr(trial._trial_id, "stopped", epoch)
        self._refresh()
        return stop

    def ended(self, trial_id: str, row: Row, **attrs: Any) -> None:
        """Tell what became of a trial by its row; of the row only what is optimised is read."""
        state, values, error = told_by(row, self.metrics)
        if error is not None:
            attrs["error"] = error
        for trial in self._open(trial_id):
            self._tell(trial, state, values, **attrs)

    def _tell(
        self, trial: FrozenTrial, state: TrialState, values: list[float] | None, **attrs: Any
    ) -> None:
        if trial.state == TrialState.WAITING:  # Optuna tells only running ones
            self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        for name, value in attrs.items():
            self._storage.set_trial_user_attr(trial._trial_id, name, value)
        self._study.tell(trial.number, values, state=state)
        self._refresh()

    def settle(self, store: Store) -> None:
        """After a kill: tell trials that left a row, and let the others wait to be started."""
        for trial in list(self._trials):
            row = None
            if not trial.state.is_finished():
                row = self._row(store, trial.user_attrs["trial_id"])
            if row is not None:
                self.ended(trial.user_attrs["trial_id"], row)
        self.release()

    def release(self) -> None:
        """Let trials that run wait to be started again."""
        for trial in self._trials:
            if trial.state == TrialState.RUNNING:
                self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        self._refresh()

    def retry(self, store: Store) -> None:
        """Let configurations that failed with an error be tried again, and discard the error.

        One that failed because its metric is no number stays: it would again.
        """
        for trial_id in self.tally.ended(TrialState.FAIL):
            row = store.trial(trial_id)
            if row is None or row["status"] == "error":
                again = self.tally.of(trial_id)[-1]
                self._add(again, TrialState.WAITING, trial_id, retry=True)
                store.discard_error(trial_id)
