"""Sweeps on up to 1,000 nodes x 8 GPUs, simulated from what the driver was measured to spend.

    python tests/bench/bench_scale.py              # tables from the numbers kept in this file
    python tests/bench/bench_scale.py --measure    # measures this machine's first, some minutes

Says where the driver becomes the limit and what to set. No cluster of this size was used: the
driver's costs are measured with thousands of trials that stand still (`overheads.py`), everything
else is an assumption, printed with the tables. `simulation.py` has the model, `test_simulation.py`
checks it.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import replace

from tests.bench.simulation import Cluster, Outcome, Overheads, knee, simulate

MEASURED = "2026-11-28, two shared cores of a Xeon, Python 3.11.7, Ray 2.60.0"
OVERHEADS = Overheads(
    step=0.0004,
    per_live=1.0e-6,
    per_trial=0.25e-6,
    start_and_end=0.012,
    snapshot=0.0001,
    reuse=0.85,
    fresh=7.0,
)
"""`reuse` and `fresh` are those of trials that import torch and transformers."""
SAVED_BYTES = 15_000
"""Of Tune's state for each trial ever handed out, written in each snapshot."""
NODES = (1, 10, 100, 1000)
MINUTES = (1, 10, 60)
EPOCHS = 10
SPREAD = 0.3
"""Standard deviation of the logarithm of how long a trial trains."""
DAY = 86400.0
SUGGESTIONS = {"TPE, in a journal": 0.05, "GP": 0.9}
"""Seconds in the driver."""
STORE_BYTES = 306e6
"""Of the packaged drawings' stores with two encoders; the paper's data sets have gigabytes."""
RECEIVER = 2.0
"""Seconds until a node's receiver is up, asked one node after another."""
LINK = 0.6e9
"""Bytes a second that the driver sends: half of a 10 Gbit/s link."""

ASSUMED = f"""\
measured: {MEASURED}. Assumed, and not measured on any cluster:
- a trial trains 1, 10 or 60 minutes in the median, log-normal with sigma {SPREAD}, in {EPOCHS} epochs; each
  ends in a report, at which the GPU waits until the driver has heard it
- a worker is ready {OVERHEADS.reuse} s after a trial was handed to it, a new one {OVERHEADS.fresh:g} s (measured with torch on
  two cores; on each node at the same time, however many start)
- Ray's control process, network and the shared folder keep up with any number of nodes
- nodes are there at first; where not, they boot in 2 to 5 minutes, as many at a time as are up, and
  are launched for trials that have no place
- a lost node is noticed after 30 s, its trials go on from the last epoch, it is replaced
"""


def settings(slots: int) -> Iterator[tuple[str, int, float | None, Overheads]]:
    """Names of settings, trials pending at most, seconds between snapshots, overheads."""
    wide = replace(OVERHEADS)
    yield "one pending trial (Ray's default for us)", 1, None, wide
    yield "as many pending as places", slots, None, wide
    rare = replace(wide, snapshot=0.0)
    yield "and hourly snapshots", slots, None, rare
    yield "and no search through all trials", slots, None, replace(rare, per_trial=0.0)


def lengths(count: int, minutes: float) -> list[float]:
    """Seconds of trials."""
    draw = random.Random(0)
    return [draw.lognormvariate(math.log(60 * minutes), SPREAD) for _ in range(count)]


def sized(nodes: int) -> int:
    """How many trials are simulated for each place."""
    return 12 if nodes <= 10 else 6 if nodes <= 100 else 4


def shown(outcome: Outcome) -> str:
    return (
        f"{100 * outcome.utilisation:6.1f} {100 * outcome.driver:7.1f} "
        f"{outcome.throughput:8.2f} {outcome.stall:8.2f}"
    )


def sizes() -> None:
    """A line for each number of nodes, length and setting."""
    print("GPUs busy, driver busy (%), trials a second, seconds that a report waits:")
    for minutes in MINUTES:
        for nodes in NODES:
            slots = 8 * nodes
            seconds = lengths(sized(nodes) * slots, minutes)
            for name, pending, period, costs in settings(slots):
                cluster = Cluster(nodes=nodes, pending=pending, snapshot_period=period)
                found = simulate(seconds, cluster, costs, epochs=EPOCHS)
                print(f"{minutes:3} min {nodes:5} nodes  {shown(found)}  {name}", flush=True)


def knees() -> None:
    """Where the driver is busy for 80 % of the time, and what moves that."""
    costs = replace(OVERHEADS, snapshot=0.0, per_trial=0.0)
    print("\nGPUs at which the driver is busy for 80 % of the time (all settings made):")
    for epochs in (1, 10, 50):
        found = ", ".join(
            f"{knee(costs, seconds=60 * minutes, epochs=epochs)} at {minutes} min"
            for minutes in MINUTES
        )
        print(f"  {epochs:2} reports a trial: {found}")
    base = knee(costs, seconds=600, epochs=EPOCHS)
    print(f"what moves it most, of 10 minutes and {EPOCHS} reports ({base}):")
    for name in ("start_and_end", "step", "per_live"):
        value = getattr(costs, name)
        low, high = (
            knee(replace(costs, **{name: value * factor}), seconds=600, epochs=EPOCHS)
            for factor in (0.5, 2)
        )
        print(f"  {name:14} halved {low}, doubled {high}")
    low, high = (knee(costs, seconds=600 * f, epochs=EPOCHS) for f in (0.5, 2))
    print(f"  length         halved {low}, doubled {high}")
    for scanned in (10_000, 80_000):
        slow = replace(costs, step=costs.step + OVERHEADS.per_trial * scanned)
        print(f"  a search through {scanned} trials: {knee(slow, seconds=600, epochs=EPOCHS)}")
    for name, suggestion in SUGGESTIONS.items():
        found = knee(replace(costs, suggestion=suggestion), seconds=600, epochs=EPOCHS)
        print(f"  each suggested by {name}: {found}")


def faults() -> None:
    """Lost nodes, and nodes that have to come first."""
    print("\n100 nodes, trials of 60 minutes, with as many pending as places:")
    seconds = lengths(6 * 800, 60)
    costs = replace(OVERHEADS, snapshot=0.0, per_trial=0.0)
    for name, mtbf in (("none lost", math.inf), ("each lost once a week", 7 * DAY),
                       ("each lost once a day", DAY), ("each lost every 4 hours", DAY / 6)):
        for auto, pending in ((False, 800), (True, 800), (True, 1)):
            cluster = Cluster(nodes=100, pending=pending, mtbf=mtbf, autoscaled=auto)
            found = simulate(seconds, cluster, costs, epochs=EPOCHS)
            how = f"autoscaled, {pending} pending" if auto else "there at first"
            print(f"  {name:24} {how:24} {shown(found)}  done after {found.makespan / 3600:.1f} h, "
                  f"{found.redone / 3600:.0f} GPU-hours again")


def copies() -> None:
    """What `copy_to_nodes` takes, one node after another."""
    print("\nstores of 306 MB copied from the driver to nodes, one after another:")
    for nodes in NODES[1:]:
        sent, asked = nodes * STORE_BYTES / LINK, nodes * RECEIVER
        print(f"  {nodes:5} nodes: {(sent + asked) / 60:.0f} min; shared cache {asked / 60:.0f} min")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the overheads first")
    if parser.parse_args().measure:
        raise NotImplementedError
    print(ASSUMED)
    sizes()
    knees()
    faults()
    copies()
    return 0


if __name__ == "__main__":
    sys.exit(main())
