"""A sweep on a cluster of any size, event by event, from what its parts take.

The driver is one server: it hands out trials, and takes messages of workers one at a time (a
worker is ready, a trial reports an epoch, a trial ends, a worker was lost). A trial that reports
waits until the driver has heard it, as `tune.report` does. Workers go from trial to trial as
Tune's do: one whose trial ends is kept while fewer are kept than trials are pending, and takes
the trial of a worker that is still starting, which is then given up; others are stopped, and a
new one must start in their place.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Overheads:
    """Seconds. Those of the driver keep it from everything else."""

    step: float = 0.0
    """Of the driver, for each message."""
    per_live: float = 0.0
    """More for each trial that runs."""
    per_trial: float = 0.0
    """More for each trial that was ever handed out."""
    start_and_end: float = 0.0
    """Of the driver, for each trial, beside its messages."""
    suggestion: float = 0.0
    """Of the driver, for each trial of a search."""
    snapshot: float = 0.0
    """Of the driver for each trial that was handed out, each time Tune writes its state."""
    reuse: float = 0.0
    """From handing a trial to a worker that is kept until it is ready."""
    fresh: float = 0.0
    """The same of a new worker."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Nodes, all there at first or launched for trials that wait."""

    nodes: int
    gpus: int = 8
    """Of each node: places for a trial."""
    pending: int = 1
    """Trials that are handed out before they have a worker, at most."""
    snapshot_period: float | None = None
    """Seconds; None is Tune's own: 10, or 19 times what a snapshot takes if that is more."""
    autoscaled: bool = False
    """Whether nodes are launched: for trials that wait, up to as many as are up, but at least 5
    at a time."""
    boot: tuple[float, float] = (120.0, 300.0)
    """Seconds that a node takes, also one that replaces a lost one."""
    mtbf: float = math.inf
    """Mean seconds until a node is lost."""
    detection: float = 30.0
    """Seconds until the driver hears of it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Shares and rates are of the time until the last trial got a worker: then places are left."""

    makespan: float
    utilisation: float
    """Seconds of training that count, over those that places of nodes were up."""
    driver: float
    """Part of the time that the driver was busy."""
    throughput: float
    """Trials that ended, a second."""
    stall: float
    """Mean seconds that a report waited."""
    workers: int
    """That were started."""
    redone: float
    """Seconds of training lost with nodes."""


@dataclass(eq=False)
class _Trial:
    epoch: float
    left: int
    """Epochs that are not reported."""
    worker: _Worker | None = None
    ends: float = 0.0
    """When the epoch that runs will be over."""


@dataclass(eq=False)
class _Node:
    free: int
    workers: set[_Worker] = field(default_factory=set)


@dataclass(eq=False)
class _Worker:
    node: _Node
    trial: _Trial | None = None
    running: bool = False
    gone: bool = False


def simulate(
    seconds: Sequence[float], cluster: Cluster, costs: Overheads, *, epochs: int = 1, seed: int = 0
) -> Outcome:
    """The sweep of trials that train so long each, in order, and report that many epochs."""
    return _Simulation(seconds, cluster, costs, epochs, seed).run()


def driver_seconds(costs: Overheads, *, epochs: int, live: int) -> float:
    """What a trial takes of the driver while so many run: it is ready, reports, and ends."""
    messages = epochs + 2
    each = costs.start_and_end + costs.suggestion
    return each + messages * (costs.step + costs.per_live * live)


def knee(costs: Overheads, *, seconds: float, epochs: int, most: float = 0.8) -> int:
    """Places for trials of so many seconds that keep the driver busy for that part of the time."""
    linear = costs.start_and_end + costs.suggestion + (epochs + 2) * costs.step
    square = (epochs + 2) * costs.per_live
    if not square:
        return int(most * seconds / linear)
    return int((math.sqrt(linear**2 + 4 * square * most * seconds) - linear) / (2 * square))


