"""One row's search: an Optuna study that a search can be killed out of at any moment.

Suggestions follow from what is over and from their number alone, so that a search that is opened
again goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import TYPE_CHECKING

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from mi2p.legality import require
from mi2p.plan import Searched
from mi2p.search.opening import open_study, search_spec, spec_of
from mi2p.search.record import StudyRecord
from mi2p.search.sampling import make_sampler, seed_of, suggest
from mi2p.spec import TrialSpec
from mi2p.store import Store

if TYPE_CHECKING:
    from mi2p.search.spaces import Space

REPEATS = 3
"""A study gives up after so many repeated suggestions per configuration of its budget: its space
may hold no more."""
AGAINST = ("added_parameters", "seconds")


class RowStudy(StudyRecord):
    """The search of one row: what it tries next, and what it has found."""

    def __init__(
        self,
        storage: BaseStorage,
        space: Space,
        *,
        sampler: str,
        scheduler: str,
        against: str | None,
        metric: str,
        budget: int,
        in_flight: int,
    ) -> None:
        """Open the study, or create it.

        `metric` is maximised, such as `val/accuracy`; `against` of `AGAINST` minimised. `budget`
        counts different configurations; a study that has more, of a larger budget, is seen up
        to it. Suggestion n waits for all up to n - `in_flight`. `ValueError` for an option that
        is not legal, and for a study whose trials now mean something else.
        """
        require(metric.startswith("val/"), "metric is one of validation", metric=metric)
        require(against is None or against in AGAINST, f"against is of {AGAINST}", against=against)
        require(budget >= 1 and in_flight >= 1, "budget, in_flight >= 1", budget=budget)
        make_sampler(sampler, 0)  # raises for an unknown one before anything is written
        self.sampler, self.scheduler, self.in_flight = sampler, scheduler, in_flight
        self.against, metrics = against, (metric, against) if against else (metric,)
        space = replace(space, base=search_spec(space.base))
        study = open_study(
            storage,
            space,
            sampler=sampler,
            scheduler=scheduler,
            metrics=metrics,
            in_flight=in_flight,
        )
        super().__init__(storage, study, space, metrics, budget)

    def next(self, store: Store, out: Container[str]) -> tuple[int, TrialSpec] | None:
        """The next trial to start, and the number of its configuration from 1, or None.

        Those with a row in `store` are told from it, unless another study has pruned them: the
        caller moves such a row away. `out` are the ids of all trials that run:
        one of these is not started again, but told when it ends.
        """
        while True:
            waiting = self.tally.waiting()
            if waiting is not None:
                trial_id = waiting.user_attrs["trial_id"]
                self._storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
                self._refresh()
            elif self.can_suggest():
                trial_id = self._suggest()
            else:
                return None
            if not self._answer(trial_id, store) and trial_id not in out:
                spec = next(spec_of(self.space, t) for t in self._open(trial_id))
                return self.tally.ids.index(trial_id) + 1, spec

    def can_suggest(self) -> bool:
        """Whether the budget has room, and all is over that the next suggestion is to know."""
        known = self._trials[: self._known()]
        return not self.is_full and all(trial.state.is_finished() for trial in known)

    @property
    def is_full(self) -> bool:
        """Whether no more suggestions are to come."""
        return len(self.tally.ids) >= self.budget or self.tally.repeats >= REPEATS * self.budget

    @property
    def is_over(self) -> bool:
        """Whether all configurations of the budget are over."""
        return self.is_full and self.tally.over() == len(self.tally.ids)

    @property
    def to_begin(self) -> int:
        """How many configurations of the budget were not started yet, as far as is known."""
        return (len(self.tally.ids) if self.is_full else self.budget) - self.tally.begun()

    def _known(self) -> int:
        return max(0, len(self._trials) - self.in_flight + 1)

    def _suggest(self) -> str:
        """Write the next suggestion down as running; its trial's id."""
        number = len(self._trials)
        spec, trial = suggest(
            self.space,
            self._trials,
            known=self._known(),
            sampler=make_sampler(self.sampler, seed_of(self.name, number)),
            directions=self._study.directions,
        )
        trial_id = search_spec(spec).trial_id
        self._add(trial, TrialState.RUNNING, trial_id)
        return trial_id

    def _answer(self, trial_id: str, store: Store) -> bool:
        """Tell a trial that has a row, or that the study has had; whether there was one."""
        row = self._row(store, trial_id)
        if row is not None:
            self.ended(trial_id, row, answered="store")
            return True
        over = [t for t in self.tally.of(trial_id) if t.state.is_finished()]
        if not over or any(trial.user_attrs.get("retry") for trial in self._open(trial_id)):
            return False
        for trial in self._open(trial_id):
            complete = over[-1].state == TrialState.COMPLETE
            values = over[-1].values if complete else None
            self._tell(trial, over[-1].state, values, answered="study")
        return True

    def winner(self) -> TrialSpec | None:
        """The configuration with the highest metric; of equal ones the one that is smaller in
        the second objective, then the earlier."""
        best = self.tally.best()
        return None if best is None else spec_of(self.space, best)

    def summary(self) -> Searched | None:
        """How the winner was chosen; None if there is none."""
        best = self.tally.best()
        if best is None:
            return None
        return Searched(
            study=self.name,
            sampler=self.sampler,
            scheduler=self.scheduler,
            against=self.against,
            wanted=self.budget,
            tried=self.tally.over(),
            pruned=len(self.tally.ended(TrialState.PRUNED)),
            failed=len(self.tally.ended(TrialState.FAIL)),
            metric=self.metrics[0],
            best=best.values[0],
            first=self.tally.first(),
            trials=tuple(self.tally.ids),
        )
