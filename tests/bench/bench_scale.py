"""Sweeps on up to 1,000 nodes x 8 GPUs, simulated from what the driver was measured to spend.

    python -m tests.bench.bench_scale              # tables from the numbers kept in this file
    python -m tests.bench.bench_scale --measure    # measures this machine first, a few minutes

Says where the driver becomes the limit and what to set. No cluster of this size was used: the
driver's costs are measured beside thousands of trials that stand still (`overheads.py`), all else
is assumed, and printed with the tables. `simulation.py` is the model, `test_simulation.py` checks
it against cases worked out by hand.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from dataclasses import fields, replace

from tests.bench.simulation import Cluster, Outcome, Overheads, knee, simulate

MEASURED = "on 2026-11-28, 2 shared cores, Python 3.11.7, Ray 2.60.0"
OVERHEADS = Overheads(
    step=0.00137,
    per_live=0.533e-6,
    per_trial=0.454e-6,
    start_and_end=0.00767,
    snapshot=0.0000665,
    reuse=0.85,
    fresh=7.0,
)
"""One run of --measure, on a machine that others used. Runs before it had `step` from 0.0002 to
0.0005, `per_live` to 0.9e-6, `per_trial` from 0.2e-6, `start_and_end` to 0.013 and `snapshot`
from 0.00005. `reuse` and `fresh` are of trials that import torch and transformers."""
NODES = (1, 10, 100, 1000)
MINUTES = (1, 10, 60)
EPOCHS = 10
SPREAD = 0.3
"""Standard deviation of the logarithm of how long a trial trains."""
PENDING = 200
HOUR, DAY = 3600.0, 86400.0
SUGGESTIONS = {"TPE, in a journal": 0.05, "a Gaussian process": 0.9}
"""Seconds of the driver for each trial of a search."""
STORES = 306e6
"""Bytes of the stores of the packaged drawings; the paper's data sets have gigabytes."""
RECEIVER = 2.0
"""Seconds to start what receives them on a node."""
LINK = 0.6e9
"""Bytes a second that the driver sends."""

ASSUMED = f"""\
Assumed, and measured on no cluster:
- a trial trains for 1, 10 or 60 minutes in the median, log-normal with sigma {SPREAD}, and has
  {EPOCHS} reports; at each its GPU waits until the driver has heard it
- a worker is ready {OVERHEADS.reuse} s after a trial was handed to it, a new one
  {OVERHEADS.fresh:g} s (torch and transformers on two cores), however many start at a time
- Ray's control process, the network and the shared folder keep up with any number of nodes
- nodes are there at first; if autoscaled, they come for trials that wait, 2 to 5 minutes after
  they were asked for, as many at a time as are up
- a lost node is noticed after 30 s and replaced; its trials go on from their last epoch
- what receives stores on a node starts in {RECEIVER:g} s, and the driver sends {LINK / 1e9:g} GB/s
"""

ADVICE = """
What a sweep sets by itself (`mi2p.running`, `mi2p.cluster`, `mi2p.feed`), the last column:
- TUNE_MAX_PENDING_TRIALS_PG, as many as there are places, 256 at most. Ray lets a search algorithm
  such as ours have one pending trial. A worker that is free takes it from one that starts, which
  is then given up: no more trials run than end while a worker starts, and nodes are launched one
  after another.
- TUNE_GLOBAL_CHECKPOINT_S=3600. Nobody reads Tune's state: 15 kB for each trial so far, written
  anew in each snapshot, every 10 seconds or in a twentieth of the driver's time.
- a scheduler that does not look at all trials there ever were in each step
What is left to set:
- Beyond the knee, more drivers: sweeps of several tables may share --results, where a lock of
  each trial keeps two from training the same. Two searches may not.
  Each driver then looks after fewer trials, which is what takes most of its time.
- A search has at most rows x --in-flight trials running: GPUs / rows in flight fill a cluster.
- --cache on a shared folder, or stores that are on the nodes' disks before they join.
"""


def settings() -> Iterator[tuple[str, int, float | None, Overheads]]:
    """Name, trials pending at most, seconds between snapshots, and overheads, of each."""
    yield "1 pending", 1, None, OVERHEADS
    yield f"{PENDING} pending", PENDING, None, OVERHEADS
    yield "and hourly snapshots", PENDING, HOUR, OVERHEADS
    yield "and no look at all trials", PENDING, HOUR, best()


def best() -> Overheads:
    """The overheads of a driver that does not go through all trials in each step."""
    return replace(OVERHEADS, per_trial=0.0)


def lengths(nodes: int, minutes: float) -> list[float]:
    """Seconds of the trials of a sweep, a few for each GPU."""
    draw = random.Random(0)
    count = (12 if nodes <= 10 else 6 if nodes <= 100 else 4) * 8 * nodes
    return [draw.lognormvariate(math.log(60 * minutes), SPREAD) for _ in range(count)]


