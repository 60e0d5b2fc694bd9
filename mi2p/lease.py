"""A claim to a trial, where nothing can be locked: an object that its holder keeps changing.

Who finds it unchanged for long enough, by the own steady clock, takes it over: clocks of two
machines are never compared. It is best effort. What remains is this: a holder asks whether the
lease is still its own, is told yes, stands still for longer than DEAD_AFTER (a paused machine, a
write held up in the network), and then writes although another has taken over; or, of two that
take a free lease, the slower one stands still for longer than SETTLE between its look and its
write, so that both hold it until the first one's next look. Then two workers run one trial for a
while. That costs time and nothing else: trials are deterministic, so that both write the same
bits, each file appears whole, and a checkpoint's files are named by their content.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

from mi2p.bucket import Bucket

EVERY = 5.0
"""Seconds between a holder's renewals, and between looks of who waits."""
DEAD_AFTER = 30.0
"""Seconds without a change after which a holder counts as dead."""
SETTLE = 0.5
"""Seconds from taking a lease to believing it: longer than a look and a write take."""


class LeaseLostError(RuntimeError):
    """Another worker has taken over; this one must not write."""


class Lease:
    """The claim of one worker to what `key` names."""

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        *,
        every: float = EVERY,
        dead_after: float = DEAD_AFTER,
        settle: float = SETTLE,
    ) -> None:
        self.bucket, self.key = bucket, key
        self.every, self.dead_after, self.settle = every, dead_after, settle
        self.owner = uuid.uuid4().hex
        self.count = 0
        self._lost, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, is_over: Callable[[], bool]) -> bool:
        """Wait until it is this worker's, or `is_over` (then it holds nothing): which it was."""
        seen: bytes | None = None
        since = time.monotonic()
        while not is_over():
            found = self._read(self.bucket)
            if found != seen:
                seen, since = found, time.monotonic()
            if found is not None and time.monotonic() - since < self.dead_after:
                time.sleep(self.every)
                continue
            self._write(self.bucket)
            time.sleep(self.settle)  # who wrote last has it
            if self._is_own(self.bucket):
                self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
                self._thread.start()
                return True
        return False

    def check(self) -> None:
        """Raise LeaseLostError if it is no longer this worker's; before each write, ask."""
        if self._lost.is_set() or not self._is_own(self.bucket):
            raise LeaseLostError(
                f"a worker must hold {self.key} in {self.bucket.shown} to write, but another one "
                "has taken it over, because this one had not renewed it for "
                f"{self.dead_after:g} s"
            )

    def release(self) -> None:
        """Let the next one have it at once; one that was lost is left alone.

        No error if that fails: the next one then waits until it counts as dead.
        """
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        bucket = self.bucket.once()
        with suppress(OSError):
            if self._is_own(bucket):
                bucket.delete(self.key)

    def _renew(self) -> None:
        # A failed renewal is not tried at once: the next one is as good.
        bucket = self.bucket.once()
        while not self._stop.wait(self.every):
            try:
                if not self._is_own(bucket):
                    self._lost.set()
                    return
                self._write(bucket)
            except OSError:
                continue

    def _read(self, bucket: Bucket) -> bytes | None:
        try:
            return bucket.get(self.key)
        except FileNotFoundError:
            return None

    def _write(self, bucket: Bucket) -> None:
        self.count += 1
        content = {"owner": self.owner, "count": self.count}
        bucket.put(self.key, json.dumps(content).encode())

    def _is_own(self, bucket: Bucket) -> bool:
        return self.owner.encode() in (self._read(bucket) or b"")
