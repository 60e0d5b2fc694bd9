"""Copies of stores on all nodes of a Ray cluster, so that trials find them wherever they run.

Nothing is copied where the cache folder is shared, or where a good copy is there. Loads no torch:
a node answers as soon as a process is up.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mi2p.data.cache import expanded, open_store
from mi2p.files import whole

PIECE_BYTES = 64 << 20

Identity = tuple[int, int, int]
"""Of a file: inode, bytes, and time of its last change in nanoseconds."""


def copy_to_nodes(names: Iterable[str], cache: Path) -> None:
    """Copy these files of the driver's cache folder into that of each other node that lacks them.

    All nodes are asked and served together; each piece goes through the object store, from where
    nodes hand it on. A node that fails meanwhile is left out with a warning: trials on it make
    what they lack.
    """
    paths = [expanded(cache) / name for name in dict.fromkeys(names)]
    here = ray.get_runtime_context().get_node_id()
    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    receivers = {node: _receiver_on(node, cache) for node in others}
    known = {path.name: _identity(path) for path in paths}
    wanted = _ask(receivers, lambda receiver: receiver.wants.remote(known))
    for path in paths:
        wanting = {n: receivers[n] for n, names in wanted.items() if path.name in names}
        if wanting:
            _send(path, wanting)


def _receiver_on(node: str, cache: Path) -> Any:
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    # Without CPUs of its own it waits for no trial.
    options = ray.remote(_Receiver).options(num_cpus=0, scheduling_strategy=strategy)
    return options.remote(str(cache))


def _identity(path: Path) -> Identity:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _send(path: Path, receivers: Mapping[str, Any]) -> None:
    left = dict(receivers)

    def tell(what: str, *given: Any) -> None:
        answers = _ask(left, lambda receiver: getattr(receiver, what).remote(*given))
        for node in left.keys() - answers.keys():
            del left[node]

    tell("begin", path.name)
    with path.open("rb") as file:
        while left and (piece := file.read(PIECE_BYTES)):
            tell("write", ray.put(piece))
    tell("finish")


def _ask(receivers: Mapping[str, Any], call: Callable[[Any], Any]) -> dict[str, Any]:
    """What each node answers; one that fails does not."""
    asked = {node: call(receiver) for node, receiver in receivers.items()}
    found = {}
    for node, reference in asked.items():
        try:
            found[node] = ray.get(reference)
        except ray.exceptions.RayError as error:
            warnings.warn(f"stores were not copied to node {node}: {error}", stacklevel=2)
    return found


class _Receiver:
    """Writes copies of stores on the node it runs on, each whole or not at all."""

    def __init__(self, cache: str) -> None:
        self.folder = expanded(Path(cache))
        self.writing = ExitStack()

    def wants(self, known: Mapping[str, Identity]) -> list[str]:
        """Which of these files are needed here: not where the folder is shared, nor good ones."""
        return [name for name, identity in known.items() if self._lacks(name, identity)]

    def _lacks(self, name: str, identity: Identity) -> bool:
        path = self.folder / name
        # The driver has just verified its own.
        if path.exists() and _identity(path) == tuple(identity):
            return False
        return open_store(path, verify=True) is None

    def begin(self, name: str) -> None:
        # What was not finished, for a write that failed, must not get its name now.
        with suppress(ConnectionAbortedError):
            self.writing.__exit__(ConnectionAbortedError, ConnectionAbortedError(name), None)
        self.writing = ExitStack()
        partial = self.writing.enter_context(whole(self.folder / name))
        self.file = self.writing.enter_context(partial.open("wb"))

    def write(self, piece: bytes) -> None:
        self.file.write(piece)

    def finish(self) -> None:
        self.writing.close()  # closes the file, then gives it its name
