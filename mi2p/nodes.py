"""What the nodes of a joined cluster have: asked of Ray, of its autoscaler and of each machine."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mi2p.placement import NodeType, Offer, Request, Resources, usable_bytes

HEAD = "node:__internal_head__"
"""Resource of the node that a cluster was started on."""
CONFIG = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves a cluster's configuration on its head."""
SHARED = (
    "all nodes of the cluster must see the same results folder: checkpoints of a lost node are "
    "read by another, and the driver reads all rows. Put --results on a file system that they "
    "share (NFS, EFS, Lustre, a shared volume), at the same path everywhere, or let results go "
    "through a bucket (--remote s3://...)"
)
ANSWER_SECONDS = 180.0
"""In which a node starts a worker that imports torch, even while it is busy."""
SKEW_SECONDS = 5.0
"""Clocks that are no further apart are called the same."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one trial can use for what it trains."""

    nbytes: float
    bfloat16: bool
    """Whether it trains in bfloat16, as on GPUs that compute in it."""
    gpu: bool
    whole: float = 0.0
    """Bytes of the smallest GPU, of which it may be a part."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a machine says of itself."""

    host: str
    python: str
    torch: str
    now: float
    """Its clock when it answered: Unix time in seconds."""
    skew: float = 0.0
    """Seconds by which its clock is surely off the driver's."""
    shares: bool = True
    """Whether it sees the driver's results folder."""
    offers_gpus: bool = False
    """Whether Ray gives its GPUs to trials."""
    gpus: tuple[tuple[int, bool], ...] = ()
    """Of each GPU that torch sees: its bytes, and whether it computes in bfloat16."""


def alive() -> list[Resources]:
    """The resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def offer() -> Offer:
    """What the cluster has, and what the autoscaler on its head may start."""
    import ray

    nodes = alive()
    if not any(HEAD in node for node in nodes):
        return Offer(nodes=nodes)
    # Without CPUs of its own it waits for no trial.
    task = ray.remote(num_cpus=0)(_autoscaler).options(resources={HEAD: 0.001})
    config = ray.get(task.remote())
    return Offer(nodes=nodes) if config is None else offer_of(nodes, config)


def _autoscaler() -> dict[str, Any] | None:
    """Run on the head: the configuration of its autoscaler, empty if that is elsewhere; None
    where there is none."""
    import yaml

    with suppress(OSError, yaml.YAMLError):
        found: dict[str, Any] = yaml.safe_load(CONFIG.expanduser().read_text(encoding="utf-8"))
        return found
    return {} if "RAY_USAGE_STATS_KUBERAY_IN_USE" in os.environ else None


def offer_of(nodes: Sequence[Resources], config: Mapping[str, Any]) -> Offer:
    """What these nodes, and an autoscaler with such a configuration, may have to give.

    An empty configuration is one that nobody here can read.
    """
    provider = config.get("provider", {})
    if provider.get("type") == "local":  # it starts again what has stopped, nothing else
        machines = 1 + len(provider.get("worker_ips", ()))
        return Offer(nodes=nodes, grows=len(nodes) < machines)
    types = tuple(
        NodeType(name=name, resources=kind["resources"], most=int(kind["max_workers"]))
        for name, kind in config.get("available_node_types", {}).items()
        if name != config.get("head_node_type") and kind.get("resources")
    )
    return Offer(nodes=nodes, types=types, most_workers=config.get("max_workers"), grows=True)


def survey(request: Request, place: str, identity: str) -> list[Answer]:
    """What each node says of itself; one that dies meanwhile says nothing.

    `place` is the folder that all of them should see, or the URI of a bucket, with this
    `identity`. Nodes with GPUs are asked for these if the request has any, which takes the seconds
    in which a worker imports torch. That GPUs answer as meant, only GPUs can prove.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked, sent = {}, time.time()
    for node in ray.nodes():
        if node["Alive"]:
            has_gpus = bool(request.gpus) and node["Resources"].get("GPU", 0) > 0
            # Without CPUs or GPUs of its own it waits for no trial.
            task = ray.remote(num_cpus=0, max_retries=0)(_answer).options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            )
            asked[node["NodeID"]] = task.remote(place, identity, has_gpus)
    return list(_answers(asked, sent))


