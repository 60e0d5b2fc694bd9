"""The Ray cluster that a command works on: how it is joined, and what its processes are set to."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mi2p

WORKER_ENVIRONMENT = {
    # glibc returns large blocks to the system after each step and faults them in again: keeping
    # them makes training on a CPU 1.3 times faster. Must be set before a process starts.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
    # A trial is one thread; a machine runs as many trials as it has cores.
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    # A trial that is stopped ends after what it does: a step, a checkpoint on its way to a bucket,
    # processes on other GPUs. A worker that is not done in this time takes the next trial with it.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "300",
    # A trial on several GPUs waits for a node that has them; an autoscaler may need long.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(7 * 24 * 3600),
}

PRIVATE = "local"
"""The address that means a cluster of this command's own, on this machine."""
ANSWER_SECONDS = 5.0
"""In which a cluster's port answers, or there is none."""


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """The cluster at `address`, as of `cluster_address`; the workers get this `mi2p`.

    What Ray raises inside becomes a RuntimeError with its message; a cluster that is not there, or
    does not let this user in, is a ConnectionError.
    """
    prepare_environment()
    import ray

    where = cluster_address(address)
    check_answers(where)
    try:
        ray.init(
            address=where,
            include_dashboard=False if where == PRIVATE else None,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env=_runtime_environment(where),
        )
    except (ray.exceptions.RayError, RuntimeError, ConnectionError) as error:
        raise ConnectionError(f"the Ray cluster at {where} cannot be joined: {error}") from error
    try:
        yield
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"Ray stopped the work: {error}") from error
    finally:
        ray.shutdown()


def cluster_address(address: str | None) -> str:
    """Where to join: `address`, else $RAY_ADDRESS, else a private cluster on this machine.

    `ValueError` for an address that is not of a form that drivers can join.
    """
    where = address or os.environ.get("RAY_ADDRESS") or PRIVATE
    if where in (PRIVATE, "auto"):
        return where
    host, _, port = where.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        return where
    raise ValueError(
        f"--address (or $RAY_ADDRESS) must be auto, host:port or local, but got {where!r}. From "
        "outside a cluster use ray job submit, which takes the http:// address of its dashboard; "
        "ray:// sends every object through the client, and Tune does not run there"
    )


def is_private(address: str | None) -> bool:
    """Whether `joined` starts a cluster of this command's own."""
    return cluster_address(address) == PRIVATE


def check_answers(where: str) -> None:
    """`ConnectionError` at once if nothing listens at host:port; Ray itself would wait long."""
    host, _, port = where.rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise ConnectionError(
            f"--address must be that of a Ray cluster that runs, but {where} does not answer "
            f"({error}); `ray start --head` prints the address of one"
        ) from error


def _runtime_environment(where: str) -> dict[str, Any]:
    """What workers start with. Those of other machines get the package that this process has, so
    that all run the same code, whatever is installed there."""
    environment: dict[str, Any] = {"env_vars": dict(WORKER_ENVIRONMENT)}
    if where != PRIVATE:
        environment["py_modules"] = [str(Path(mi2p.__file__).parent)]
    return environment


def prepare_environment() -> None:
    """Settings that Ray reads from the driver's environment; a user's own values stay."""
    # Rows and curves are ours: Tune's JSON, CSV and TensorBoard loggers triple the driver's work.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # Snapshots of all trials so far, which nobody reads.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray 2.60: when its memory monitor ends one trial, the whole `fit` raises.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    # A submitted job has a runtime environment of its own; ours joins it.
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")


def keep_coordinator_here() -> None:
    """Start the actor that Ray Data and Ray Train share, on the driver's node.

    Ray 2.60 puts it, for good, on the node of whoever asks for it first: were that a trial, its
    node would never be idle again, and an autoscaler would keep it.
    """
    from ray.data._internal.cluster_autoscaler import get_or_create_autoscaling_coordinator

    get_or_create_autoscaling_coordinator()


def in_job() -> bool:
    """Whether this process was started by `ray job submit`."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
