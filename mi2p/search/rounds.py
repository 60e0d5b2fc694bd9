"""The trials of a search: studies in rounds, then the best of each with all seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mi2p.plan import Plan, PlanRow
from mi2p.progress import name_of
from mi2p.source import Job
from mi2p.spec import TrialSpec
from mi2p.store import Row, Store
from mi2p.training import forget

if TYPE_CHECKING:
    from mi2p.search.studies import RowStudy

RowName = tuple[str, str]
"""The key of a row and its data set."""


@dataclass(frozen=True, kw_only=True)
class _Out:
    """A trial that was handed out and is not over."""

    study: RowStudy
    start: float


class Search:
    """A `Source` of the trials of several rows: those of their studies, then their seeds.

    The next configuration is of the row that has begun the fewest. Seeds come only where no
    study can suggest: then they keep no row from its round, so that all had the same if the
    time runs out, and they fill the places that the last trials of the studies leave free.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Sequence[PlanRow],
        studies: Mapping[RowName, RowStudy],
        store: Store,
        *,
        name: str,
        slots: int,
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rows` of `plan` are run, each by its study; all `studies` are settled.

        Rows with the same study share one object. `name` is that of the plan with what was
        found. `slots` trials run at a time. Past `deadline`, in seconds of `clock`, nothing is
        handed out, and no configuration from when the rest is needed for the seeds.
        """
        self._plan, self._store, self._name = plan, store, name
        self._studies = dict(studies)
        self._rows = {(row.key, row.dataset): row for row in rows}
        self._slots, self._deadline, self._clock = slots, deadline, clock
        self._row_of: dict[RowStudy, PlanRow] = {}
        """Of each study that is run: the first row it is of."""
        for key, row in self._rows.items():
            self._row_of.setdefault(self._studies[key], row)
        self._out: dict[str, _Out] = {}
        self._given: set[str] = set()
        self._seconds: dict[RowStudy, list[float]] = {}
        self._seeds: dict[RowName, list[TrialSpec]] = {}
        self._confirms_only = False
        for study in set(self._studies.values()):
            study.settle(store)

    def next(self) -> Job | None:
        """As of `Source`."""
        if self._is_up():
            return None
        self._confirms_only = self._confirms_only or self._must_confirm()
        return (None if self._confirms_only else self._search_job()) or self._confirm_job()

    def _search_job(self) -> Job | None:
        # Sorting is stable: of equal ones the first in the order of the rows.
        for study in sorted(self._row_of, key=lambda study: study.tally.begun()):
            found = study.next(self._store, self._out)
            if found is not None:
                number, spec = found
                if self._store.trial(spec.trial_id) is not None:  # pruned by another study
                    forget(self._store, [spec])
                return self._job(self._row_of[study], study, spec, f"search {number}")
        return None

    def _confirm_job(self) -> Job | None:
        for key, row in self._rows.items():
            for spec in self._left(key):
                return self._job(row, self._studies[key], spec, f"seed {spec.seed}")
        return None

    def _job(self, row: PlanRow, study: RowStudy, spec: TrialSpec, what: str) -> Job:
        self._out[spec.trial_id] = _Out(study=study, start=self._clock())
        self._given.add(spec.trial_id)
        several = len(self._plan.datasets) > 1
        return Job(
            spec=spec,
            label=f"{row.dataset}: " * several + f"{row.label}, {what}",
            name=f"{name_of(self._plan, row)}-{what.replace(' ', '')}",
        )

    def _left(self, key: RowName) -> list[TrialSpec]:
        """The seeds of a row that are known and still to be handed out."""
        if key not in self._seeds and self._is_decided(self._studies[key]):
            self._seeds[key] = [
                spec
                for spec in confirming(self._rows[key], self._studies[key])
                if self._store.trial(spec.trial_id) is None
            ]
        return [s for s in self._seeds.get(key, []) if s.trial_id not in self._given]

    def _is_decided(self, study: RowStudy) -> bool:
        """Whether the winner of a study is final."""
        return study.is_over or (self._confirms_only and not study.runs)

    def _undecided(self) -> list[tuple[RowStudy, int]]:
        """A study and a seed for each trial to confirm that is not known yet."""
        keys = [key for key in self._rows if not self._is_decided(self._studies[key])]
        pairs = [(self._studies[key], spec.seed) for key in keys for spec in self._rows[key].specs]
        return list(dict.fromkeys(pairs))

    @property
    def over(self) -> bool:
        """As of `Source`."""
        if self._is_up():
            return True
        decided = all(self._is_decided(study) for study in self._row_of)
        return decided and not any(self._left(key) for key in self._rows)

    @property
    def total(self) -> int:
        """As of `Source`; what is answered without training does not count."""
        searches = 0 if self._confirms_only else sum(study.to_begin for study in self._row_of)
        known = {spec.trial_id for key in self._rows for spec in self._left(key)}
        return len(self._given) + searches + len(known) + len(self._undecided())

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        """As of `Source`."""
        return self._out[trial_id].study.reported(trial_id, record)

    def ended(self, trial_id: str, row: Row) -> None:
        """As of `Source`."""
        out = self._out.pop(trial_id)
        if row["status"] == "done":
            self._seconds.setdefault(out.study, []).append(self._clock() - out.start)
        for study in self._row_of:  # two rows may have come to the same configuration
            study.ended(trial_id, row)

    def release(self) -> None:
        """Let the trials of the studies that run wait for the next search."""
        for study in self._row_of:
            study.release()

    def plan(self) -> Plan:
        """The plan with the best configuration of each row that has one, so far."""

        def change(row: PlanRow) -> PlanRow:
            study = self._studies.get((row.key, row.dataset))
            specs = confirming(row, study) if study is not None else ()
            if study is None or not specs:
                return row
            return replace(row, specs=specs, searched=study.summary())

        return self._plan.changed(change, self._name)

    def failed_rows(self) -> list[tuple[PlanRow, str]]:
        """Rows of which every configuration failed, and the first one's error."""
        errors = [(row, self._studies[key].tally.error()) for key, row in self._rows.items()]
        return [(row, error) for row, error in errors if error is not None]

    @property
    def is_cut(self) -> bool:
        """Whether something was not begun: for want of time, once the source is over."""
        unbegun = any(not study.is_over for study in self._row_of)
        return unbegun or any(self._left(key) for key in self._rows)

    def _is_up(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def _must_confirm(self) -> bool:
        """Whether one more configuration would take the time that seeds need.

        A trial is taken to last as long as those of its study have, from hand to hand.
        """
        if self._deadline is None or not self._seconds:
            return False
        overall = fmean(seconds for of in self._seconds.values() for seconds in of)

        def lasts(study: RowStudy) -> float:
            return fmean(self._seconds.get(study, [overall]))

        needed = [lasts(study) for study, _ in self._undecided()]
        needed += [lasts(self._studies[key]) for key in self._rows for _ in self._left(key)]
        if not needed:
            return False
        longest = max(map(lasts, self._row_of))  # of what would run before the seeds
        in_turn = max(sum(needed) / self._slots, *needed)
        return self._deadline - self._clock() < longest + in_turn


def confirming(row: PlanRow, study: RowStudy) -> tuple[TrialSpec, ...]:
    """The best configuration of a study with the seeds of a row; none if there is no best."""
    winner = study.winner()
    if winner is None:
        return ()
    return tuple(replace(winner, stage="confirm", seed=spec.seed) for spec in row.specs)