def wait_for_node(request: Request) -> None:
    """Until there is a node on which a process of such a trial is placed, and has run."""
    import ray

    others = dict(request.process)
    task = ray.remote(max_retries=-1)(platform.node).options(
        num_cpus=others.pop("CPU"), num_gpus=others.pop("GPU", 0), resources=others
    )
    ray.get(task.remote())


def _answers(asked: Mapping[str, Any], sent: float) -> Iterator[Answer]:
    import ray

    deadline = time.monotonic() + ANSWER_SECONDS
    for name, reference in asked.items():
        try:
            given: Answer = ray.get(reference, timeout=max(1.0, deadline - time.monotonic()))
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(f"a node cannot run mi2p: {error.cause!r}") from error
        except ray.exceptions.RayError as error:
            if not any(node["NodeID"] == name and node["Alive"] for node in ray.nodes()):
                continue  # it died meanwhile
            raise RuntimeError(f"node {name} runs no task: {error}") from error
        yield replace(given, skew=max(0.0, given.now - time.time(), sent - given.now))


def _answer(place: str, identity: str, has_gpus: bool) -> Answer:
    """Run on a node."""
    return Answer(
        host=socket.gethostname(),
        python=".".join(platform.python_version_tuple()[:2]),
        torch=version("torch"),
        now=time.time(),
        shares=shares(place, identity),
        offers_gpus=has_gpus,
        gpus=_gpus() if has_gpus else (),
    )


class NotShared(OSError):
    """This node does not see the results that the driver sees."""


def shares(place: str, identity: str) -> bool:
    """Whether this machine sees the results folder, or the bucket, with this identity there."""
    if "://" in place:
        from mi2p.remote import Remote

        return Remote.open(place).bucket.has(f"ids/{identity}")
    try:
        return Path(place, ".id").read_text(encoding="utf-8").strip() == identity
    except OSError:
        return False


def _gpus() -> tuple[tuple[int, bool], ...]:
    """Bytes of each GPU of this machine, and whether it computes in bfloat16."""
    import torch

    from mi2p.runtime import bfloat16

    found = []
    for number in range(torch.cuda.device_count()):
        with torch.cuda.device(number):
            size = torch.cuda.get_device_properties(number).total_memory
            found.append((size, bfloat16(torch.device("cuda", number))))
    return tuple(found)


def memory_of(
    request: Request, nodes: Sequence[Resources], answers: Iterable[Answer]
) -> Memory | None:
    """What a trial has on whichever node it runs; None if that is unknown.

    With GPUs it is the smallest GPU's times the part of it that a trial has. Else it is what Ray
    offers for tasks on the node with the least per CPU. It is unknown where a node pretends to
    GPUs, and before a node has come that a trial fits on.
    """
    if not request.gpus:
        return host_memory(nodes, request.workers)
    return gpu_memory((a.gpus for a in answers if a.offers_gpus), request.gpus)


def host_memory(nodes: Iterable[Resources], cpus: float) -> Memory | None:
    """That of a trial with so many CPUs, from the resources of nodes; None if none fits it."""
    least = [
        node["memory"] / node["CPU"] * cpus
        for node in nodes
        if node.get("CPU", 0) >= cpus and "memory" in node
    ]
    return Memory(nbytes=min(least), bfloat16=False, gpu=False) if least else None


def gpu_memory(nodes: Iterable[Iterable[tuple[int, bool]]], part: float) -> Memory | None:
    """That of a trial with such a part of any GPU of these nodes.

    A GPU is its bytes and whether it computes in bfloat16. None if a node has none.
    """
    found = [list(gpus) for gpus in nodes]
    if not found or not all(found):
        return None
    sizes, half = zip(*(gpu for gpus in found for gpu in gpus), strict=True)
    # Where GPUs differ, a trial may train in float32, which takes more.
    nbytes = usable_bytes(min(sizes), min(part, 1))
    return Memory(nbytes=nbytes, bfloat16=all(half), gpu=True, whole=min(sizes))
