"""Which placement groups nobody will remove but us."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from mi2p import orphans as module
from mi2p.orphans import EVERY_SECONDS, Orphans, free_orphans, orphans


def group(name: str, **more: Any) -> SimpleNamespace:
    """A row of Ray's table: of a dead actor of job `me`, unless said otherwise."""
    made = {
        "placement_group_id": name.encode(),
        "creator_job_id": b"me",
        "creator_actor_id": b"actor",
        "creator_actor_dead": True,
        "is_detached": False,
        "state": 2,
        "REMOVED": 3,
    }
    return SimpleNamespace(**(made | more))


def test_only_those_of_dead_actors_of_the_own_job() -> None:
    table = [
        group("orphan"),
        group("running", creator_actor_dead=False),
        group("gone", state=3),
        group("of another job", creator_job_id=b"you"),
        group("the driver's own", creator_actor_id=b"\xff" * 16),
        group("meant to stay", is_detached=True),
    ]
    assert list(orphans(table, b"me")) == [b"orphan"]


def test_it_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, now = [], 100.0
    monkeypatch.setattr(module, "free_orphans", lambda: looks.append(now))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    free = Orphans()
    for _ in range(3):
        free()
    now += EVERY_SECONDS
    free()
    assert looks == [100.0, 100.0 + EVERY_SECONDS]


@pytest.mark.slow
def test_the_gpus_of_a_killed_trial_are_free_again() -> None:
    import ray
    from ray.util.placement_group import placement_group

    ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False)
    try:
        kept = placement_group([{"GPU": 1}])  # the driver's own

        @ray.remote(num_cpus=0)
        class Trial:
            def hold(self) -> None:
                ray.get(placement_group([{"GPU": 1}]).ready())

        trial: Any = Trial.remote()  # type: ignore[attr-defined]
        ray.get([kept.ready(), trial.hold.remote()])
        assert free_orphans() == 0
        ray.kill(trial)
        deadline = time.monotonic() + 30
        while free_orphans() == 0:
            assert time.monotonic() < deadline, "no orphan is seen"
            time.sleep(0.2)
        while ray.available_resources().get("GPU", 0) < 1:
            assert time.monotonic() < deadline, "its GPU is not free"
            time.sleep(0.2)
        assert free_orphans() == 0
    finally:
        ray.shutdown()
