"""GPUs of trials whose process was killed.

Ray ends the workers of such a trial, but keeps their placement group until the whole sweep ends:
a group goes with the job that made it. Ray Train's own cleaner asks the dashboard, which a private
cluster has not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

EVERY_SECONDS = 5.0
NOBODY = b"\xff"
"""Each byte of an actor's id where there is no actor."""


class Orphans:
    """Frees them now and then, while it is called."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self) -> None:
        """Free what is there, if the last look was long enough ago."""
        if time.monotonic() >= self._next:
            free_orphans()
            self._next = time.monotonic() + EVERY_SECONDS


def free_orphans() -> int:
    """Remove the placement groups of this job that an actor made which is dead; how many."""
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    found = list(orphans(_groups(), bytes.fromhex(job)))
    for group in found:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group)))
    return len(found)


def orphans(groups: Iterable[Any], job: bytes) -> Iterator[bytes]:
    """Ids of those groups, rows of Ray's table, of a job that only a dead actor knows."""
    for group in groups:
        own = group.creator_job_id == job and not group.is_detached
        # Of what the driver made itself Ray says that its actor is dead, too.
        if (
            group.creator_actor_id.strip(NOBODY)
            and own
            and group.creator_actor_dead
            and group.state != group.REMOVED
        ):
            yield group.placement_group_id


def _groups() -> Iterator[Any]:
    """Ray's table; its public form does not tell who made a group."""
    from ray._private.state import state
    from ray.core.generated import gcs_pb2

    for row in state._connect_and_get_accessor().get_placement_group_table():
        yield gcs_pb2.PlacementGroupTableData.FromString(row)
