"""What a trial asks of a cluster, what the cluster has, and how many trials fit on it.

Plain values: `mi2p.cluster` asks Ray. A trial is one process with no GPU, a part of one or one,
or one process per GPU on one node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mi2p.legality import require

MOST_GPUS = 8
"""Of a trial: as many as one node has at most."""
ACCELERATOR = "accelerator_type:"
"""Begins the name of the resource by which Ray tells models of GPUs apart."""
TOUCH = 0.001
"""Of an accelerator's resource: enough to be placed where it is."""

CONTEXT_BYTES = 600 << 20
"""Of a GPU, that CUDA takes for each process beside what its tensors take. Assumed: it depends on
the GPU and the driver."""
SPARE = 0.1
"""Part of a memory that is left for what is not measured."""
PARTS = (0.25, 0.5)
"""Of a GPU, that are proposed, the smallest first."""

COORDINATOR_CPUS = 0.001
"""Of the process that waits for those of a trial on several GPUs."""
TOGETHER_CPUS = 0.98
"""Of each of these: a node whose CPUs are as many as its GPUs holds as many trials, and dozens of
the processes that wait."""

Resources = Mapping[str, float]
"""Amounts by Ray's names: CPU, GPU, memory, accelerator_type:A10G, ..."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one trial asks for."""

    gpus: float = 0.0
    accelerator: str | None = None
    """The model of GPU it must have, as Ray calls it: A10G, A100, ..."""

    def __post_init__(self) -> None:
        require(
            0 <= self.gpus <= 1 or self.gpus in range(2, MOST_GPUS + 1),
            f"GPUs of a trial are 0, a part of one up to 1, or a whole number up to {MOST_GPUS}",
            gpus=self.gpus,
        )
        require(
            self.accelerator is None or self.gpus > 0,
            "a model of GPU is asked for by trials with GPUs only",
            accelerator=self.accelerator,
            gpus=self.gpus,
        )

    @property
    def workers(self) -> int:
        """Processes that train together, each with a GPU when there are several."""
        return max(1, int(self.gpus))

    @property
    def process(self) -> dict[str, float]:
        """Resources of each of these processes."""
        gpu = min(self.gpus, 1.0)
        cpu = 1.0 if self.workers == 1 else TOGETHER_CPUS
        return {"CPU": cpu} | ({"GPU": gpu} if gpu else {}) | self._touched

    @property
    def _touched(self) -> dict[str, float]:
        return {f"{ACCELERATOR}{self.accelerator}": TOUCH} if self.accelerator else {}

    def fits(self, node: Resources) -> int:
        """How many such trials run on a node at a time."""
        if any(node.get(name, 0) <= 0 for name in self._touched):
            return 0
        by_cpu = int(node.get("CPU", 0)) // self.workers
        if not self.gpus:
            return by_cpu
        # No process has parts of two GPUs.
        on_one = int(1 / self.gpus + 1e-6) if self.gpus < 1 else 1
        by_gpu = int(node.get("GPU", 0)) * on_one // self.workers
        return min(by_cpu, by_gpu)


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """Nodes that an autoscaler may start."""

    name: str
    resources: Resources
    most: int


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a cluster has, and what it may come to have."""

    nodes: Sequence[Resources]
    """Of each node that is alive."""
    types: Sequence[NodeType] = ()
    most_workers: int | None = None
    """Nodes of all types together that an autoscaler may start; None: as many as its types say."""
    grows: bool = False
    """Whether an autoscaler adds nodes, perhaps of types that nobody here knows."""

    @property
    def unknown(self) -> bool:
        """Whether nodes may come of which nothing is known."""
        return self.grows and not self.types

    @property
    def gpus(self) -> float:
        """On all nodes, or on those that may come if there are none yet."""
        here = sum(node.get("GPU", 0) for node in self.nodes)
        return here or sum(kind.most * kind.resources.get("GPU", 0) for kind in self.types)

    def slots(self, request: Request) -> int:
        """Trials that run at a time once all nodes are there that trials can ask for; at least 1.

        The nodes of an autoscaler whose types are unknown count as they come.
        """
        here = sum(request.fits(node) for node in self.nodes)
        coming, left = 0, self._places_left()
        for fits, most in sorted(
            ((request.fits(kind.resources), kind.most) for kind in self.types), reverse=True
        ):
            nodes = min(most, left)
            coming, left = coming + fits * nodes, left - nodes
        # Those that are alive are among those of the types.
        return max(here, coming, 1)

    def _places_left(self) -> int:
        whole = sum(kind.most for kind in self.types)
        return whole if self.most_workers is None else min(whole, self.most_workers)

    def check(self, request: Request) -> None:
        """The trial can be placed now or when nodes have come; else `ValueError`.

        It says what the cluster has.
        """
        if any(request.fits(node) for node in self.nodes):
            return
        if any(request.fits(kind.resources) for kind in self.types if kind.most):
            return
        if self.unknown:
            return
        raise ValueError(
            f"a trial must fit on one node, but none can ever hold {_asked(request)}: "
            f"{self.told()}"
        )

    def told(self) -> str:
        """What there is, and what may come."""
        told = [f"the cluster has {_counted(self.nodes)}"]
        for kind in self.types:
            told.append(f"it may start {kind.most} x {_node(kind.resources)} ({kind.name})")
        return "; ".join(told)


def usable_bytes(whole: float, part: float) -> float:
    """What a process may use for its tensors that has a part of a GPU of `whole` bytes, so that
    as many as fit beside it have theirs."""
    return whole * part - CONTEXT_BYTES if part < 1 else whole


def part_that_fits(peak: float, whole: float, spare: float) -> float | None:
    """The smallest of `PARTS` of a GPU of `whole` bytes in which `peak` bytes of tensors leave
    the part `spare` free; None: it takes more."""
    fitting = (part for part in PARTS if peak <= (1 - spare) * usable_bytes(whole, part))
    return next(fitting, None)


def request_of(gpus: float | None, accelerator: str | None, offer: Offer) -> Request:
    """What a trial asks of this cluster; `ValueError` if that can never be had.

    Without a number of GPUs it is one where the cluster has any, or if a model of them is named.
    """
    if gpus is None and not accelerator:
        alone = not any(Request().fits(node) for node in offer.nodes)
        if offer.unknown and alone:
            raise ValueError(
                "--gpus-per-trial must be given while a cluster has no node that runs trials and "
                f"nobody here can tell which will come: {offer.told()}"
            )
    if gpus is None:
        gpus = 1.0 if accelerator or offer.gpus else 0.0
    request = Request(gpus=gpus, accelerator=accelerator)
    offer.check(request)
    return request


def _asked(request: Request) -> str:
    gpus = f"{request.gpus:g} GPU{'s' * (request.gpus > 1)}"
    model = f" ({request.accelerator})" if request.accelerator else ""
    cpus = f"{request.workers} CPU{'s' * (request.workers > 1)}"
    return f"{gpus}{model} and {cpus}" if request.gpus else cpus


def _counted(nodes: Iterable[Resources]) -> str:
    kinds = Counter(map(_node, nodes))
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "no nodes"


def _node(resources: Resources) -> str:
    models = [n.removeprefix(ACCELERATOR) for n in resources if n.startswith(ACCELERATOR)]
    gpus = f"{resources.get('GPU', 0):g} GPUs" + (f" {' '.join(models)}" if models else "")
    return f"[{gpus}, {resources.get('CPU', 0):g} CPUs]"
