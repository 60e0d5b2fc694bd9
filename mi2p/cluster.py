"""The Ray cluster that a command works on: how it is joined, and what its processes are set to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

WORKER_ENVIRONMENT = {
    # glibc returns large blocks to the system after each step and faults them in again: keeping
    # them makes training on a CPU 1.3 times faster. Must be set before a process starts.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
    # A trial is one thread; a machine runs as many trials as it has cores.
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one trial can use for what it trains."""

    nbytes: float
    bfloat16: bool
    """Whether it trains in bfloat16, as on GPUs that compute in it."""
    gpu: bool


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """The cluster at `address` (`auto`, host:port), or a private one on this machine for None.

    What Ray raises inside becomes a RuntimeError with its message.
    """
    prepare_environment()
    import ray

    ray.init(
        address=address or "local",
        include_dashboard=False if address is None else None,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
    )
    try:
        yield
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"Ray stopped the work: {error}") from error
    finally:
        ray.shutdown()


def prepare_environment() -> None:
    """Settings that Ray reads from the driver's environment; a user's own values stay."""
    # Rows and curves are ours: Tune's JSON, CSV and TensorBoard loggers triple the driver's work.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray 2.60: when its memory monitor ends one trial, the whole `fit` raises.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")


def memory_per_trial(resources: Mapping[str, float]) -> Memory | None:
    """The memory of a trial with these CPUs and GPUs, wherever it runs; None if that is unknown.

    To be called while a cluster is `joined`. With GPUs it is the smallest GPU's times the part of
    it that a trial has; each node with GPUs is asked, which takes the seconds in which a worker
    imports torch. Else it is what Ray offers for tasks on the node with the least per CPU. It is
    unknown where a node pretends to GPUs. That GPUs answer as meant, only GPUs can prove.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not resources.get("gpu"):
        return host_memory((node["Resources"] for node in nodes), resources["cpu"])
    asked = [_gpus_of(node["NodeID"]) for node in nodes if node["Resources"].get("GPU")]
    return gpu_memory(ray.get(asked), resources["gpu"])


def host_memory(nodes: Iterable[Mapping[str, float]], cpus: float) -> Memory | None:
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
    return Memory(nbytes=min(sizes) * min(part, 1), bfloat16=all(half), gpu=True)


def _gpus_of(node: str) -> Any:
    """A reference to what `_gpus` finds on a node; it waits for no trial that has a GPU."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(_gpus).options(num_cpus=0, scheduling_strategy=strategy).remote()


def _gpus() -> list[tuple[int, bool]]:
    """Bytes of each GPU of this machine, and whether it computes in bfloat16."""
    import torch

    from mi2p.runtime import bfloat16

    found = []
    for number in range(torch.cuda.device_count()):
        with torch.cuda.device(number):
            size = torch.cuda.get_device_properties(number).total_memory
            found.append((size, bfloat16(torch.device("cuda", number))))
    return found