class _Simulation:
    def __init__(
        self,
        seconds: Sequence[float],
        cluster: Cluster,
        costs: Overheads,
        epochs: int,
        seed: int,
    ) -> None:
        self.cluster, self.costs, self.random = cluster, costs, random.Random(seed)
        self.todo = deque(_Trial(epoch=s / epochs, left=epochs) for s in seconds)
        self.count, self.handed, self.ended, self.live = len(self.todo), 0, 0, 0
        self.waiting: deque[_Trial] = deque()
        """Handed out, without a worker."""
        self.starting: dict[_Trial, None] = {}
        self.resetting = 0
        self.kept: deque[_Worker] = deque()
        self.up: set[_Node] = set()
        self.open: dict[_Node, None] = {}
        """Nodes with a free place."""
        self.launching = 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.number = 0
        self.messages: deque[tuple[float, Callable[[float], None]]] = deque()
        self.now = self.free_at = 0.0
        self.saved, self.period = 0.0, cluster.snapshot_period or 10.0
        self.busy = self.offered = self.trained = self.redone = self.stall = 0.0
        self.reports = self.workers = 0
        self.changed = 0.0
        self.outcome: Outcome | None = None

    def run(self) -> Outcome:
        if not self.cluster.autoscaled:
            for _ in range(self.cluster.nodes):
                self._node_up()
        self._turn()
        self._scale()
        while self.ended < self.count:
            self.now, _, event = heapq.heappop(self.events)
            event()
        assert self.outcome is not None
        return replace(self.outcome, makespan=self.now)

    def _at(self, time: float, event: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (time, self.number, event))

    def _tell(self, message: Callable[[float], None]) -> None:
        """The driver gets a message now; it is called with when the driver is done with it."""
        self.messages.append((self.now, message))
        self._turn()

    # The driver.

    def _turn(self) -> None:
        """What Tune does in a step, if the driver is free: hand out, place, hear one message."""
        if self.now < self.free_at:
            return
        costs, cost = self.costs, 0.0
        pending = len(self.waiting) + len(self.starting) + self.resetting
        while self.todo and pending < self.cluster.pending:
            self.waiting.append(self.todo.popleft())
            self.handed += 1
            pending += 1
            cost += costs.start_and_end + costs.suggestion
        self._place(self.now + cost)
        if not self.todo and not self.waiting and self.outcome is None:
            self.outcome = self._look()
        message = None
        if self.messages:
            _, message = self.messages.popleft()
            cost += costs.step + costs.per_live * self.live + costs.per_trial * self.handed
        if not cost and message is None:
            return
        if costs.snapshot and self.now - self.saved >= self.period:
            spent = costs.snapshot * self.handed
            cost += spent
            self.saved = self.now + cost
            if self.cluster.snapshot_period is None:
                self.period = max(10.0, 19 * spent)
        self.busy += cost
        self.free_at = self.now + cost
        if message is not None:
            message(self.free_at)
        self._at(self.free_at, self._turn)

    def _place(self, at: float) -> None:
        """Give trials to workers that are kept, and start new ones in free places."""
        while self.kept and (self.waiting or self.starting):
            worker = self.kept.popleft()
            if worker.gone:
                continue
            trial = self._pending()
            worker.trial, trial.worker = trial, worker
            self.resetting += 1
            self._at(at + self.costs.reuse, lambda w=worker: self._ready(w))  # type: ignore[misc]
        while self.waiting and self.open:
            node = next(iter(self.open))
            node.free -= 1
            if not node.free:
                del self.open[node]
            trial = self.waiting.popleft()
            worker = _Worker(node, trial)
            trial.worker = worker
            node.workers.add(worker)
            self.starting[trial] = None
            self.workers += 1
            self._at(at + self.costs.fresh, lambda w=worker: self._ready(w))  # type: ignore[misc]

    def _pending(self) -> _Trial:
        """A trial for a worker that is kept; the worker that starts for it is given up."""
        if self.waiting:
            return self.waiting.popleft()
        trial = next(iter(self.starting))
        del self.starting[trial]
        assert trial.worker is not None
        self._stop(trial.worker)
        return trial

    def _stop(self, worker: _Worker) -> None:
        worker.gone, worker.trial = True, None
        worker.node.workers.discard(worker)
        if worker.node in self.up:
            worker.node.free += 1
            self.open[worker.node] = None

    # Messages.

    def _ready(self, worker: _Worker) -> None:
        if not worker.gone:
            self._tell(lambda at: self._heard_ready(worker, at))

    def _heard_ready(self, worker: _Worker, at: float) -> None:
        trial = worker.trial
        if worker.gone or trial is None:
            return
        if trial in self.starting:
            del self.starting[trial]
        else:
            self.resetting -= 1
        trial.worker, worker.running = worker, True
        self.live += 1
        self._train(trial, at)

    def _train(self, trial: _Trial, at: float) -> None:
        worker = trial.worker
        trial.ends = at + trial.epoch
        self.trained += trial.epoch
        self._at(trial.ends, lambda: self._reported(trial, worker))

    def _reported(self, trial: _Trial, worker: _Worker | None) -> None:
        if trial.worker is worker and worker is not None and not worker.gone:
            sent = self.now
            self._tell(lambda at: self._heard_report(trial, worker, sent, at))

    def _heard_report(self, trial: _Trial, worker: _Worker, sent: float, at: float) -> None:
        if worker.gone:
            return
        self.stall += at - sent
        self.reports += 1
        trial.left -= 1
        if trial.left:
            self._train(trial, at)
        else:
            self._at(at, lambda: self._tell(lambda then: self._heard_end(trial, worker)))

    def _heard_end(self, trial: _Trial, worker: _Worker) -> None:
        if worker.gone:
            return
        self.live -= 1
        self.ended += 1
        worker.trial, worker.running, trial.worker = None, False, None
        pending = len(self.waiting) + len(self.starting) + self.resetting
        if len(self.kept) < max(1, pending):
            self.kept.append(worker)
        else:
            self._stop(worker)

    # Nodes.

    def _node_up(self) -> None:
        self._count()
        node = _Node(free=self.cluster.gpus)
        self.up.add(node)
        self.open[node] = None
        if self.cluster.mtbf < math.inf:
            lost = self.now + self.random.expovariate(1 / self.cluster.mtbf)
            self._at(lost, lambda: self._lost(node))

    def _launch(self) -> None:
        def came() -> None:
            self.launching -= 1
            self._node_up()
            self._turn()

        self.launching += 1
        self._at(self.now + self.random.uniform(*self.cluster.boot), came)

    def _scale(self) -> None:
        """Launch nodes for trials that wait, or in place of lost ones; every 5 seconds."""
        missing = self.cluster.nodes - len(self.up) - self.launching
        if self.cluster.autoscaled:
            wanted = -(-len(self.waiting) // self.cluster.gpus) - self.launching
            at_once = max(5, len(self.up)) - self.launching
            missing = min(missing, wanted, at_once)
        for _ in range(missing):
            self._launch()
        self._at(self.now + 5.0, self._scale)

    def _lost(self, node: _Node) -> None:
        self._count()
        self.up.discard(node)
        self.open.pop(node, None)
        for worker in node.workers:
            worker.gone = True
            trial = worker.trial
            if trial is None:
                continue
            if worker.running and trial.ends > self.now:
                self.trained -= trial.epoch
                self.redone += trial.epoch - (trial.ends - self.now)
            elif worker.running:  # its last report is lost with it
                self.trained -= trial.epoch
                self.redone += trial.epoch
            self._at(
                self.now + self.cluster.detection,
                lambda w=worker, t=trial: self._tell(lambda at: self._heard_lost(w, t)),  # type: ignore[misc]
            )

    def _heard_lost(self, worker: _Worker, trial: _Trial) -> None:
        if trial.worker is not worker:
            return
        if worker.running:
            self.live -= 1
        elif trial in self.starting:
            del self.starting[trial]
        else:
            self.resetting -= 1
        trial.worker = None
        if trial.left:
            self.waiting.append(trial)
        else:
            self.ended += 1

    # What is told.

    def _count(self) -> None:
        self.offered += (self.now - self.changed) * len(self.up) * self.cluster.gpus
        self.changed = self.now

    def _look(self) -> Outcome:
        """The outcome as of now."""
        self._count()
        trained = self.trained - sum(
            max(0.0, worker.trial.ends - self.now)
            for node in self.up
            for worker in node.workers
            if worker.trial is not None and worker.running
        )
        time = self.now or math.inf
        return Outcome(
            makespan=self.now,
            utilisation=trained / self.offered if self.offered else 0.0,
            driver=min(1.0, self.busy / time),
            throughput=self.ended / time,
            stall=self.stall / self.reports if self.reports else 0.0,
            workers=self.workers,
            redone=self.redone,
        )