def shown(found: Outcome) -> str:
    return (
        f"{100 * found.utilisation:10.1f} {100 * found.driver:10.1f} {found.throughput:10.2f} "
        f"{found.stall:10.2f}"
    )


def sizes() -> None:
    """What each setting makes of each number of nodes and length."""
    print(f"{'':18} {'GPUs, %':>10} {'driver, %':>10} {'trials/s':>10} {'report, s':>10}")
    for minutes in MINUTES:
        for nodes in NODES:
            seconds = lengths(nodes, minutes)
            for name, pending, period, costs in settings():
                cluster = Cluster(nodes=nodes, pending=pending, snapshot_period=period)
                found = simulate(seconds, cluster, costs, epochs=EPOCHS)
                print(f"{minutes:3} min {nodes:5} nodes {shown(found)}  {name}", flush=True)


def pendings() -> None:
    """How many trials have to be pending."""
    print("\n1,000 nodes, trials of 60 minutes, by pending trials:")
    seconds = lengths(1000, 60)
    for pending in (1, 4, 16, 64, 200, 800, 8000):
        cluster = Cluster(nodes=1000, pending=pending, snapshot_period=HOUR)
        found = simulate(seconds, cluster, best(), epochs=EPOCHS)
        print(f"  {pending:16} {shown(found)}  {found.workers} workers started", flush=True)


def knees() -> None:
    """Where the driver is busy for 80 % of the time, and what moves that most."""
    print("\nGPUs at which the driver is busy for 80 % of the time, with all that is set:")
    for epochs in (1, EPOCHS, 50):
        found = [knee(best(), seconds=60 * minutes, epochs=epochs) for minutes in MINUTES]
        each = ", ".join(f"{n} at {m} min" for n, m in zip(found, MINUTES, strict=True))
        drivers = ", ".join(str(math.ceil(8000 / n)) for n in found)
        print(f"  {epochs:2} reports: {each}; drivers for 8,000 GPUs: {drivers}")
    print(f"what moves it, at 10 minutes and {EPOCHS} reports:")
    for name in ("start_and_end", "step", "per_live"):
        changed = [
            knee(replace(best(), **{name: getattr(best(), name) * by}), seconds=600, epochs=EPOCHS)
            for by in (0.5, 1, 2)
        ]
        print(f"  {name:30} halved {changed[0]}, as it is {changed[1]}, doubled {changed[2]}")
    half, double = (knee(best(), seconds=600 * by, epochs=EPOCHS) for by in (0.5, 2))
    print(f"  {'length of a trial':30} halved {half}, doubled {double}")
    for trials in (10_000, 80_000):
        slow = replace(best(), step=best().step + OVERHEADS.per_trial * trials)
        print(f"  a look at {trials:6} trials a step  {knee(slow, seconds=600, epochs=EPOCHS)}")
    for name, suggestion in SUGGESTIONS.items():
        searched = replace(best(), suggestion=suggestion)
        print(f"  searched by {name:18} {knee(searched, seconds=600, epochs=EPOCHS)}")


def faults() -> None:
    """Lost nodes, and nodes that have to come first."""
    print("\n100 nodes, trials of 60 minutes:")
    seconds = lengths(100, 60)
    for name, mtbf in (("never", math.inf), ("once a day", DAY), ("every 4 hours", 4 * HOUR)):
        for auto, pending in ((False, PENDING), (True, PENDING), (True, 1)):
            cluster = Cluster(
                nodes=100, pending=pending, snapshot_period=HOUR, mtbf=mtbf, autoscaled=auto
            )
            found = simulate(seconds, cluster, best(), epochs=EPOCHS)
            how = f"autoscaled, {pending} pending" if auto else f"fixed, {pending} pending"
            hours, again = found.makespan / HOUR, found.redone / HOUR
            told = f"done after {hours:4.1f} h, {again:.0f} GPU-hours again"
            print(f"  each lost {name:14} {how:24} {told}", flush=True)


def copies() -> None:
    """What `mi2p.copies.copy_to_nodes` takes at most: the driver sends, and no node hands on."""
    print(f"\n{STORES / 1e6:.0f} MB of stores copied to each node, {LINK / 1e9:g} GB/s in all:")
    for nodes in NODES[1:]:
        asked, sent = RECEIVER / 60, nodes * STORES / LINK / 60
        print(f"  {nodes:5} nodes {asked + sent:6.1f} min, with a shared cache {asked:6.1f} min")


def main() -> None:
    global OVERHEADS
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the driver first")
    when = MEASURED
    if parser.parse_args().measure:
        from tests.bench.overheads import measured

        OVERHEADS, when = measured(OVERHEADS), "just now"
    print(f"Seconds, measured {when}; reuse and fresh were measured before:")
    for field in fields(OVERHEADS):
        print(f"  {field.name:14} {getattr(OVERHEADS, field.name):.3g}")
    print(ASSUMED)
    sizes()
    pendings()
    knees()
    faults()
    copies()
    print(ADVICE)


if __name__ == "__main__":
    main()
