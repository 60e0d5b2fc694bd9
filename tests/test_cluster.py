"""Joining a Ray cluster; that trials run on one is held by tests/test_sweep.py."""

from __future__ import annotations

import os

import pytest

from mi2p.cluster import WORKER_ENVIRONMENT, joined, prepare_environment


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
