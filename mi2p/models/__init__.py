"""The models by name. `MODELS` is the only place where a string names a model's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from mi2p.backbones import textual_card, visual_card
from mi2p.models.expanded import Batch, Classifier, TextualClassifier, VisualClassifier
from mi2p.models.frozen import FEATURE_TYPES, Frozen
from mi2p.models.weights import load_textual, load_visual
from mi2p.spec import TrialSpec

__all__ = ["MODELS", "Batch", "Classifier", "build"]

Builder = Callable[[TrialSpec, int, Path | None, bool], Classifier]


def _cnn(spec: TrialSpec, num_classes: int, weights: Path | None, external: bool) -> Classifier:
    backbone = load_visual(spec.model.visual or "", weights)
    return VisualClassifier(backbone, num_classes, spec.model.head_dropout)


def _bert(spec: TrialSpec, num_classes: int, weights: Path | None, external: bool) -> Classifier:
    backbone = load_textual(spec.model.textual or "", weights)
    return TextualClassifier(backbone, num_classes, spec.model.head_dropout)


def _me_cnn(spec: TrialSpec, num_classes: int, weights: Path | None, external: bool) -> Classifier:
    model = _cnn(spec, num_classes, weights, external)
    assert isinstance(model, VisualClassifier) and spec.model.units and spec.model.textual
    return model.attach(
        spec.model.units,
        image_size=spec.data.image_size,
        textual_width=textual_card(spec.model.textual).width,
        external=_frozen(load_textual, spec.model.textual, spec, weights) if external else None,
    )


def _me_bert(
    spec: TrialSpec, num_classes: int, weights: Path | None, external: bool
) -> Classifier:
    model = _bert(spec, num_classes, weights, external)
    assert isinstance(model, TextualClassifier) and spec.model.units and spec.model.visual
    card = visual_card(spec.model.visual)
    return model.attach(
        spec.model.units,
        channels=card.last_channels,
        side=card.last_side(spec.data.image_size),
        external=_frozen(load_visual, spec.model.visual, spec, weights) if external else None,
    )


def _frozen(
    load: Callable[[str, Path | None], nn.Module], name: str, spec: TrialSpec, weights: Path | None
) -> Frozen:
    # Libraries draw weights before they load them: the units' must not depend on that.
    with torch.random.fork_rng(devices=[]):
        dtype, longest = FEATURE_TYPES[spec.data.features], spec.data.max_tokens
        return Frozen(load(name, weights), dtype, max_tokens=longest)


MODELS: Mapping[str, Builder] = {
    "cnn": _cnn,
    "bert": _bert,
    "me_cnn": _me_cnn,
    "me_bert": _me_bert,
}


def build(
    spec: TrialSpec, num_classes: int, *, weights: Path | None = None, external: bool = True
) -> Classifier:
    """The model of `spec`, its new parameters drawn from `spec.seed`.

    Backbone and head are drawn before the units: the same seed gives the same unimodal part with
    and without them. `external=False` leaves the frozen encoder out, for batches that bring its
    features from a store.
    """
    torch.manual_seed(spec.seed)
    return MODELS[spec.model.name](spec, num_classes, weights, external)
