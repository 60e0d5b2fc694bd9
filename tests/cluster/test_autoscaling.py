"""Nodes come for pending trials and go when idle; trials land where they should."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import SHARED, hosts, why_not

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


@pytest.fixture(scope="module")
def told(
    drawings: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[dict[str, Any]]]:
    """What `autoscaling.py` prints, on a host of its own."""
    folder = tmp_path_factory.mktemp("hosts")
    shutil.copytree(drawings, folder / "shared" / "drawings")
    with hosts(folder, 1, net="10.202.0", prefix="au") as found:
        command = f"cd {ROOT} && python tests/cluster/autoscaling.py /tmp/sweeps {SHARED}/drawings"
        out = found.run("h1", f"export PYTHONPATH={ROOT}; {command}", timeout=500)
    print(out)
    yield [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def of(told: list[dict[str, Any]], key: str, value: Any = None) -> dict[str, Any]:
    """The object that has this key, with this value if one is given."""
    return next(t for t in told if key in t and value in (None, t[key]))


def test_nodes_come_for_trials_and_go_when_idle(told: list[dict[str, Any]]) -> None:
    assert of(told, "host")["gpus"] == 0  # none at first
    for gpus in (1.0, 0.5):
        sweep = of(told, "gpus_per_trial", gpus)
        assert sweep["end"] == "all" and sweep["most_gpus"] == 6
    assert of(told, "idle_seconds_until_all_are_gone")


def test_trials_land_one_or_two_on_a_gpu(told: list[dict[str, Any]]) -> None:
    whole, half = (of(told, "gpus_per_trial", gpus) for gpus in (1.0, 0.5))
    assert (whole["trials"], whole["slots"], whole["at_once_on_a_gpu"]) == (40, 6, 1)
    assert (half["slots"], half["at_once_on_a_gpu"]) == (12, 2)


def test_the_processes_of_a_trial_are_on_one_node(told: list[dict[str, Any]]) -> None:
    pair = of(told, "gpus_per_trial", 2.0)
    assert pair["end"] == "all" and pair["statuses"] == ["done"]
    assert pair["nodes_of_each_trial"] == 1 and pair["gpus_of_each_trial"] == 2


def test_utilisation_is_reported(told: list[dict[str, Any]]) -> None:
    sweep = of(told, "gpus_per_trial", 1.0)
    assert sweep["trials"] == 40
    assert 0 < sweep["busy_gpu_seconds"] <= sweep["offered_gpu_seconds"]
    assert 0 < sweep["utilisation"] <= sweep["utilisation_between_first_and_last"] <= 1


def test_what_no_node_can_hold_is_refused(told: list[dict[str, Any]]) -> None:
    assert "it may start 1 x [4 GPUs, 8 CPUs] (four)" in of(told, "refused")["refused"]
