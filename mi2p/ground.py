"""What trials run on: a joined cluster, looked at once, and the stores that they read."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mi2p.cluster import in_job, is_private, joined, keep_coordinator_here, prepare_environment
from mi2p.files import write_whole
from mi2p.nodes import (
    SHARED,
    SKEW_SECONDS,
    Answer,
    Memory,
    alive,
    memory_of,
    offer,
    survey,
    wait_for_node,
)
from mi2p.options import SweepOptions
from mi2p.placement import Offer, Request, request_of
from mi2p.preparation import absolute_cache, prepare_stores
from mi2p.remote import Remote
from mi2p.spec import TrialSpec

if TYPE_CHECKING:
    from mi2p.trainable import Places

Folders = Mapping[str, tuple[Path, Path | None]]
"""Of each data set: its own, and that of weights."""

WAITING = 8
"""Trials that wait for a place."""
REFRESH_SECONDS = 10.0
"""After which a cluster is asked again what it has."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What trials run on, while the cluster is joined."""

    places: Mapping[str, Places]
    """Of each data set: where its trials find all they need."""
    request: Request = field(default_factory=Request)
    """What a trial asks for."""
    offer: Offer = field(default_factory=lambda: Offer(nodes=()))
    """What the cluster had when it was joined."""
    slots: int
    """How many trials run at a time when all nodes are there."""
    memory: Memory | None = None
    """Of each process of a trial; None if that is unknown."""
    join_seconds: float = 0.0
    """That it took to join the cluster, or to start one."""


class Room:
    """How many trials are handed out at a time, as nodes come and go."""

    def __init__(self, options: SweepOptions, ground: Ground) -> None:
        self.most, self.request, self.offer = options.max_concurrent, ground.request, ground.offer
        self._slots, self._asked = ground.slots, time.monotonic()

    def __call__(self) -> int:
        """As many as fit, or as the user wants.

        Where places are the limit a few more wait for one: a worker that is free when none waits
        is given up, and the next trial needs a new one.
        """
        if time.monotonic() > self._asked + REFRESH_SECONDS:
            now = replace(self.offer, nodes=alive())
            self._slots, self._asked = now.slots(self.request), time.monotonic()
        if self.offer.unknown:  # nodes come for those that wait
            return self.most or self._slots + WAITING
        if self.most or self.request.workers > 1:
            return min(self._slots, self.most or self._slots)
        return self._slots + min(self._slots, WAITING)


@contextmanager
def prepared(
    console: Console, options: SweepOptions, todo: Iterable[TrialSpec], folders: Folders
) -> Iterator[Ground]:
    """Join the cluster, see that it can run trials, and make the stores that those of `todo` read.

    `ValueError` and `RuntimeError` say what keeps it from running them.
    """
    prepare_environment()  # before anything imports Ray
    results = options.results.absolute()
    if in_job() and not options.results.is_absolute():
        raise ValueError(
            "--results must be an absolute path in a submitted job, whose working folder is "
            f"deleted afterwards, but got {options.results}"
        )
    start = time.monotonic()
    with joined(options.address):
        seconds = time.monotonic() - start
        offered = Offer(nodes=alive()) if is_private(options.address) else offer()
        request = request_of(options.gpus_per_trial, options.accelerator, offered)
        if request.workers > 1:
            keep_coordinator_here()
        identity = identity_of(results)
        if options.remote is not None:
            Remote.open(options.remote).bucket.put(f"ids/{identity}", b"")
        answers = look_around(console, options, request, offered, identity)
        slots = offered.slots(request)
        yield Ground(
            places=_places(console, options, todo, folders, request, identity),
            request=request,
            offer=offered,
            slots=min(slots, options.max_concurrent or slots),
            memory=memory_of(request, offered.nodes, answers),
            join_seconds=seconds,
        )


def identity_of(results: Path) -> str:
    """A results folder's own name, by which a node tells whether it sees that folder."""
    path = results / ".id"
    if not path.exists():
        own = write_whole(results / f".id-{uuid.uuid4().hex}", f"{uuid.uuid4().hex}\n")
        # Of two that begin at once one gives the name, whole.
        with suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
    return path.read_text(encoding="utf-8").strip()


