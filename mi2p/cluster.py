"""The Ray cluster that a command works on: how it is joined, and what its processes are set to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
