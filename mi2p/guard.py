"""Frees the GPUs of a trial whose process was killed.

Ray ends the workers then, but keeps their placement group until the whole sweep ends. Ray Train's
own cleaner asks the dashboard, which a private cluster has not, and fails where a machine has
several clusters.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

SECONDS = 1.0
"""Between two looks."""


class Guard:
    """Removes a placement group, and ends, when an actor that goes with the trial is dead."""

    def __init__(self, canary: Any, group: PlacementGroup) -> None:
        """`canary` is any actor with a `size`.

        It watches from here on: a call would be lost with the caller while this process starts.
        """
        self.canary, self.group = canary, group
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while _lives(self.canary):
            time.sleep(SECONDS)
        remove_placement_group(self.group)
        ray.kill(ray.get_runtime_context().current_actor)


def post_guard(canary: Any, group: PlacementGroup) -> None:
    """Start a guard on this machine that outlives the calling process."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"lifetime": "detached", "num_cpus": 0, "scheduling_strategy": here}
    ray.remote(Guard).options(**options).remote(canary, group)


def _lives(canary: Any) -> bool:
    try:
        ray.get(canary.size.remote())
    except ray.exceptions.ActorUnavailableError:  # for a while
        return True
    except ray.exceptions.RayActorError:
        return False
    return True
