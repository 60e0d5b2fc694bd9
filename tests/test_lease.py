"""Only one worker runs a trial, and whose worker died is no loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mi2p import lease as module
from mi2p.bucket import Bucket
from mi2p.lease import Lease, LeaseLostError
from tests.faulty_files import bucket_in

KEY = "claims/trial"
NEVER = 1e6
"""Seconds that no test waits."""


class Clock:
    """Time that passes when a lease sleeps; others act `then`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.then: list[Callable[[], object]] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.then:
            self.then.pop(0)()


@pytest.fixture
def place(tmp_path: Path) -> Bucket:
    return bucket_in(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def quiet(place: Bucket) -> Lease:
    """A lease that is not renewed by itself, and otherwise as by default."""
    made = Lease(place, KEY)
    made._renew = lambda: None  # type: ignore[method-assign]
    return made


def never() -> bool:
    return False


def test_a_free_lease_is_taken_at_once(place: Bucket, clock: Clock) -> None:
    lease = quiet(place)
    assert lease.take(never)
    assert clock.now == 1000 + module.SETTLE
    lease.check()
    lease.release()
    assert place.list("claims") == {}
    lease.release()  # twice is no error


def test_nothing_is_taken_of_a_trial_that_is_over(place: Bucket, clock: Clock) -> None:
    assert not quiet(place).take(lambda: True)
    assert place.list("claims") == {}


def test_a_released_lease_is_free(place: Bucket, clock: Clock) -> None:
    first, second = quiet(place), quiet(place)
    assert first.take(never)
    clock.then = [lambda: None, first.release]
    assert second.take(never)
    assert clock.now < 1000 + module.DEAD_AFTER
    with pytest.raises(LeaseLostError, match="must hold claims/trial in s3://test to write"):
        first.check()


def test_a_dead_holder_is_taken_over(place: Bucket, clock: Clock) -> None:
    first, second = quiet(place), quiet(place)
    assert first.take(never)
    start = clock.now
    assert second.take(never)
    assert start + module.DEAD_AFTER <= clock.now <= start + module.DEAD_AFTER + module.EVERY + 1
    second.check()
    with pytest.raises(LeaseLostError):
        first.check()
    first.release()  # it is not its own to release
    second.check()


def test_a_holder_that_renews_is_waited_for(place: Bucket, clock: Clock) -> None:
    def renewed(count: int) -> Callable[[], None]:
        return lambda: place.put(KEY, b"another worker, %d" % count)

    renewed(0)()
    # Almost dead each time: 5 of 6 looks find it unchanged.
    clock.then = [renewed(i // 5) if i % 5 == 0 else lambda: None for i in range(1, 101)]
    looks = iter(range(100))
    assert not quiet(place).take(lambda: next(looks, None) is None)
    assert clock.now >= 1000 + 10 * module.DEAD_AFTER
    assert place.get(KEY) == b"another worker, 20"


def test_of_two_that_take_it_the_last_writer_has_it(place: Bucket, clock: Clock) -> None:
    first, second = quiet(place), quiet(place)
    # Both found it free; the other's write comes while this one lets it settle.
    clock.then = [lambda: second._write(place)]
    waited = iter([False, True])
    assert not first.take(lambda: next(waited))
    second.check()


def test_skewed_clocks_change_nothing(place: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    # No wall clock is read at all: each process may have its own.
    monkeypatch.setattr(time, "time", lambda: pytest.fail("a wall clock was read"))
    holder = Lease(place, KEY, every=0.01, dead_after=NEVER, settle=0.01)
    assert holder.take(never)
    looks = iter(range(5))
    waiter = Lease(place, KEY, every=0.01, dead_after=NEVER, settle=0.01)
    assert not waiter.take(lambda: next(looks, None) is None)
    holder.check()
    holder.release()
    assert waiter.take(never)
    waiter.release()


def test_only_one_of_many_threads_runs_a_trial(place: Bucket) -> None:
    ran, inside, together = [], [], threading.Barrier(6)

    def worker() -> None:
        lease = Lease(place, KEY, every=0.02, dead_after=NEVER, settle=0.3)
        together.wait()
        if lease.take(lambda: place.has("row")):
            inside.append(1)
            ran.append(len(inside))
            if not place.has("row"):
                place.put("row", b"")
            inside.pop()
            lease.release()

    workers = [threading.Thread(target=worker) for _ in range(6)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(60)
    assert place.has("row")
    assert ran == [1]
    assert place.list("claims") == {}


def test_a_holder_renews_and_notices_that_it_was_taken_over(place: Bucket) -> None:
    lease = Lease(place, KEY, every=0.01, settle=0.0)
    assert lease.take(never)
    first = place.get(KEY)
    wait_until(lambda: place.get(KEY) != first)

    # Its thread may be between a look and a write; the other one's renewals tell it in the end.
    def taken_over() -> bool:
        place.put(KEY, b"another worker")
        return lease._lost.is_set()

    wait_until(taken_over)
    with pytest.raises(LeaseLostError):
        lease.check()
    lease.release()
    assert place.get(KEY) == b"another worker"


def test_a_failed_renewal_is_made_up_for(place: Bucket) -> None:
    lease = Lease(place, KEY, every=0.01, settle=0.0)
    assert lease.take(never)
    place.files.faults = [OSError("SLOW_DOWN")] * 5
    wait_until(lambda: not place.files.faults)
    before = place.get(KEY)
    wait_until(lambda: place.get(KEY) != before)
    lease.check()
    lease.release()


def test_a_release_that_fails_is_no_error(place: Bucket, clock: Clock) -> None:
    lease = quiet(place)
    assert lease.take(never)
    place.files.faults = [OSError("SLOW_DOWN")]
    lease.release()
    assert place.has(KEY)  # who comes next waits


def wait_until(holds: Callable[[], object]) -> None:
    for _ in range(3000):
        if holds():
            return
        threading.Event().wait(0.01)
    pytest.fail("it never held")
