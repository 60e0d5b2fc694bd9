"""What a model costs in training: parameters, floating-point operations and memory.

Measured in a step of training on fake tensors, which have no values: that needs neither pretrained
weights nor a GPU, and a large batch takes no longer. What a GPU's kernels need for themselves is
not seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mi2p.backbones import textual_card, visual_card
from mi2p.features import reads_pictures
from mi2p.models import MODELS, Batch, Classifier
from mi2p.models.blueprint import Untrained
from mi2p.models.frozen import ROWS
from mi2p.models.measuring import (
    attention_of_gpus,
    kept_in_bfloat16,
    measured,
    state_of,
    tensors_of,
)
from mi2p.models.memory import checkpoint_activations
from mi2p.spec import TrialSpec

Precision = Literal["float32", "bfloat16"]

BATCHES = (4 * ROWS, 8 * ROWS)
"""Measured, for what a sample adds. Frozen encoders take `ROWS` at a time whatever the batch."""
FLOAT = 4
"""Bytes of a parameter, of its gradient, and of each of Adam's two means of it."""


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """Memory that grows with the batch."""

    fixed: float
    per_sample: float

    def of(self, batch: int) -> float:
        """Those of a batch of so many samples."""
        return self.fixed + batch * self.per_sample


@dataclass(frozen=True, kw_only=True)
class Description:
    """What one model costs; texts are as long as they may be."""

    trained: int
    """Parameters that are trained."""
    added: int
    """Those of them that no pretrained backbone has."""
    frozen: int
    """Parameters of frozen encoders, whether they run in every step or their features are kept."""
    forward_flops: float
    """Of a sample's forward pass, two per multiply-add."""
    step_flops: float
    """The same of a training step: forward, backward and what is computed again."""
    state: int
    """Bytes of weights and buffers, gradients, and Adam's means."""
    kept: Mapping[Precision, Bytes]
    """Activations that the forward pass leaves for the backward pass."""
    step: Mapping[Precision, Bytes]
    """Batch and activations where a step holds most. Gradients are part of the state: they are
    there from the first micro-batch on."""

    def needed(self, precision: Precision, batch: int) -> float:
        """Bytes for training with batches, or micro-batches, of so many samples."""
        return self.state + self.step[precision].of(batch)

    def largest(self, precision: Precision, budget: float) -> int:
        """The largest batch, or micro-batch, that needs at most `budget` bytes; 0 if none."""
        return max(0, int((budget - self.needed(precision, 0)) // self.step[precision].per_sample))


def describe(
    spec: TrialSpec,
    num_classes: int,
    *,
    multilabel: bool = False,
    stored: Collection[str] = (),
    checkpoint: bool = False,
) -> Description:
    """The model of `spec` as it is trained; arguments as of `mi2p.models.build`.

    With `checkpoint` activations are computed again in the backward pass.
    """
    blueprint = Untrained(
        spec=spec, num_classes=num_classes, multilabel=multilabel, stored=frozenset(stored)
    )
    whole = architecture(replace(blueprint, stored=frozenset()))
    trained = sum(p.numel() for p in whole.trained_parameters())
    models = [architecture(blueprint) for _ in range(2)]
    for model in models if checkpoint else ():
        checkpoint_activations(model)
    own = sum(x.nbytes for x in state_of(models[0]))
    with FakeTensorMode(allow_non_fake_inputs=True), attention_of_gpus():
        on_cpu, on_gpu = (
            model.to_empty(device=device)
            for model, device in zip(models, ("cpu", "cuda"), strict=True)
        )
        batches = [fake_batch(spec, stored, size) for size in BATCHES]
        full = [measured(on_cpu, batch) for batch in batches]
        half = [kept_in_bfloat16(on_gpu, batch) for batch in batches]
    inputs = sum(x.nbytes for x in tensors_of(batches[0])) / BATCHES[0]
    kept: dict[Precision, Bytes] = {
        "float32": _line([m.kept for m in full]),
        "bfloat16": _line(half),
    }
    backward = max((m.peak - m.kept) / size for m, size in zip(full, BATCHES, strict=True))
    return Description(
        trained=trained,
        added=sum(p.numel() for p in whole.added_parameters()),
        frozen=sum(p.numel() for p in whole.parameters()) - trained,
        forward_flops=full[0].forward_flops / BATCHES[0],
        step_flops=full[0].step_flops / BATCHES[0],
        state=own + 3 * FLOAT * trained,
        kept=kept,
        step={
            precision: Bytes(fixed=of.fixed, per_sample=of.per_sample + backward + inputs)
            for precision, of in kept.items()
        },
    )


def architecture(blueprint: Untrained) -> Classifier:
    """The model that is planned, without any values: on the meta device."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return MODELS[blueprint.model.name](blueprint)


def fake_batch(spec: TrialSpec, stored: Collection[str], size: int) -> Batch:
    """So many samples of the largest size; to be called where tensors are fake."""
    data, model = spec.data, spec.model
    batch = Batch()
    if reads_pictures(model, stored):
        side = data.image_size
        batch.images = torch.zeros(size, 3, side, side, dtype=torch.uint8)
    if model.textual is not None:
        batch.tokens = torch.zeros(size, data.max_tokens, dtype=torch.int64)
        batch.is_word = torch.ones(size, data.max_tokens, dtype=torch.bool)
        if "words" in stored:
            batch.words = torch.zeros(size, data.max_tokens, textual_card(model.textual).width)
    if model.visual is not None and "maps" in stored:
        card = visual_card(model.visual)
        side = card.last_side(data.image_size)
        batch.maps = torch.zeros(size, card.last_channels, side, side)
    return batch


def _line(values: Sequence[int]) -> Bytes:
    """Through the values at the sizes of `BATCHES`."""
    per_sample = (values[1] - values[0]) / (BATCHES[1] - BATCHES[0])
    return Bytes(fixed=values[0] - BATCHES[0] * per_sample, per_sample=per_sample)
