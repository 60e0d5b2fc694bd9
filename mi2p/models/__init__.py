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


def _cnn(plan: Blueprint) -> Classifier:
    branch = plan.visual_branch()
    model = Unimodal(branch, plan.num_classes, plan.dropout)
    plan.attach_visual(branch)
    return model


def _bert(plan: Blueprint) -> Classifier:
    branch = plan.textual_branch()
    model = Unimodal(branch, plan.num_classes, plan.dropout)
    plan.attach_textual(branch)
    return model


def _fusion(plan: Blueprint) -> Classifier:
    visual, textual = plan.visual_branch(), plan.textual_branch()
    assert plan.model.fusion is not None
    model = LateFusion(
        visual,
        textual,
        plan.model.fusion,
        plan.num_classes,
        multilabel=plan.multilabel,
        dropout=plan.dropout,
    )
    plan.attach_visual(visual)
    plan.attach_textual(textual)
    return model


def _centralnet(plan: Blueprint) -> Classifier:
    return CentralNet(plan.visual(), plan.textual(), plan.num_classes, dropout=plan.dropout)


def _mmbt(plan: Blueprint) -> Classifier:
    return MMBT(plan.visual(), plan.textual(), plan.num_classes, dropout=plan.dropout)


def _pixelbert(plan: Blueprint) -> Classifier:
    return PixelBERT(plan.visual(), plan.textual(), plan.num_classes, dropout=plan.dropout)


def _visualbert(plan: Blueprint) -> Classifier:
    net = plan.visualbert()
    return VisualBERT(net, plan.num_classes, dropout=plan.dropout, external=plan.external("maps"))


def _vilt(plan: Blueprint) -> Classifier:
    return ViLT(plan.vilt(), plan.num_classes, dropout=plan.dropout)


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
