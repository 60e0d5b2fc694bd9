"""Whether a trial fits in memory, before it is scheduled.

What a model needs is measured once (`mi2p.models.describing`, seconds) and kept in the cache
folder, as data that any later sweep reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mi2p import __version__
from mi2p.checks.effects import Task
from mi2p.checks.preflight import drawn
from mi2p.features import stored_features
from mi2p.files import write_whole
from mi2p.model_spec import UnitSpec
from mi2p.models.describing import Bytes, Description, Precision, describe
from mi2p.nodes import Memory
from mi2p.placement import PARTS, SPARE, usable_bytes
from mi2p.spec import LEAST_MICRO_BATCH, TrialSpec
from mi2p.steps import epoch_batches

if TYPE_CHECKING:
    from mi2p.search.spaces import Space

FOLDER = "descriptions"
"""Below the cache folder."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Answers what fits into the memory of a trial."""

    memory: Memory
    stores: Path
    """The cache folder on this machine."""
    checkpoint: bool = False
    """Whether activations are computed again, as with --checkpoint-activations."""
    workers: int = 1
    """Processes that share each batch of a trial; the memory is that of one."""

    @property
    def precision(self) -> Precision:
        """What trials train in."""
        return "bfloat16" if self.memory.bfloat16 else "float32"

    @property
    def budget(self) -> float:
        """Bytes that may be needed: a part stays free for what is not measured."""
        return (1 - SPARE) * self.memory.nbytes

    def needed(self, spec: TrialSpec, task: Task) -> float:
        """Bytes of the largest training step of `spec`."""
        found = described(spec, task, self.stores, checkpoint=self.checkpoint)
        return found.needed(self.precision, -(-largest_part(spec, task) // self.workers))

    def largest(self, spec: TrialSpec, task: Task) -> int:
        """The largest batch or micro-batch with which the model of `spec` fits; 0 if none."""
        found = described(spec, task, self.stores, checkpoint=self.checkpoint)
        return found.largest(self.precision, self.budget) * self.workers

    def check(self, specs: Mapping[str, TrialSpec], tasks: Mapping[str, Task]) -> None:
        """All of these fit; else `ValueError` says for each that does not what would help.

        `specs` are by the names that users know them by, `tasks` by their data sets' names.
        """
        refused = []
        for name, spec in specs.items():
            task = tasks[spec.data.name]
            if self.needed(spec, task) > self.budget:
                refused.append(self._refusal(name, spec, task))
        if refused:
            raise ValueError("\n".join(refused))

    def _refusal(self, name: str, spec: TrialSpec, task: Task) -> str:
        return (
            f"{name}: a batch of {largest_part(spec, task)} needs "
            f"{self.needed(spec, task) / 1e9:.2f} GB in {self.precision}, but a trial has "
            f"{self.memory.nbytes / 1e9:.2f} GB, of which {SPARE:.0%} stay free; "
            f"{self._help(spec, task)}"
        )

    def _help(self, spec: TrialSpec, task: Task) -> str:
        ways, flags = [], "--checkpoint-activations"
        part = self.largest(spec, task)
        if part >= LEAST_MICRO_BATCH:
            ways.append(f"--micro-batch {part}")
        if not self.checkpoint:
            saving = replace(self, checkpoint=True)
            saved = saving.largest(spec, task)
            if saved >= largest_part(spec, task):
                ways.append(flags)
            elif saved >= max(LEAST_MICRO_BATCH, part + 1):
                ways.append(f"{flags} --micro-batch {saved}")
        for gpus in self._larger(spec, task)[:1]:
            where = " where a node has as many" if gpus > 1 else ""
            ways.append(f"--gpus-per-trial {gpus:g}{where}")
        if ways:
            return f"fits: {', or '.join(ways)}"
        return f"no micro-batch of {LEAST_MICRO_BATCH} fits either: it takes more memory"

    def _larger(self, spec: TrialSpec, task: Task) -> list[float]:
        """More of a GPU, or more of them, on which it fits."""
        whole = self.memory.whole
        shares = {part: usable_bytes(whole, part) for part in (*PARTS, 1.0)}
        found = [
            part
            for part, nbytes in shares.items()
            if nbytes > self.memory.nbytes and self.needed(spec, task) <= (1 - SPARE) * nbytes
        ]
        several = (n for n in (2.0, 4.0, 8.0) if whole and n > self.workers)
        found += [
            n
            for n in several
            if replace(self, workers=int(n)).needed(spec, task) <= (1 - SPARE) * whole
        ]
        return found


def operations(spec: TrialSpec, task: Task, stores: Path, *, checkpoint: bool) -> float:
    """Floating-point operations of the training of `spec`; `stores` is the cache folder."""
    found = described(spec, task, stores, checkpoint=checkpoint)
    return found.step_flops * task.num_train * spec.train.epochs


def largest_part(spec: TrialSpec, task: Task) -> int:
    """Examples of the largest forward pass of training: a batch, or a micro-batch."""
    cut = epoch_batches(spec.train, np.arange(task.num_train))
    return max(len(part) for parts in cut for part in parts)


def largest_batch(space: Space, task: Task, fitting: Fitting, name: str) -> int | None:
    """The largest batch with which every configuration of a search fits; None: any does.

    `ValueError` says what would help if the row's own batch, or micro-batch, is too large for
    some of them. `name` is the row's.
    """
    spec = hungriest(space)
    of = f"the largest configuration in a search of {name}"
    fitting.check({of: spec}, {spec.data.name: task})
    return None if spec.train.micro_batch else fitting.largest(spec, task)


def hungriest(space: Space) -> TrialSpec:
    """The base of `space` with units at every tap that it knows, of the sizes that need most.

    A little more than any of its configurations where so many heads are not legal at all taps.
    Fusions are left as they are: they differ by less than what stays free.
    """
    model, specs = space.base.model, list(drawn(space))
    changed: dict[str, Any] = {}
    for part in ("units", "textual_units"):
        seen: list[UnitSpec] = [units for s in specs if (units := getattr(s.model, part))]
        if seen:
            changed[part] = _largest(seen)
    return replace(space.base, model=replace(model, **changed))


def _largest(seen: Sequence[UnitSpec]) -> UnitSpec:
    gated = any(units.init == "gate" for units in seen)
    return replace(
        seen[0],
        attach=tuple(sorted({tap for units in seen for tap in units.attach})),
        heads=max(units.heads for units in seen),
        head_mode="project",  # whatever the cells of the maps
        d_k=max(units.d_k for units in seen),
        query_kernel=max(units.query_kernel for units in seen),
        # The gradient of a gate needs what it is multiplied with.
        init="gate" if gated else seen[0].init,
    )


def described(spec: TrialSpec, task: Task, stores: Path, *, checkpoint: bool) -> Description:
    """`describe` of the model of `spec`, out of the cache folder if it is known there.

    A file that is damaged or of another version is made anew.
    """
    key = _key(spec, task, checkpoint=checkpoint)
    text = json.dumps(key, sort_keys=True)
    path = stores / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    known = _read(path, key)
    if known is not None:
        return known
    found = describe(
        spec,
        task.num_classes,
        multilabel=task.multilabel,
        stored=stored_features(spec.data, spec.model),
        checkpoint=checkpoint,
    )
    write_whole(path, json.dumps({"key": key, "description": asdict(found)}, indent=1) + "\n")
    return found


def _key(spec: TrialSpec, task: Task, *, checkpoint: bool) -> dict[str, Any]:
    """All that `describe` reads, as plain data."""
    data = spec.data
    return {
        "model": spec.model.to_dict(),
        "data": [data.image_size, data.max_tokens, data.features],
        "stored": list(stored_features(data, spec.model)),
        "task": [task.num_classes, task.multilabel],
        "checkpoint": checkpoint,
        "versions": [__version__, torch.__version__],
    }


def _read(path: Path, key: Mapping[str, Any]) -> Description | None:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        known, values = plain["key"], plain["description"]
        for name in ("kept", "step"):
            values[name] = {which: Bytes(**line) for which, line in values[name].items()}
        return Description(**values) if known == key else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
