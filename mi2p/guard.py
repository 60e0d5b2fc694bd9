"""Frees the GPUs of a trial whose process was killed.

Ray ends the workers then, but keeps their placement group: it belongs to the whole sweep. Ray
Train's own cleaner asks the dashboard, which a private cluster has not.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

SECONDS = 1.0
"""Between two looks."""


class Guard:
    """Watches an actor that goes when the trial does."""

    def watch(self, canary: Any, group: PlacementGroup) -> None:
        """Remove `group`, and end, when the actor `canary` (any with a `size`) is dead."""
        while _lives(canary):
            time.sleep(SECONDS)
        remove_placement_group(group)
        ray.actor.exit_actor()


def post_guard(canary: Any, group: PlacementGroup) -> None:
    """Start a guard on this machine that outlives the calling process."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"lifetime": "detached", "num_cpus": 0, "scheduling_strategy": here}
    guard = ray.remote(Guard).options(**options).remote()
    guard.watch.remote(canary, group)


def _lives(canary: Any) -> bool:
    try:
        ray.get(canary.size.remote())
    except ray.exceptions.ActorUnavailableError:  # for a while
        return True
    except ray.exceptions.RayActorError:
        return False
    return True
