"""Joining a Ray cluster; that trials run on one is held by tests/test_sweep.py."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mi2p.cluster import (
    WORKER_ENVIRONMENT,
    check_answers,
    cluster_address,
    in_job,
    joined,
    prepare_environment,
)

ROOT = Path(__file__).parents[1]


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


def test_an_address_is_the_users_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_address(None) == "local"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster_address(None) == "10.0.0.1:6379"
    assert cluster_address("auto") == "auto" and cluster_address("local") == "local"
    assert cluster_address("[fd00::1]:6379") == "[fd00::1]:6379"


@pytest.mark.parametrize(
    "address", ["ray://10.0.0.1:10001", "http://127.0.0.1:8265", "head", ":1"]
)
def test_an_address_that_no_driver_joins_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"--address .* must be auto, host:port or local"):
        cluster_address(address)


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ConnectionError, match=f"127.0.0.1:{port} does not answer"):
            check_answers(f"127.0.0.1:{port}")
        free.listen()
        check_answers(f"127.0.0.1:{port}")
    check_answers("auto")


def test_a_submitted_job_knows_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_job()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert in_job()


SHIPPED = """
import os
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

sys.path.insert(0, sys.argv[1])
from mi2p.cluster import joined
del sys.path[0]  # workers of this machine would find it there, too


def found():
    first = next(p for p in sys.path if Path(p, "mi2p").is_dir())
    return first, Path(first, "mi2p/__init__.py").read_text(), os.environ["OMP_NUM_THREADS"]


cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
with joined(cluster.address):
    print(*ray.get(ray.remote(found).remote()))
cluster.shutdown()
"""


@pytest.mark.slow
def test_workers_get_the_package_of_the_driver(tmp_path: Path) -> None:
    # Another version than what is installed, as after a change on the head alone.
    shutil.copytree(ROOT / "mi2p", tmp_path / "mi2p")
    (tmp_path / "mi2p/__init__.py").write_text('__version__ = "9.9"\n')
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", SHIPPED, str(tmp_path)],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    where, *version, threads = done.stdout.split()
    assert "runtime_resources/py_modules_files" in where and threads == "1"
    assert version == ["__version__", "=", '"9.9"']
