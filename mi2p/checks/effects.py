"""What a change of a spec changes: the data, the batches, the model, its optimiser, its values.

Models are planned on the meta device. Only where two agree in every name and shape is each built
for real, with random weights, and one step made of it: a value that is kept and never used has no
effect there. What frozen encoders give is made up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mi2p.data.example import Dataset
from mi2p.data.images import view_of
from mi2p.data.views import View, decode
from mi2p.features import reads_pictures, stored_features
from mi2p.models import MODELS, Batch, Classifier
from mi2p.models.blueprint import Untrained
from mi2p.models.describing import architecture, fake_batch
from mi2p.models.frozen import FEATURE_TYPES
from mi2p.spec import TrialSpec
from mi2p.steps import Learner, epoch_batches, make_optimiser, step

BELIEVED = ("name", "limit", "clean", "fix_mojibake", "text_field", "splits", "on_bad_image")
"""Fields of the data that their readers use, whose tests hold it: not tried here."""
LENGTHS = (8, 5, 3, 6)
"""Words of the texts that a step is made of: one per example."""
FIRST_WORD, WORDS = 4, 500
"""Ids that are words in every vocabulary: from the first one to below the other number."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What models and epochs are made for."""

    num_classes: int
    multilabel: bool
    num_train: int
    """Examples that are trained on."""

    @classmethod
    def of(cls, dataset: Dataset) -> Task:
        """That of a data set, as it was read."""
        return cls(
            num_classes=len(dataset.classes),
            multilabel=dataset.multilabel,
            num_train=len(dataset.split("train")),
        )


def effect(one: TrialSpec, other: TrialSpec, task: Task) -> str | None:
    """What differs first between two trials, their seeds and stages apart; None: nothing does."""
    return Effects(task).between(one, other)


class Effects:
    """Answers `effect` for specs of one task; what was built for one question serves the next."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._kept: dict[tuple[object, ...], Any] = {}
        self._aspects: Mapping[str, Callable[[TrialSpec], object]] = {
            "data": self._read,
            "batches": self._batches,
            "model": self._shapes,
            "optimiser": self._rates,
            "initial values or computation": self._computed,
        }

    def between(self, one: TrialSpec, other: TrialSpec) -> str | None:
        """As `effect`. Cheap questions come first; the last one takes a training step of each.

        A longest text counts as read where texts are read, though none may be that long.
        """
        for name, seen in self._aspects.items():
            if self._once(name, seen, one) != self._once(name, seen, other):
                return name
        return None

    def _once(self, name: str, seen: Callable[[TrialSpec], Any], spec: TrialSpec) -> Any:
        key = (name, spec.data, spec.model, spec.train)
        if key not in self._kept:
            self._kept[key] = seen(replace(spec, seed=0))
        return self._kept[key]

    def _read(self, spec: TrialSpec) -> Mapping[str, object]:
        """What comes out of files."""
        data, model = spec.data, spec.model
        stored = stored_features(data, model)
        seen: dict[str, object] = {field: getattr(data, field) for field in BELIEVED}
        # Two pretrained networks may have one shape.
        seen |= {"weights": (model.visual, model.textual), "stored": stored}
        if reads_pictures(model, stored) or "maps" in model.frozen:
            seen["picture"] = _made_up_picture(view_of(data))
        if model.textual is not None:
            seen["longest text"] = data.max_tokens
        if model.frozen:
            seen["features"] = FEATURE_TYPES[data.features]
        return seen

    def _batches(self, spec: TrialSpec) -> object:
        """How many epochs, and how each is cut."""
        cut = epoch_batches(spec.train, np.arange(self.task.num_train))
        return spec.train.epochs, [[len(part) for part in parts] for parts in cut]

    def _shapes(self, spec: TrialSpec) -> Mapping[str, object]:
        model = self._planned(spec)
        named = (*model.named_parameters(), *model.named_buffers())
        return {name: (tuple(x.shape), x.dtype, x.requires_grad) for name, x in named}

    def _rates(self, spec: TrialSpec) -> Mapping[str, object]:
        """Every setting of the optimiser, by the parameter it is for."""
        model = self._planned(spec)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        optimiser = make_optimiser(model, spec)
        found: dict[str, object] = {"optimiser": type(optimiser)}
        for group in optimiser.param_groups:
            settings = {name: value for name, value in group.items() if name != "params"}
            found |= {names[id(parameter)]: settings for parameter in group["params"]}
        return found

    def _computed(self, spec: TrialSpec) -> Mapping[str, str]:
        """The prediction of random weights, and all that one training step leaves of them."""
        with _repeatable():
            model = MODELS[spec.model.name](self._blueprint(spec))
            batch = self._batch(spec)
            with torch.no_grad():
                found = {"logits": model.eval()(batch)}
            torch.manual_seed(1)  # of dropout, whatever the building drew
            optimiser = make_optimiser(model, spec)
            learner, sizes = Learner(model.train()), [len(LENGTHS)]
            total = step(learner, optimiser, [batch], sizes=sizes, where="the preflight")
            found |= {"loss": torch.tensor(total), **model.trained_state()}
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    found[f"{name}.grad"] = parameter.grad
            return {name: _digest(value) for name, value in found.items()}

    def _planned(self, spec: TrialSpec) -> Classifier:
        key = ("planned", spec.data, spec.model)
        if key not in self._kept:
            self._kept[key] = architecture(self._blueprint(spec))
        model: Classifier = self._kept[key]
        return model

    def _blueprint(self, spec: TrialSpec) -> Untrained:
        return Untrained(
            spec=spec,
            num_classes=self.task.num_classes,
            multilabel=self.task.multilabel,
            stored=frozenset(spec.model.frozen),
        )

    def _batch(self, spec: TrialSpec) -> Batch:
        """A few made-up examples with short texts."""
        longest = min(spec.data.max_tokens, max(LENGTHS))
        short = replace(spec, data=replace(spec.data, max_tokens=longest))
        size, classes = len(LENGTHS), self.task.num_classes
        batch = fake_batch(short, spec.model.frozen, size)
        generator = torch.Generator().manual_seed(0)
        if batch.images is not None:
            batch.images.random_(256, generator=generator)
        if batch.maps is not None:
            batch.maps.normal_(generator=generator)
        if batch.tokens is not None:
            is_word = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
            batch.is_word = is_word
            batch.tokens = batch.tokens.random_(FIRST_WORD, WORDS, generator=generator) * is_word
            if batch.words is not None:
                batch.words.normal_(generator=generator).mul_(is_word[..., None])
        if self.task.multilabel:
            batch.labels = torch.rand(size, classes, generator=generator).round()
        else:
            batch.labels = torch.arange(size) % classes
        return batch


def _made_up_picture(view: View) -> str:
    """How a picture that is neither square nor smooth looks in this view."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made-up.png"
        pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        shown = decode(path, view)
    return f"{shown.shape} {hashlib.blake2b(shown.tobytes()).hexdigest()}"


def _digest(value: Tensor) -> str:
    """Names a value, all its bits."""
    plain = value.detach().contiguous().view(-1).view(torch.uint8)
    return hashlib.blake2b(plain.numpy().tobytes()).hexdigest()


@contextmanager
def _repeatable() -> Iterator[None]:
    """Inside, the same is computed every time; torch is left as it was."""
    strict, only_warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=only_warns)
