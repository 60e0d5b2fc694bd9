"""The guard, which needs a cluster: a placement group goes with an actor."""

from __future__ import annotations

import time

import pytest


@pytest.mark.slow
def test_the_group_is_removed_when_the_actor_dies() -> None:
    import ray
    from ray.util.placement_group import placement_group, placement_group_table
    from ray.util.queue import Queue

    from mi2p.guard import post_guard

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        group = placement_group([{"CPU": 1}])
        assert group.wait(60)
        queue = Queue(actor_options={"num_cpus": 0})
        post_guard(queue.actor, group)
        time.sleep(3)
        assert placement_group_table(group)["state"] == "CREATED"
        ray.kill(queue.actor)
        end = time.monotonic() + 60
        while placement_group_table(group)["state"] != "REMOVED":
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        ray.shutdown()
