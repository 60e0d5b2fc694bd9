"""What a sweep will cost before it runs: work, wall time and disk, from probes of its trials.

Trials that differ in what costs nothing (learning rates, seed) have one shape, which is probed
once (`mi2p.probing`). Loads neither torch nor Ray.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mi2p.data.cache import expanded
from mi2p.legality import require
from mi2p.options import SEARCH_SEED
from mi2p.placement import SPARE, part_that_fits
from mi2p.plan import PlanRow
from mi2p.spec import TrialSpec

if TYPE_CHECKING:
    from mi2p.trainable import Places

BETWEEN = 0.5
"""Seconds from the end of a trial's last evaluation to the next one's start on a worker: rows,
predictions and curves are written, and Tune starts a trial."""
BLOCK = 4096
"""Bytes that files and folders take multiples of."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was measured of one shape."""

    train: int
    """Examples of the splits that are used."""
    val: int
    test: int
    classes: int
    id_bytes: float
    """Mean length of the examples' ids."""
    setup_seconds: float
    """To open inputs and build the model, in a process that has done so before."""
    step_seconds: float
    """Of a training step: one batch."""
    steps: int
    """Steps that were timed."""
    evaluate_seconds: float
    """Per example."""
    save_seconds: float
    """Of a checkpoint that is the best."""
    load_seconds: float
    """Of the best weights."""
    checkpoint_bytes: int
    """Most that the checkpoints of a trial take at a time."""
    gpu_bytes: int = 0
    """Most that its tensors took of a GPU; 0 without one."""

    def trial_seconds(self, spec: TrialSpec) -> float:
        """From start to end of a trial of this shape that no scheduler stops."""
        steps = -(-self.train // spec.train.batch_size)
        epoch = steps * self.step_seconds + self.val * self.evaluate_seconds + self.save_seconds
        last = self.load_seconds + self._predicted(spec) * self.evaluate_seconds
        return self.setup_seconds + spec.train.epochs * epoch + last + BETWEEN

    def trial_bytes(self, spec: TrialSpec) -> int:
        """What a trial of this shape leaves: predictions, row, epochs, curves, Tune's notes."""
        examples = self._predicted(spec)
        values = examples * self.classes
        # Parquet keeps a column's first values, up to a megabyte, as a dictionary and indices.
        indexed = min(values, 2**18)
        indices = indexed * (indexed - 1).bit_length() / 8
        files = (
            2000 + 4 * values + indices + examples * (self.id_bytes + 2),
            24_000,  # a row is mostly the names of its columns
            3000 + 50 * spec.train.epochs,
            400 * spec.train.epochs,
            22_000,
        )
        return BLOCK * (1 + sum(-int(-size // BLOCK) for size in files))

    def _predicted(self, spec: TrialSpec) -> int:
        return self.val + (self.test if spec.stage == "confirm" else 0)


@dataclass(frozen=True, kw_only=True)
class Price:
    """What trials will cost."""

    trials: int
    shapes: int
    slots: int
    """Trials at a time."""
    gpus: float
    """Of each trial; 0 when it runs on a CPU core."""
    work_seconds: float
    """Of all trials together."""
    shortest_seconds: float
    """Of a trial."""
    longest_seconds: float
    wall_seconds: float
    results_bytes: int
    checkpoint_bytes: int
    """Most at a time."""
    store_bytes: int
    gpu_bytes: int = 0
    """Most that any trial takes of a GPU; 0 without one."""

    @property
    def hours(self) -> float:
        """GPU-hours of all trials, or CPU core-hours."""
        return self.work_seconds * (self.gpus or 1) / 3600


def shape_of(spec: TrialSpec) -> str:
    """Hex digits over all that a trial's cost depends on, but for its epochs and its stage."""
    plain = spec.to_dict()
    for name in spec.unread():
        del plain["data"][name]
    del plain["model"]["head_dropout"]
    for units in (plain["model"]["units"], plain["model"]["textual_units"]):
        if units is not None:
            del units["lr_multiplier"]
    kept = {name: plain[name] for name in ("data", "model")}
    kept |= {name: plain["train"][name] for name in ("batch_size", "micro_batch")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def shapes(specs: Iterable[TrialSpec]) -> dict[str, TrialSpec]:
    """The first trial of each shape, in order; `ValueError` for one that is not trained."""
    found: dict[str, TrialSpec] = {}
    for spec in specs:
        require(not spec.averages, "a trial that is priced averages none", averages=spec.averages)
        found.setdefault(shape_of(spec), spec)
    return found


def search_trials(rows: Iterable[tuple[PlanRow, int]]) -> list[TrialSpec]:
    """What a search trains, as far as is known before it: rows with what is left of their budget.

    In rounds, a configuration of each row at a time, all with the shape of the row as declared;
    then the trials that confirm.
    """
    rows = list(rows)
    rounds = max((left for _, left in rows), default=0)
    tried = [
        replace(row.specs[0], stage="search", seed=SEARCH_SEED)
        for number in range(rounds)
        for row, left in rows
        if number < left
    ]
    return tried + [spec for row, _ in rows for spec in row.specs]


def price(
    specs: Sequence[TrialSpec],
    probes: Mapping[str, Probe],
    *,
    slots: int,
    gpus: float = 0.0,
    startup: float = 0.0,
    store_bytes: int = 0,
) -> Price:
    """The price of `specs`, in the order in which a sweep starts them, by the probes of shapes.

    `startup` are the seconds that a sweep needs before its first trial.
    """
    probed = [(probes[shape_of(spec)], spec) for spec in specs]
    seconds = [found.trial_seconds(spec) for found, spec in probed]
    peaks = heapq.nlargest(slots, (found.checkpoint_bytes for found, _ in probed))
    return Price(
        trials=len(specs),
        shapes=len(shapes(specs)),
        slots=slots,
        gpus=gpus,
        work_seconds=sum(seconds),
        shortest_seconds=min(seconds, default=0.0),
        longest_seconds=max(seconds, default=0.0),
        wall_seconds=startup + makespan(seconds, slots),
        results_bytes=sum(found.trial_bytes(spec) for found, spec in probed),
        checkpoint_bytes=sum(peaks),
        store_bytes=store_bytes,
        gpu_bytes=max((found.gpu_bytes for found in probes.values()), default=0),
    )


def makespan(seconds: Iterable[float], slots: int) -> float:
    """When the last of some trials ends, each started in its turn as soon as a slot is free."""
    require(slots >= 1, "slots >= 1", slots=slots)
    ends = [0.0] * slots
    for of_trial in seconds:
        heapq.heapreplace(ends, ends[0] + of_trial)
    return max(ends)


def bytes_of_stores(places: Iterable[Places]) -> int:
    """What the stores that were prepared for trials take on this machine."""
    paths = {expanded(Path(p.cache)) / name for p in places for _, name in p.prepared}
    return sum(path.stat().st_size for path in paths if path.exists())


def print_price(console: Console, found: Price, *, search: bool = False, gpu: float = 0.0) -> None:
    """Tell a price in 80 columns; of a search, what it does not know as well.

    `gpu` are the bytes of a whole GPU; with them, how many trials could share one is told.
    """
    if not found.trials:
        console.print("nothing to run, nothing to pay")
        return
    unit = "GPU-hours" if found.gpus else "CPU core-hours"
    ends = (_span(found.shortest_seconds), _span(found.longest_seconds))
    each = " to ".join(dict.fromkeys(ends))
    console.print(f"price, by short probes of {_counted(found.shapes, 'shape')}:")
    trials, slots = _counted(found.trials, "trial"), _counted(found.slots, "trial")
    console.print(f"  work       {found.hours:.2f} {unit}: {trials} of {each}")
    console.print(f"  wall time  {_span(found.wall_seconds)}, {slots} at a time")
    console.print(f"  disk       {_size(found.results_bytes)} of results")
    console.print(
        f"             up to {_size(found.checkpoint_bytes)} of checkpoints while it runs"
    )
    kept = f"{_size(found.store_bytes)} of decoded images and features, made already"
    console.print(f"             {kept}")
    if found.gpu_bytes and gpu:
        console.print(
            f"  memory     {_size(found.gpu_bytes)} of a GPU's {_size(int(gpu))} at most"
        )
        part = part_that_fits(found.gpu_bytes, gpu, SPARE)
        if part is not None and part < found.gpus:
            console.print(f"             --gpus-per-trial {part:g} puts {1 / part:g} on each")
    if search:
        console.print("  Configurations are priced as the row is declared. Those with other batch")
        console.print("  sizes and layers cost more or less; a scheduler stops trials early.")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def _size(count: int) -> str:
    for unit, power in (("GB", 9), ("MB", 6)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count / 1000:.1f} kB"
