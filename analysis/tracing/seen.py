"""Which data the trials of a results folder read, to tell whether it changed between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pandas as pd

from mi2p.data.images import read_dataset
from mi2p.data.places import DataUnavailable
from mi2p.plan import Plan, read_plan
from mi2p.spec import OPTION_TAKERS, DataSpec
from mi2p.store import load

Present = Callable[[DataSpec], str | None]
"""The fingerprint of data as it is on this machine; None where it is not."""

OPTIONS = ("name", "limit", *OPTION_TAKERS, "on_bad_image")
"""Fields of `DataSpec` that change which examples there are."""


def present_in(root: Path | None) -> Present:
    """Looks for data in `root` or, if that is None, in the usual places."""

    def fingerprint(data: DataSpec) -> str | None:
        if data.on_bad_image == "skip":
            return None  # all images would have to be decoded to know which are left out
        try:
            return read_dataset(data, root).fingerprint
        except (DataUnavailable, OSError, ValueError):
            return None

    return fingerprint


class Seen:
    """What finished trials that some plan wants read, and sweeps met, in a results folder."""

    def __init__(self, results: Path, present: Present | None = None) -> None:
        self._results, self._present = results, present
        self._here: dict[tuple[object, ...], str | None] = {}

    def against(self, data: DataSpec, fingerprint: str) -> Iterator[str]:
        """What tells, in words, that `data` is not what `fingerprint` says any more."""
        options = tuple(getattr(data, name) for name in OPTIONS)
        if self._present and options not in self._here:
            self._here[options] = self._present(data)
        here = self._here.get(options)
        if here not in (None, fingerprint):
            yield f"data changed since, it is {here} here"
        for other in sorted(self._by_options.get(options, set()) - {fingerprint}):
            yield f"data differs, other trials read {other}"

    @cached_property
    def _trials(self) -> pd.DataFrame:
        try:
            return load(self._results)
        except (OSError, ValueError):  # what is damaged is told of its own cells
            return pd.DataFrame()

    @cached_property
    def _by_options(self) -> dict[tuple[object, ...], set[str]]:
        """Fingerprints that trials with these options have."""
        if self._trials.empty:
            return {}
        wanted = {spec.trial_id for plan in plans(self._results) for spec in plan.specs()}
        trials = self._trials
        trials = trials[trials["trial_id"].isin(wanted) & (trials["status"] == "done")]
        trials = trials[trials["data_fingerprint"].notna()]
        found: dict[tuple[object, ...], set[str]] = {}
        columns = [trials[f"data.{name}"] for name in OPTIONS]
        for fingerprint, *options in zip(trials["data_fingerprint"], *columns, strict=True):
            found.setdefault(tuple(options), set()).add(fingerprint)
        return found


def plans(results: Path) -> Iterator[Plan]:
    """The plans of a results folder that can be read, by name."""
    for path in sorted((results / "plans").glob("*.json")):
        try:
            yield read_plan(path)
        except (ValueError, OSError):
            continue  # told where its table is checked
