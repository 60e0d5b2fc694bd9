"""What a model is built from: its spec, its classes, and where pretrained weights lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mi2p.backbones import textual_card, visual_card
from mi2p.models.expanded import TextualBranch, VisualBranch
from mi2p.models.frozen import FEATURE_TYPES, Frozen
from mi2p.models.multimodal import MultimodalBackbone
from mi2p.models.multimodal_weights import (
    build_vilt,
    build_visualbert,
    load_vilt,
    load_visualbert,
)
from mi2p.models.textual import TextualBackbone, build_textual
from mi2p.models.visual import VisualBackbone, build_visual
from mi2p.models.weights import load_textual, load_visual
from mi2p.spec import ModelSpec, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """Builders of `mi2p.models.MODELS` take one and ask it for their parts, in their order."""

    spec: TrialSpec
    num_classes: int
    multilabel: bool
    weights: Path | None
    stored: frozenset[str]
    """Frozen features that batches bring: `words`, `maps`."""

    @property
    def model(self) -> ModelSpec:
        """What the spec says of the model."""
        return self.spec.model

    @property
    def dropout(self) -> float:
        """Before every classifier."""
        return self.model.head_dropout

    @property
    def visual_name(self) -> str:
        """The CNN's."""
        assert self.model.visual is not None
        return self.model.visual

    @property
    def textual_name(self) -> str:
        """The transformer's."""
        assert self.model.textual is not None
        return self.model.textual

    def visual(self) -> VisualBackbone:
        """The CNN that is trained."""
        return load_visual(self.visual_name, self.weights)

    def textual(self) -> TextualBackbone:
        """The transformer that is trained."""
        return load_textual(self.textual_name, self.weights)

    def visualbert(self) -> MultimodalBackbone:
        """VisualBERT, for the maps of the CNN."""
        return load_visualbert(self.textual_name, self.visual_name, self.weights)

    def vilt(self) -> MultimodalBackbone:
        """ViLT, for the images and texts of the data."""
        return load_vilt(self.textual_name, self.spec.data, self.weights)

    def visual_branch(self) -> VisualBranch:
        """The CNN up to its global feature, still without units."""
        return VisualBranch(self.visual())

    def textual_branch(self) -> TextualBranch:
        """The transformer up to its global feature, still without units."""
        return TextualBranch(self.textual())

    def attach_visual(self, branch: VisualBranch) -> None:
        """Add the units of the CNN, if it has any."""
        units = self.model.units_of("visual")
        if units is not None:
            branch.attach(
                units,
                image_size=self.spec.data.image_size,
                textual_width=textual_card(self.textual_name).width,
                external=self.external("words"),
            )

    def attach_textual(self, branch: TextualBranch) -> None:
        """Add the units of the transformer, if it has any."""
        units = self.model.units_of("textual")
        if units is not None:
            card = visual_card(self.visual_name)
            branch.attach(
                units,
                channels=card.last_channels,
                side=card.last_side(self.spec.data.image_size),
                external=self.external("maps"),
            )

    def external(self, kind: Literal["words", "maps"]) -> Frozen | None:
        """The frozen encoder that gives T' or Z'; None where batches bring these."""
        if kind in self.stored:
            return None
        dtype, longest = FEATURE_TYPES[self.spec.data.features], self.spec.data.max_tokens
        # Libraries draw weights before they load them: the units' must not depend on that.
        with torch.random.fork_rng(devices=[]):
            encoder = self.textual() if kind == "words" else self.visual()
            return Frozen(encoder, dtype, max_tokens=longest)


@dataclass(frozen=True, kw_only=True)
class Untrained(Blueprint):
    """The same architectures with random weights: for what depends on their sizes alone."""

    weights: None = None

    def visual(self) -> VisualBackbone:
        return build_visual(self.visual_name)

    def textual(self) -> TextualBackbone:
        return build_textual(self.textual_name)

    def visualbert(self) -> MultimodalBackbone:
        return build_visualbert(self.textual_name, self.visual_name)

    def vilt(self) -> MultimodalBackbone:
        return build_vilt(self.textual_name, self.spec.data)
