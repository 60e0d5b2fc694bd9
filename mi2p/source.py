"""Where a sweep gets its trials from, one at a time, while others run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mi2p.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial to run."""

    spec: TrialSpec
    label: str
    """What it is called in what the sweep prints."""
    name: str
    """Its folder of curves begins so."""


class Source(Protocol):
    """Gives jobs and hears what became of them. Called by one thread."""

    @property
    def total(self) -> int:
        """How many jobs there are in all, as far as is known."""

    def next(self) -> Job | None:
        """The next trial to start. None while there is none yet, or if there are no more.

        While no job is running there must be one, or the source is `over`.
        """

    @property
    def over(self) -> bool:
        """Whether there are no more jobs to come, whatever those that run end in."""

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        """A trial finished an epoch; whether it is to be stopped, which prunes it."""

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """A trial is over and left this row."""


class Planned:
    """A fixed list of jobs."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._left = list(jobs)[::-1]
        self._total = len(self._left)

    @property
    def total(self) -> int:
        return self._total

    @property
    def over(self) -> bool:
        return not self._left

    def next(self) -> Job | None:
        return self._left.pop() if self._left else None

    def reported(self, trial_id: str, record: Mapping[str, Any]) -> bool:
        return False

    def ended(self, trial_id: str, row: Mapping[str, Any]) -> None:
        pass
