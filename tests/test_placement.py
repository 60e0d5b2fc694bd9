"""What fits on which nodes, against cases counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mi2p.placement import (
    CONTEXT_BYTES,
    COORDINATOR_CPUS,
    NodeType,
    Offer,
    Request,
    part_that_fits,
    request_of,
    usable_bytes,
)

LAPTOP = {"CPU": 8.0, "memory": 1e9}
HEAD = {"node:__internal_head__": 1.0}
SMALL = {"CPU": 4.0, "GPU": 1.0, "accelerator_type:A10G": 1.0}
LARGE = {"CPU": 48.0, "GPU": 4.0, "accelerator_type:A10G": 1.0}
OTHER = {"CPU": 96.0, "GPU": 8.0, "accelerator_type:A100": 1.0}


def test_a_trial_is_one_process_or_one_for_each_gpu() -> None:
    assert Request().process == {"CPU": 1} and Request().workers == 1
    assert Request(gpus=0.25).process == {"CPU": 1, "GPU": 0.25}
    four = Request(gpus=4, accelerator="A100")
    assert four.workers == 4
    assert four.process == {"CPU": 0.98, "GPU": 1, "accelerator_type:A100": 0.001}
    # With who waits for them they take no more than a CPU for each GPU.
    assert four.workers * four.process["CPU"] + COORDINATOR_CPUS <= four.workers


@pytest.mark.parametrize("gpus", [-1, -0.5, 1.5, 9, 16])
def test_other_numbers_of_gpus_are_refused(gpus: float) -> None:
    with pytest.raises(ValueError, match=f"a whole number up to 8.*gpus={gpus}"):
        Request(gpus=gpus)


def test_a_model_of_gpu_is_asked_for_with_gpus() -> None:
    with pytest.raises(ValueError, match="accelerator='A100', gpus=0"):
        Request(accelerator="A100")


@pytest.mark.parametrize(
    ("request_", "node", "fits"),
    [
        (Request(), LAPTOP, 8),
        (Request(), HEAD, 0),
        (Request(gpus=1), LAPTOP, 0),
        (Request(gpus=1), LARGE, 4),
        (Request(gpus=0.5), LARGE, 8),
        (Request(gpus=0.25), SMALL, 4),
        # Each GPU holds two of 0.4 and wastes the rest; a third would lie on two of them.
        (Request(gpus=0.4), LARGE, 8),
        (Request(gpus=0.1), SMALL, 4),  # for want of CPUs
        (Request(gpus=2), LARGE, 2),
        (Request(gpus=3), LARGE, 1),
        (Request(gpus=8), LARGE, 0),
        (Request(gpus=8), OTHER, 1),
        (Request(gpus=1, accelerator="A100"), LARGE, 0),
        (Request(gpus=1, accelerator="A100"), OTHER, 8),
    ],
)
def test_how_many_fit_on_a_node(request_: Request, node: dict[str, float], fits: int) -> None:
    assert request_.fits(node) == fits


def test_slots_are_counted_node_by_node() -> None:
    # Six GPUs in all, but of 2 + 2 + 1 + 1 a trial of two has only two nodes.
    pair = replace_gpus(LARGE, 2)
    offer = Offer(nodes=[HEAD, pair, pair, SMALL, SMALL])
    assert offer.gpus == 6
    assert offer.slots(Request(gpus=2)) == 2
    assert offer.slots(Request(gpus=0.5)) == 12
    assert offer.slots(Request()) == 48 + 48 + 4 + 4


def replace_gpus(node: dict[str, float], gpus: int) -> dict[str, float]:
    return {**node, "GPU": float(gpus)}


GROWING = Offer(
    nodes=[HEAD],
    types=[
        NodeType(name="spot", resources=SMALL, most=8),
        NodeType(name="large", resources=LARGE, most=2),
    ],
    grows=True,
)


def test_nodes_that_may_come_count() -> None:
    assert GROWING.slots(Request(gpus=1)) == 8 + 8
    assert GROWING.slots(Request(gpus=2)) == 4
    # Three nodes in all: the large ones first.
    assert replace(GROWING, most_workers=3).slots(Request(gpus=1)) == 9
    # Those that are there are among them.
    assert replace(GROWING, nodes=[HEAD, SMALL, LARGE]).slots(Request(gpus=1)) == 16


def test_processes_on_a_gpu_leave_room_for_each_other() -> None:
    gigabyte = 1 << 30
    whole = 16 * gigabyte
    assert usable_bytes(whole, 1) == whole
    for part in (0.5, 0.25):
        assert (usable_bytes(whole, part) + CONTEXT_BYTES) / part == whole
    assert part_that_fits(2 * gigabyte, whole, 0.1) == 0.25
    assert part_that_fits(3.2 * gigabyte, whole, 0.1) == 0.5  # 3.4 GB less a tenth
    assert part_that_fits(7 * gigabyte, whole, 0.1) is None
    assert part_that_fits(1, gigabyte, 0.1) is None  # four or two processes alone fill it


def test_a_trial_asks_for_one_gpu_where_there_are_any() -> None:
    assert request_of(None, None, Offer(nodes=[LAPTOP])) == Request()
    assert request_of(None, None, Offer(nodes=[LAPTOP, SMALL])) == Request(gpus=1)
    assert request_of(None, None, GROWING) == Request(gpus=1)
    assert request_of(0, None, GROWING) == Request()
    named = request_of(None, "A100", Offer(nodes=[OTHER]))
    assert named == Request(gpus=1, accelerator="A100")


def test_what_can_never_be_placed_is_refused_with_what_there_is() -> None:
    offer = Offer(nodes=[HEAD, LARGE, LARGE, SMALL])
    with pytest.raises(
        ValueError,
        match=r"none can ever hold 8 GPUs and 8 CPUs: the cluster has 1 x \[0 GPUs, 0 CPUs\], "
        r"2 x \[4 GPUs A10G, 48 CPUs\], 1 x \[1 GPUs A10G, 4 CPUs\]$",
    ):
        request_of(8, None, offer)
    with pytest.raises(ValueError, match=r"2 GPUs \(A100\) .*may start 8 x .*\(spot\); it may"):
        request_of(2, "A100", GROWING)
    with pytest.raises(ValueError, match="hold 1 CPU: the cluster has 1 x"):
        request_of(None, None, Offer(nodes=[HEAD]))
    # CPUs, because no GPU is there yet, would be a table nobody wanted.
    with pytest.raises(ValueError, match="--gpus-per-trial must be given while a cluster has no"):
        request_of(None, None, Offer(nodes=[HEAD], grows=True))
    assert request_of(0, None, Offer(nodes=[HEAD], grows=True)) == Request()
    assert request_of(None, None, Offer(nodes=[HEAD, LAPTOP], grows=True)) == Request()
    # An autoscaler whose types nobody knows here may yet start such a node.
    assert request_of(8, None, Offer(nodes=[HEAD], grows=True)).gpus == 8
