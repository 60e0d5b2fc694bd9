"""A results folder that follows a bucket: what a sweep's driver reads and writes with `--remote`.

The folder looks as if all nodes shared it. What decides, a trial's row, is looked up in the bucket
where the folder lacks it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mi2p.faults import Record
from mi2p.options import SweepOptions
from mi2p.remote import Remote
from mi2p.store import Store


def results_of(options: SweepOptions) -> Store:
    """The results folder of a sweep, with all that its bucket has, if it has one.

    `OSError` for a bucket that cannot be used, `ValueError` for a bad URI.
    """
    folder = options.results.absolute()
    if options.remote is None:
        return Store(folder)
    remote = Remote.open(options.remote)
    remote.check()
    store = MirroredStore(folder, remote)
    remote.pull_rows(store)
    return store


class MirroredStore(Store):
    """A `Store` whose trials are handed over through a bucket."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        super().__init__(folder)
        self.remote = remote

    def record(self, trial_id: str) -> Record:
        return RemoteRecord(self.folder, trial_id, self.remote)

    def fetched(self, trial_id: str) -> dict[str, Any] | None:
        row = self.trial(trial_id)
        if row is None and self.remote.pull_trial(self, trial_id):
            row = self.trial(trial_id)
        return row

    def hand_over(self, trial_id: str) -> None:
        self.remote.push_results(self, trial_id)
        self.remote.pull_curves(self, trial_id)

    def forget(self, trial_id: str) -> None:
        super().forget(trial_id)
        self.remote.forget_checkpoint(trial_id)

    def discard_error(self, trial_id: str) -> None:
        self.remote.discard_error(trial_id)  # first: else the next look brings it back
        super().discard_error(trial_id)

    def set_aside(self, trial_id: str, folder: Path) -> None:
        self.remote.discard(trial_id)
        super().set_aside(trial_id, folder)


class RemoteRecord(Record):
    """What befell a trial, where driver and workers share no folder."""

    def __init__(self, results: Path, trial_id: str, remote: Remote) -> None:
        super().__init__(results, trial_id)
        self.bucket, self.key = remote.bucket, f"faults/{trial_id}.json"

    def read(self) -> str:
        return self.bucket.get(self.key).decode()

    def write(self, text: str) -> None:
        self.bucket.put(self.key, text.encode())

    def remove(self) -> None:
        self.bucket.delete(self.key)
