"""Results on the way between machines that share no folder: workers put them into a bucket, and
the driver copies them into its results folder, which then looks as if trials had written there.

    trials/<id>.parquet  predictions/<id>.parquet  epochs/<id>.parquet  errors/<id>.txt
    weights/<id>.pt                           as in a results folder, see mi2p/store.py
    checkpoints/<id>/                         see mi2p/checkpoint_sync.py
    tensorboard/<id>/<folder>/<file>          curves; by id, so that one listing finds a trial's
    claims/<id>                               see mi2p/lease.py

A row is written after all else of its trial, in the bucket as in the folder, because it says that
the trial is over.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from mi2p import checkpoint_sync
from mi2p.bucket import Bucket, opened
from mi2p.data.summary import FOLDER as SUMMARIES
from mi2p.files import write_whole
from mi2p.lease import Lease
from mi2p.store import Store

BESIDE_ROWS = (
    *(("predictions", ".parquet"), ("epochs", ".parquet")),
    *(("weights", ".pt"), ("errors", ".txt")),
)
"""Folders of what a trial leaves beside its row, and how its files' names end."""
THREADS = 16
"""Trials that are copied at a time: an object store answers each request slowly, but many."""


class Remote:
    """The results of trials in a bucket. All methods raise OSError if it cannot be reached."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    @classmethod
    def open(cls, uri: str) -> Remote:
        """That of a URI, such as `s3://bucket/prefix`; see `mi2p.bucket.opened` for errors."""
        return cls(opened(uri))

    def check(self) -> None:
        """Raise OSError unless this process may write, read, list and delete; once per sweep."""
        self.bucket.check()

    def is_over(self, trial_id: str) -> bool:
        """Whether a trial has its row."""
        return self.bucket.has(_row(trial_id))

    def claim(self, trial_id: str) -> Lease:
        """The claim of this worker to a trial, not yet taken."""
        return Lease(self.bucket, f"claims/{trial_id}")

    def pull_checkpoint(self, trial_id: str, folder: Path) -> None:
        """Make `folder` the checkpoint that the bucket has, or empty."""
        checkpoint_sync.pull(self.bucket, trial_id, folder)

    def push_checkpoint(self, trial_id: str, folder: Path) -> None:
        """Keep the checkpoint in `folder`; only what changed is written."""
        checkpoint_sync.push(self.bucket, trial_id, folder)

    def forget_checkpoint(self, trial_id: str) -> None:
        """Delete a trial's checkpoint: its row is written."""
        checkpoint_sync.forget(self.bucket, trial_id)

    def push_curves(self, store: Store, trial_id: str) -> None:
        """Write the trial's TensorBoard events that have grown."""
        prefix = f"tensorboard/{trial_id}"
        there = self.bucket.list(prefix)
        for folder in _curves(store, trial_id):
            for path in folder.glob("*"):
                key = f"{prefix}/{folder.name}/{path.name}"
                if there.get(key) != path.stat().st_size:
                    self.bucket.put(key, path)

    def pull_curves(self, store: Store, trial_id: str) -> None:
        """Copy the trial's TensorBoard events."""
        for key in self.bucket.list(f"tensorboard/{trial_id}"):
            self.bucket.fetch(key, store.folder / "tensorboard" / key.split("/", 2)[2])

    def push_results(self, store: Store, trial_id: str) -> None:
        """Write what a trial left in `store`, its row last; `FileNotFoundError` without a row.

        For the worker of a trial, and for the driver where it makes the row.
        """
        row = (store.folder / _row(trial_id)).read_bytes()
        for key in _beside(trial_id):
            if (store.folder / key).exists():
                self.bucket.put(key, store.folder / key)
        self.push_curves(store, trial_id)
        self.bucket.put(_row(trial_id), row)

    def push_summaries(self, results: Path) -> None:
        """Write what the results folder keeps of data sets."""
        there = self.bucket.list(SUMMARIES)
        for path in sorted((results / SUMMARIES).glob("*.json")):
            key = f"{SUMMARIES}/{path.name}"
            if key not in there:  # its name says what is in it
                self.bucket.put(key, path)

    def pull_summaries(self, store: Store) -> None:
        """Copy what the bucket keeps of data sets and `store` does not have."""
        for key in self.bucket.list(SUMMARIES):
            if not (store.folder / key).exists():
                self.bucket.fetch(key, store.folder / key)

    def pull_rows(self, store: Store) -> int:
        """Copy what trials left that `store` has no row of; how many they were.

        And what is kept of their data. Checkpoints of trials that are over are deleted: their
        worker died before it could.
        """
        self.pull_summaries(store)
        rows = {Path(key).stem for key in self.bucket.list("trials")}
        kept = {key.split("/")[1] for key in self.bucket.list("checkpoints")}
        missing = [name for name in sorted(rows) if not (store.folder / _row(name)).exists()]
        with ThreadPoolExecutor(THREADS) as pool:
            copied = sum(pool.map(lambda name: self.pull_trial(store, name), missing))
            list(pool.map(self.forget_checkpoint, sorted(rows & kept)))
        return copied

    def pull_trial(self, store: Store, trial_id: str) -> bool:
        """Copy what a trial left into `store`, its row last; False if it has no row."""
        try:
            row = self.bucket.get(_row(trial_id))  # read first: all else was there before it
        except FileNotFoundError:
            return False
        for key in _beside(trial_id):
            try:
                self.bucket.fetch(key, store.folder / key)
            except FileNotFoundError:
                continue  # a failed trial has no predictions, and a finished one no error
        self.pull_curves(store, trial_id)
        write_whole(store.folder / _row(trial_id), row)
        return True

    def discard(self, trial_id: str) -> None:
        """Delete what a trial left, so that it runs again from its start; for --force.

        Call `pull_rows` before, and move the copy in the results folder after: a driver that dies
        in between still finds the copy, and discards again.
        """
        self.bucket.delete(_row(trial_id))  # first, so that no row lacks its predictions
        for key in _beside(trial_id):
            self.bucket.delete(key)
        self.forget_checkpoint(trial_id)

    def discard_error(self, trial_id: str) -> None:
        """Discard a trial that failed; one that has finished meanwhile stays. --retry-failed."""
        try:
            row = self.bucket.get(_row(trial_id))
        except FileNotFoundError:
            return
        if pq.read_table(pa.BufferReader(row), columns=["status"])["status"][0].as_py() == "error":
            self.discard(trial_id)


