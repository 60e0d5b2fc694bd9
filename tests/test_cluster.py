"""Joining a Ray cluster; that trials run on one is held by tests/test_sweep.py."""

from __future__ import annotations

import os

import pytest

from mi2p.cluster import (
    WORKER_ENVIRONMENT,
    Memory,
    gpu_memory,
    host_memory,
    joined,
    memory_per_trial,
    prepare_environment,
)


def test_a_users_own_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.delenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", raising=False)
    prepare_environment()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] == "1"


def test_a_trial_is_one_thread() -> None:
    assert WORKER_ENVIRONMENT["OMP_NUM_THREADS"] == "1"


@pytest.mark.slow
def test_what_ray_raises_is_told_as_one_kind_of_error() -> None:
    import ray

    with pytest.raises(RuntimeError, match=r"Ray stopped the work: [\s\S]*ZeroDivisionError"):
        with joined(None):
            assert ray.get(ray.remote(lambda: os.environ["OMP_NUM_THREADS"]).remote()) == "1"
            ray.get(ray.remote(lambda: 1 // 0).remote())
    assert not ray.is_initialized()


def test_a_trial_has_its_share_of_the_smallest_machine() -> None:
    nodes = [{"CPU": 4.0, "memory": 80.0}, {"CPU": 8.0, "memory": 96.0}, {"memory": 1.0}]
    assert host_memory(nodes, 1) == Memory(nbytes=12, bfloat16=False, gpu=False)
    assert host_memory(nodes, 2) == Memory(nbytes=24, bfloat16=False, gpu=False)
    # Machines that are too small for it run none.
    assert host_memory([{"CPU": 1.0, "memory": 2.0}, *nodes], 2) == host_memory(nodes, 2)
    assert host_memory([{"memory": 1.0}], 1) is None


def test_a_trial_has_its_part_of_the_smallest_gpu() -> None:
    nodes = [[(80, True), (80, True)], [(40, True)]]
    assert gpu_memory(nodes, 1) == Memory(nbytes=40, bfloat16=True, gpu=True)
    assert gpu_memory(nodes, 0.25) == Memory(nbytes=10, bfloat16=True, gpu=True)
    older = gpu_memory([*nodes, [(60, False)]], 1)
    assert older == Memory(nbytes=40, bfloat16=False, gpu=True)
    # A node that pretends to GPUs, in a test.
    assert gpu_memory([*nodes, []], 1) is None and gpu_memory([], 1) is None


@pytest.mark.slow
def test_the_memory_of_a_trial_on_this_machine() -> None:
    import ray

    with joined(None):
        found = memory_per_trial({"cpu": 1})
        offered = ray.cluster_resources()
    assert found is not None and not found.gpu
    assert found.nbytes * offered["CPU"] == pytest.approx(offered["memory"])
    assert found.nbytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_pretended_gpus_have_no_memory() -> None:
    import ray
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    prepare_environment()
    ray.init(address="local", num_cpus=1, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert memory_per_trial({"cpu": 1, "gpu": 1}) is None
    finally:
        ray.shutdown()
