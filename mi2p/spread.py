"""Make stores with all machines of a Ray cluster, and probe trials there.

Ray Data hands the chunks of a recipe to one worker per CPU (or GPU) and brings them back in
order; the driver writes the store.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from numpy.typing import NDArray

from mi2p.data.cache import Chunk, Recipe, Stored, stored
from mi2p.data.images import DECODE_WORKERS
from mi2p.pricing import Probe
from mi2p.runtime import Runtime
from mi2p.spec import TrialSpec

if TYPE_CHECKING:
    from mi2p.ground import Ground

SPREAD_FROM = 1000
"""Examples from which it is worth starting workers, each of which imports torch for seconds."""
ENCODED = ("words", "maps")
"""Kinds of stores that a frozen encoder makes."""


def make_store(
    recipe: Recipe, runtime: Runtime, progress: Callable[[int], None] = lambda done: None
) -> Stored:
    """The store of `recipe` on the driver's machine.

    ValueError if the runtime leaves the device to each machine: features would be mixed.
    """
    if runtime.device == "auto":
        raise ValueError("the device must be cpu or cuda for all machines of a cluster, not auto")
    chunks = (lambda: spread_chunks(recipe, runtime)) if is_spread(recipe, runtime) else None
    return stored(runtime.stores, recipe, chunks=chunks, progress=progress, verify=True)


def needs_gpu(recipe: Recipe, runtime: Runtime) -> bool:
    """Whether an encoder has to run on a GPU."""
    return runtime.device == "cuda" and recipe.kind in ENCODED


def is_spread(recipe: Recipe, runtime: Runtime) -> bool:
    """Whether workers make the store: where it pays, or where the driver must not.

    The driver decodes with two threads and encodes with one. Its machine may have no GPU, and if
    it has, Ray gives that to trials.
    """
    large = recipe.count >= SPREAD_FROM and recipe.kind != "tokens"
    return needs_gpu(recipe, runtime) or (large and num_cpus() > DECODE_WORKERS)


def num_cpus() -> int:
    """CPUs of the cluster."""
    return int(ray.cluster_resources().get("CPU", 1))


def spread_chunks(recipe: Recipe, runtime: Runtime) -> Iterator[Chunk]:
    """Every chunk of `recipe` in order, made by workers on all nodes."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # the sweep has its own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    count = len(recipe.spans())
    gpu = needs_gpu(recipe, runtime)
    offered = int(ray.cluster_resources().get("GPU", 1)) if gpu else num_cpus()
    held = ray.put(recipe)  # must outlive workers that are started again
    made = ray.data.range(count, override_num_blocks=count).map_batches(
        _Maker,
        fn_constructor_args=([held],),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(count, offered))),
        num_cpus=1,
        num_gpus=int(gpu),
    )
    for row in made.iter_rows():
        yield pickle.loads(row["chunk"])


class _Maker:
    """A Ray Data worker: makes the chunks whose numbers it gets."""

    def __init__(self, held: list[ray.ObjectRef]) -> None:
        recipe: Recipe = ray.get(held[0])
        self.spans, self.make = recipe.spans(), recipe.start()

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
        made = [self.make(self.spans[number]) for number in batch["id"].tolist()]
        # Pickled, because chunks of words differ in length, which tensor columns may not.
        return {"chunk": [pickle.dumps(chunk) for chunk in made]}


def probe_all(
    shapes: Mapping[str, TrialSpec],
    ground: Ground,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Probe], float]:
    """The probe of each shape, and the seconds that a worker needs before its first trial.

    As many run at a time as trials will, with their resources, so that they load the machines as
    the sweep will; of a trial of several processes, one. RuntimeError names a trial whose probe
    fails.
    """
    from mi2p.probing import run_probe

    # A worker that died of its probe would die of it again.
    others = dict(ground.request.process)
    task = ray.remote(max_retries=0)(run_probe).options(
        num_cpus=others.pop("CPU"), num_gpus=others.pop("GPU", 0), resources=others
    )
    submitted, left = time.time(), dict(shapes)
    running: dict[ray.ObjectRef, str] = {}
    found: dict[str, Mapping[str, Any]] = {}
    while left or running:
        while left and len(running) < ground.slots:
            shape = next(iter(left))
            spec = left.pop(shape)
            running[task.remote(spec.to_dict(), asdict(ground.places[spec.data.name]))] = shape
        (ended,), _ = ray.wait(list(running))
        shape = running.pop(ended)
        try:
            found[shape] = ray.get(ended)
        except ray.exceptions.RayError as error:
            raise RuntimeError(f"a probe of {_told(shapes[shape])} failed: {error}") from error
        progress(len(found))
    ready: dict[str, float] = {}
    for of_shape in sorted(found.values(), key=lambda one: one["ready"]):
        ready.setdefault(of_shape["process"], of_shape["ready"] - submitted)
    probes = {shape: Probe(**found[shape]["probe"]) for shape in shapes}
    return probes, max(ready.values(), default=0.0)


def _told(spec: TrialSpec) -> str:
    model = spec.model
    units = f" with units at {model.units.attach}" if model.units else ""
    return f"{model.name}{units} on {spec.data.name}"