class RemoteTrial:
    """One trial of a worker whose results go to a bucket through a folder on its own disk.

        with RemoteTrial(remote, scratch, trial_id) as trial:
            if trial.is_over():
                return
            ...  # train; `trial.checkpoints` is the checkpoint folder
            trial.after_epoch()
            ...  # write all into `scratch`, the row too
            trial.finish()

    Entering waits until no other worker runs the trial, and brings the last checkpoint. What is in
    `scratch` of this trial is deleted on entering and on leaving.
    """

    def __init__(
        self, remote: Remote, scratch: Store, trial_id: str, lease: Lease | None = None
    ) -> None:
        self.remote, self.scratch, self.trial_id = remote, scratch, trial_id
        self.lease = lease or remote.claim(trial_id)
        self.checkpoints = scratch.checkpoints(trial_id)
        self._over = False

    def __enter__(self) -> Self:
        held = self.lease.take(lambda: self.remote.is_over(self.trial_id))
        try:
            # Its holder may have finished between the last look for a row and the lease.
            self._over = not held or self.remote.is_over(self.trial_id)
            if not self._over:
                self._clear()
                self.remote.pull_checkpoint(self.trial_id, self.checkpoints)
        except BaseException:
            self.lease.release()
            raise
        return self

    def is_over(self) -> bool:
        """Whether another worker had left the row; nothing is to be done then."""
        return self._over

    def after_epoch(self) -> None:
        """Keep the checkpoint and the curves; LeaseLostError if another has taken over."""
        self.lease.check()
        self.remote.push_checkpoint(self.trial_id, self.checkpoints)
        self.remote.push_curves(self.scratch, self.trial_id)

    def finish(self) -> None:
        """Hand over what is in `scratch`, the row too; LeaseLostError as in `after_epoch`."""
        self.lease.check()
        self.remote.push_results(self.scratch, self.trial_id)
        self.scratch.forget(self.trial_id)
        self.remote.forget_checkpoint(self.trial_id)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._over:
            self._clear()
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.lease.release()

    def _clear(self) -> None:
        for key in (_row(self.trial_id), *_beside(self.trial_id)):
            (self.scratch.folder / key).unlink(missing_ok=True)
        for folder in _curves(self.scratch, self.trial_id):
            shutil.rmtree(folder)


def _row(trial_id: str) -> str:
    return f"trials/{trial_id}.parquet"


def _beside(trial_id: str) -> list[str]:
    return [f"{folder}/{trial_id}{ending}" for folder, ending in BESIDE_ROWS]


def _curves(store: Store, trial_id: str) -> list[Path]:
    """Folders of a trial's curves: whatever sweeps call it, its id ends the name."""
    return sorted((store.folder / "tensorboard").glob(f"*-{trial_id}"))
