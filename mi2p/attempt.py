"""A worker's hold on a trial: alone with it, from its last checkpoint on, until its row is kept.

In a folder that all nodes share a lock is held, and nothing has to be carried;
`mi2p.remote.RemoteTrial` is the same through a bucket.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from filelock import FileLock

from mi2p.mirrored import MirroredStore
from mi2p.remote import Remote, RemoteTrial
from mi2p.store import Store


class Attempt(Protocol):
    """Entering waits until no other worker runs the trial."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def is_over(self) -> bool:
        """Whether another worker had left the row; nothing is to be done then."""

    def after_epoch(self) -> None:
        """Keep the checkpoint and the curves where the next worker finds them."""

    def finish(self) -> None:
        """Hand over what was written, the row too."""


class SharedTrial:
    """One trial in a results folder that all workers share."""

    def __init__(self, store: Store, trial_id: str) -> None:
        self.store, self.trial_id = store, trial_id
        folder = store.checkpoints(trial_id)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(f"{folder}.lock")

    def __enter__(self) -> Self:
        # Of a machine that was cut off while it held the lock, NFS 4 frees it after its lease.
        self.lock.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lock.release()

    def is_over(self) -> bool:
        return self.store.trial(self.trial_id) is not None

    def after_epoch(self) -> None:
        """Nothing: the folder is shared."""

    def finish(self) -> None:
        """All is where it belongs; what was kept until now goes."""
        self.store.forget(self.trial_id)


def attempt_at(store: Store, trial_id: str) -> Attempt:
    """The hold of this worker on a trial whose files are in `store`."""
    if isinstance(store, MirroredStore):
        return RemoteTrial(store.remote, store, trial_id)
    return SharedTrial(store, trial_id)


def worker_store(results: str, remote: str | None) -> Store:
    """What a worker writes to: the shared results folder, or a folder of its own and a bucket."""
    folder = Path(results)
    return Store(folder) if remote is None else MirroredStore(folder, Remote.open(remote))
