"""The models by name. `MODELS` is the only place where a string names a model's code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch

from mi2p.models.baselines.centralnet import CentralNet
from mi2p.models.baselines.mmbt import MMBT
from mi2p.models.baselines.pixelbert import PixelBERT
from mi2p.models.baselines.vilt import ViLT
from mi2p.models.baselines.visualbert import VisualBERT
from mi2p.models.blueprint import Blueprint
from mi2p.models.classifier import Batch, Classifier
from mi2p.models.expanded import Unimodal
from mi2p.models.late_fusion import LateFusion
from mi2p.spec import TrialSpec

__all__ = ["MODELS", "Batch", "Classifier", "build"]


def _cnn(blueprint: Blueprint) -> Classifier:
    branch = blueprint.visual_branch()
    model = Unimodal(branch, blueprint.num_classes, blueprint.dropout)
    blueprint.attach_visual(branch)
    return model


def _bert(blueprint: Blueprint) -> Classifier:
    branch = blueprint.textual_branch()
    model = Unimodal(branch, blueprint.num_classes, blueprint.dropout)
    blueprint.attach_textual(branch)
    return model


def _fusion(blueprint: Blueprint) -> Classifier:
    visual, textual = blueprint.visual_branch(), blueprint.textual_branch()
    assert blueprint.model.fusion is not None
    model = LateFusion(
        visual,
        textual,
        blueprint.model.fusion,
        blueprint.num_classes,
        multilabel=blueprint.multilabel,
        dropout=blueprint.dropout,
    )
    blueprint.attach_visual(visual)
    blueprint.attach_textual(textual)
    return model


def _centralnet(blueprint: Blueprint) -> Classifier:
    return CentralNet(
        blueprint.visual(), blueprint.textual(), blueprint.num_classes, dropout=blueprint.dropout
    )


def _mmbt(blueprint: Blueprint) -> Classifier:
    return MMBT(
        blueprint.visual(), blueprint.textual(), blueprint.num_classes, dropout=blueprint.dropout
    )


def _pixelbert(blueprint: Blueprint) -> Classifier:
    return PixelBERT(
        blueprint.visual(), blueprint.textual(), blueprint.num_classes, dropout=blueprint.dropout
    )


def _visualbert(blueprint: Blueprint) -> Classifier:
    net = blueprint.visualbert()
    return VisualBERT(
        net, blueprint.num_classes, dropout=blueprint.dropout, external=blueprint.external("maps")
    )


def _vilt(blueprint: Blueprint) -> Classifier:
    return ViLT(blueprint.vilt(), blueprint.num_classes, dropout=blueprint.dropout)


MODELS: Mapping[str, Callable[[Blueprint], Classifier]] = {
    "cnn": _cnn,
    "bert": _bert,
    "me_cnn": _cnn,
    "me_bert": _bert,
    "fusion": _fusion,
    "me_fusion": _fusion,
    "centralnet": _centralnet,
    "mmbt": _mmbt,
    "pixelbert": _pixelbert,
    "visualbert": _visualbert,
    "vilt": _vilt,
}


def build(
    spec: TrialSpec,
    num_classes: int,
    *,
    multilabel: bool = False,
    weights: Path | None = None,
    stored: Collection[str] = (),
) -> Classifier:
    """The model of `spec`, its new parameters drawn from `spec.seed`.

    Backbones and heads are drawn before the units: the same seed gives the same unimodal part
    with and without them. `stored` names the frozen features (`words`, `maps`) that batches bring
    from a store; the encoders of the others are part of the model.
    """
    torch.manual_seed(spec.seed)
    blueprint = Blueprint(
        spec=spec,
        num_classes=num_classes,
        multilabel=multilabel,
        weights=weights,
        stored=frozenset(stored),
    )
    return MODELS[spec.model.name](blueprint)
