"""What nodes say of themselves, and what follows for trials."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mi2p import nodes
from mi2p.cluster import joined, prepare_environment
from mi2p.nodes import (
    Answer,
    Memory,
    alive,
    gpu_memory,
    host_memory,
    memory_of,
    offer,
    offer_of,
    shares,
    survey,
)
from mi2p.placement import CONTEXT_BYTES, NodeType, Offer, Request
from mi2p.remote import Remote


def test_a_trial_has_its_share_of_the_smallest_machine() -> None:
    nodes = [{"CPU": 4.0, "memory": 80.0}, {"CPU": 8.0, "memory": 96.0}, {"memory": 1.0}]
    assert host_memory(nodes, 1) == Memory(nbytes=12, bfloat16=False, gpu=False)
    assert host_memory(nodes, 2) == Memory(nbytes=24, bfloat16=False, gpu=False)
    # Machines that are too small for it run none.
    assert host_memory([{"CPU": 1.0, "memory": 2.0}, *nodes], 2) == host_memory(nodes, 2)
    assert host_memory([{"memory": 1.0}], 1) is None


GB = 1 << 30


def test_a_trial_has_its_part_of_the_smallest_gpu() -> None:
    nodes = [[(80 * GB, True), (80 * GB, True)], [(40 * GB, True)]]
    whole = Memory(nbytes=40 * GB, bfloat16=True, gpu=True, whole=40 * GB)
    assert gpu_memory(nodes, 1) == whole
    # Each of the four processes on it takes something for itself.
    assert gpu_memory(nodes, 0.25) == replace(whole, nbytes=10 * GB - CONTEXT_BYTES)
    older = gpu_memory([*nodes, [(60 * GB, False)]], 1)
    assert older == replace(whole, bfloat16=False)
    # A node that pretends to GPUs, in a test.
    assert gpu_memory([*nodes, []], 1) is None and gpu_memory([], 1) is None


def test_memory_is_that_of_what_a_trial_asks_for() -> None:
    machine = {"CPU": 4.0, "memory": 80.0}
    head = Answer(host="b", python="", torch="", now=0)
    gpu = replace(head, host="a", offers_gpus=True, gpus=((40 * GB, True),))
    assert memory_of(Request(), [machine], []) == Memory(nbytes=20, bfloat16=False, gpu=False)
    whole = Memory(nbytes=40 * GB, bfloat16=True, gpu=True, whole=40 * GB)
    half = replace(whole, nbytes=20 * GB - CONTEXT_BYTES)
    assert memory_of(Request(gpus=0.5), [machine], [gpu, head]) == half
    # Each process of several has a whole one.
    assert memory_of(Request(gpus=4), [machine], [gpu]) == whole


def test_a_folder_of_the_same_name_is_not_the_same_folder(tmp_path: Path) -> None:
    assert not shares(str(tmp_path), "abc")
    (tmp_path / ".id").write_text("abc\n")
    assert shares(str(tmp_path), "abc") and not shares(str(tmp_path), "abd")


def test_a_bucket_of_the_same_name_is_not_the_same_bucket(tmp_path: Path) -> None:
    place = (tmp_path / "bucket").as_uri()
    Remote.open(place).bucket.put("ids/abc", b"")
    assert shares(place, "abc") and not shares(place, "abd")


AWS: dict[str, Any] = {
    "max_workers": 10,
    "head_node_type": "head",
    "provider": {"type": "aws"},
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "max_workers": 0},
        "spot": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 8},
        "unknown": {"resources": {}, "max_workers": 8},
    },
}


def test_what_an_autoscaler_may_start_is_in_its_configuration() -> None:
    here = [{"CPU": 4.0}]
    spot = NodeType(name="spot", resources={"CPU": 4, "GPU": 1}, most=8)
    assert offer_of(here, AWS) == Offer(nodes=here, types=(spot,), most_workers=10, grows=True)
    # Kubernetes keeps it where nobody here can read it.
    assert offer_of(here, {}) == Offer(nodes=here, grows=True)
    desk = {"provider": {"type": "local", "head_ip": "h1", "worker_ips": ["h2", "h3"]}}
    assert offer_of(here, desk).grows  # h2 and h3 are still to come
    assert not offer_of(here * 3, desk).grows


def test_what_ray_up_left_on_the_head_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_USAGE_STATS_KUBERAY_IN_USE", raising=False)
    assert nodes._autoscaler() is None
    (tmp_path / "ray_bootstrap_config.yaml").write_text("max_workers: 3\n")
    assert nodes._autoscaler() == {"max_workers": 3}
    (tmp_path / "ray_bootstrap_config.yaml").write_text("[")
    monkeypatch.setenv("RAY_USAGE_STATS_KUBERAY_IN_USE", "1")
    assert nodes._autoscaler() == {}  # it is elsewhere


@pytest.mark.slow
def test_each_node_of_a_cluster_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    prepare_environment()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=1, num_gpus=2)
        lost = cluster.add_node(num_cpus=1)
        with joined(cluster.address):
            assert not offer().grows
            assert [node.get("CPU", 0) for node in alive()].count(1) == 2
            (tmp_path / ".id").write_text("abc")
            found = survey(Request(gpus=1), str(tmp_path), "abc")
            assert len(found) == 3 and all(answer.shares for answer in found)
            assert {answer.skew for answer in found} == {0.0}
            (offering,) = (answer for answer in found if answer.offers_gpus)
            assert offering.gpus == nodes._gpus()  # pretended ones are not seen
            assert not any(a.shares for a in survey(Request(), str(tmp_path / "other"), "abc"))
            cluster.remove_node(lost, allow_graceful=False)
            assert len(survey(Request(), str(tmp_path), "abc")) == 2
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_the_memory_of_a_trial_on_this_machine() -> None:
    import ray

    with joined(None):
        found = memory_of(Request(), alive(), [])
        offered = ray.cluster_resources()
    assert found is not None and not found.gpu
    assert found.nbytes * offered["CPU"] == pytest.approx(offered["memory"])
    assert found.nbytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
