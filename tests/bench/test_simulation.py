from __future__ import annotations

import math
import random

import pytest

from mi2p.pricing import makespan
from tests.bench.simulation import Cluster, Overheads, driver_seconds, knee, simulate

FREE = Overheads()


def lengths(count: int, seed: int = 0) -> list[float]:
    draw = random.Random(seed)
    return [draw.lognormvariate(math.log(600), 0.3) for _ in range(count)]


@pytest.mark.parametrize("pending", [1, 3, 100])
@pytest.mark.parametrize(("nodes", "gpus"), [(1, 1), (1, 8), (5, 4)])
def test_without_overheads_it_is_a_list_schedule(nodes: int, gpus: int, pending: int) -> None:
    cluster = Cluster(nodes=nodes, gpus=gpus, pending=pending)
    slots = nodes * gpus
    equal = simulate([60.0] * 101, cluster, FREE)
    assert equal.makespan == pytest.approx(math.ceil(101 / slots) * 60)
    seconds = lengths(101)
    for epochs in (1, 7):
        found = simulate(seconds, cluster, FREE, epochs=epochs)
        assert found.makespan == pytest.approx(makespan(seconds, slots))
        assert found.utilisation == pytest.approx(1)


def test_one_place_by_hand() -> None:
    # Handed out 1, new worker 10, ready heard 2; twice 50 trained and 2 until it is heard; its end
    # 2. The second was handed out beside the first turn that followed, so the worker is kept for
    # it: 5 to reset, then as before.
    costs = Overheads(start_and_end=1, fresh=10, reuse=5, step=2)
    one = simulate([100.0], Cluster(nodes=1, gpus=1), costs, epochs=2)
    assert one.makespan == 1 + 10 + 2 + 2 * (50 + 2)  # it ends as the driver begins to hear that
    assert one.workers == 1
    two = simulate([100.0, 100.0], Cluster(nodes=1, gpus=1), costs, epochs=2)
    assert two.makespan == one.makespan + 2 + 5 + 2 + 2 * (50 + 2)
    assert two.workers == 1


def test_a_report_waits_for_the_driver() -> None:
    # Four trials are ready together; the driver hears one after another, 3 seconds each. The
    # first trains from 3 to 103. From then there are four reports and four ends to hear, without
    # a pause, and a trial is over when the driver begins to hear of its end.
    costs = Overheads(step=3)
    found = simulate([100.0] * 4, Cluster(nodes=1, gpus=4, pending=4), costs)
    assert found.makespan == 103 + 7 * 3


@pytest.mark.parametrize("epochs", [1, 4])
def test_no_more_trials_end_than_the_driver_can_hear(epochs: int) -> None:
    costs = Overheads(step=0.01, start_and_end=0.02)
    each = 0.02 + (epochs + 2) * 0.01
    found = simulate([1.0] * 5000, Cluster(nodes=10, pending=50), costs, epochs=epochs)
    assert found.throughput <= 1 / each
    assert found.throughput == pytest.approx(1 / each, rel=0.05)
    assert found.driver == pytest.approx(1, abs=0.01)


def test_a_driver_that_is_not_full_is_as_busy_as_trials_come() -> None:
    costs = Overheads(step=0.01, start_and_end=0.02, per_live=1e-5)
    found = simulate(lengths(2000), Cluster(nodes=25, pending=50), costs, epochs=10)
    each = 0.02 + 12 * (0.01 + 1e-5 * 200)
    assert driver_seconds(costs, epochs=10, live=200) == pytest.approx(each)
    assert found.driver == pytest.approx(200 / 600 * each, rel=0.1)
    assert found.utilisation > 0.97


def test_the_knee_is_where_the_driver_is_so_busy() -> None:
    costs = Overheads(step=1e-3, start_and_end=0.02, per_live=1e-6)
    slots = knee(costs, seconds=60, epochs=10)
    assert slots / 60 * driver_seconds(costs, epochs=10, live=slots) == pytest.approx(
        0.8, abs=0.01
    )
    seconds = [s / 10 for s in lengths(10 * slots)]
    found = simulate(seconds, Cluster(nodes=slots // 8, pending=slots), costs, epochs=10)
    assert found.driver == pytest.approx(0.8, abs=0.08)


def test_with_one_pending_trial_workers_are_lost() -> None:
    # Each start takes 7 s, and a trial that ends meanwhile takes its place: no more run than end
    # in about 7 s. With many pending, all places are filled.
    costs = Overheads(fresh=7, reuse=0.3)
    one, many = (simulate(lengths(4000), Cluster(nodes=100, pending=p), costs) for p in (1, 800))
    assert one.utilisation < 0.3
    assert many.utilisation > 0.95
    assert many.workers <= 1.1 * 800


def test_one_worker_runs_all_short_trials_as_it_did_in_ray() -> None:
    # Ray 2.60 on two cores, 4 places, 60 trials that do nothing, one pending: the only worker that
    # ever ran was up after 4.0 s; from its 10th trial on each took 0.194 s.
    costs = Overheads(start_and_end=0.013, step=0.0004, fresh=4.0, reuse=0.18)
    found = simulate([1e-4] * 60, Cluster(nodes=1, gpus=4), costs)
    assert found.makespan == pytest.approx(4.0 + 59 * 0.194, rel=0.05)


def test_snapshots_take_their_share() -> None:
    costs = Overheads(snapshot=0.01, step=1e-6)
    cluster = Cluster(nodes=50, pending=400)
    own = simulate(lengths(4000), cluster, costs, epochs=10)
    assert 0.02 < own.driver < 0.06  # Tune limits them to a twentieth
    rare = simulate(
        lengths(4000), Cluster(nodes=50, pending=400, snapshot_period=1e5), costs, epochs=10
    )
    assert rare.driver < 0.01


def test_a_lost_node_costs_its_epochs_and_no_trial() -> None:
    cluster = Cluster(nodes=10, pending=80, mtbf=3600.0)
    found = simulate(lengths(1000), cluster, FREE, epochs=10)
    undisturbed = simulate(lengths(1000), Cluster(nodes=10, pending=80), FREE, epochs=10)
    assert found.redone > 0
    assert found.makespan > undisturbed.makespan
    # Half an epoch of each of 8 trials, and the time in which the node is away, an hour.
    away = 30 + 210
    assert found.utilisation == pytest.approx(1 - (30 + 30) / 3600, abs=0.02)
    assert found.makespan < undisturbed.makespan * (1 + 3 * (away + 30) / 3600)


def test_nodes_come_for_as_many_trials_as_are_pending() -> None:
    costs = Overheads(fresh=7)
    few, many = (
        simulate(lengths(800), Cluster(nodes=20, pending=p, autoscaled=True), costs)
        for p in (1, 160)
    )
    # Ten doublings from five nodes are not needed: 5, 10, 20.
    assert many.makespan < 800 / 160 * 600 + 3 * 300 + 1500
    assert few.makespan > 1.3 * many.makespan