def look_around(
    console: Console, options: SweepOptions, request: Request, offered: Offer, identity: str
) -> list[Answer]:
    """Ask every node what trials on it would find; `ValueError` says what keeps them from running.

    A machine alone has nothing to be asked but for its GPUs.
    """
    if len(offered.nodes) < 2 and not request.gpus:
        return []
    if request.gpus and not any(request.fits(node) for node in offered.nodes):
        with console.status("waiting for a node with GPUs"):
            wait_for_node(request)
    answers = survey(request, place_of(options), identity)
    check_answers(options, answers)
    skew = max((answer.skew for answer in answers), default=0.0)
    if skew > SKEW_SECONDS:
        console.print(
            f"note: clocks of the cluster differ by {skew:.0f} s; nothing but the times of curves "
            "depends on them",
            soft_wrap=True,
        )
    return answers


def place_of(options: SweepOptions) -> str:
    """What all nodes must see: the bucket, or else the results folder."""
    return options.remote or str(options.results.absolute())


def check_answers(options: SweepOptions, answers: Sequence[Answer]) -> None:
    """Nodes share the results folder, have one version of what computes, and the GPUs they offer.

    `ValueError` names those that do not.
    """
    apart = [answer.host for answer in answers if not answer.shares]
    if apart:
        raise ValueError(f"{SHARED}; {place_of(options)} is another one on {', '.join(apart)}")
    for name in ("python", "torch"):
        found = defaultdict(list)
        for answer in answers:
            found[getattr(answer, name)].append(answer.host)
        if len(found) > 1:
            told = "; ".join(f"{which} on {', '.join(hosts)}" for which, hosts in found.items())
            raise ValueError(f"all nodes must have one version of {name}, but found {told}")
    blind = [a.host for a in answers if a.offers_gpus and not a.gpus]
    if blind and options.device == "auto":
        raise ValueError(
            f"Ray offers GPUs on {', '.join(blind)}, but torch sees none there: a build of torch "
            "without CUDA, or a driver that does not run. --device cpu trains on CPUs all the same"
        )


def _places(
    console: Console,
    options: SweepOptions,
    todo: Iterable[TrialSpec],
    folders: Folders,
    request: Request,
    identity: str,
) -> dict[str, Places]:
    """Make the stores of each data set; where its trials find all they need."""
    from mi2p.copies import copy_to_nodes
    from mi2p.spread import make_store
    from mi2p.trainable import Places

    results = options.results.absolute()
    own = Path(tempfile.gettempdir()) / f"mi2p-{identity}"
    models: dict[str, Any] = {name: defaultdict(list) for name in folders}
    for spec in todo:
        models[spec.data.name][spec.data].append(spec.model)
    found = {}
    for name, (data, weights) in folders.items():
        places = Places(
            results=str(results if options.remote is None else own),
            remote=options.remote,
            identity=identity,
            cache=str(absolute_cache(options.cache)),
            data=str(data),
            weights=str(weights) if weights else None,
            gpu=request.gpus > 0 and options.device == "auto",
            gpus=request.gpus,
            accelerator=request.accelerator,
            checkpoint_activations=options.checkpoint_activations,
            keep_weights=options.keep_weights,
        )
        runtime = places.runtime()
        prepare_stores(console, models[name], runtime, results=results, make=make_store)
        found[name] = replace(places, prepared=tuple(runtime.prepared.items()))
    if options.remote is not None:
        Remote.open(options.remote).push_summaries(results)
    stores = (store for places in found.values() for _, store in places.prepared)
    copy_to_nodes(stores, absolute_cache(options.cache))
    return found


def tell_price(
    console: Console, ground: Ground, specs: Sequence[TrialSpec], *, search: bool = False
) -> None:
    """Print what these trials would cost, after a short probe of each shape on the cluster."""
    from mi2p.pricing import bytes_of_stores, price, print_price, shapes
    from mi2p.spread import probe_all

    if ground.request.workers > 1:
        console.print(
            "no price: trials on several GPUs are not probed. --gpus-per-trial 1 prices the same "
            "work on one",
            soft_wrap=True,
        )
        return
    with console.status("probing"):
        probes, startup = probe_all(shapes(specs), ground)
    found = price(
        specs,
        probes,
        slots=ground.slots,
        gpus=ground.request.gpus,
        startup=ground.join_seconds + startup,
        store_bytes=bytes_of_stores(ground.places.values()),
    )
    whole = ground.memory.whole if ground.memory else 0.0
    print_price(console, found, search=search, gpu=whole)
