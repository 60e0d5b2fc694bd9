"""Unimodal classifiers and their multimodal expansions ME-CNN and ME-BERT (section 3, Figure 1).

Legend: B batch, c channels, h x w cells, l words, d width, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from mi2p.model_spec import Modality, UnitSpec
from mi2p.models.classifier import Batch, Classifier, Head
from mi2p.models.frozen import Frozen
from mi2p.models.injection import TextualUnit, VisualUnit
from mi2p.models.textual import TextualBackbone
from mi2p.models.visual import VisualBackbone, unchanged


class Branch(nn.Module, ABC):
    """A trained backbone, with units at some of its taps: `forward` gives (B, width) features."""

    modality: Modality
    width: int
    backbone: VisualBackbone | TextualBackbone

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.ModuleDict()
        self.external: Frozen | None = None

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The global feature (B, width)."""


class VisualBranch(Branch):
    """A CNN that reads images; with units it is ME-CNN and words flow into it: Figure 1(a)."""

    modality = "visual"

    def __init__(self, backbone: VisualBackbone) -> None:
        super().__init__()
        self.backbone: VisualBackbone = backbone
        self.width = backbone.card.last_channels

    def attach(
        self, spec: UnitSpec, *, image_size: int, textual_width: int, external: Frozen | None
    ) -> Self:
        """Add the units of `spec`; `external` may be None when batches bring T'."""
        card = self.backbone.card
        for tap in spec.attach:
            self.units[str(tap)] = VisualUnit(
                spec,
                channels=card.tap_channels[tap - 1],
                side=card.tap_side(tap, image_size),
                textual_width=textual_width,
            )
        self.external = external
        return self

    def forward(self, batch: Batch) -> Tensor:
        assert batch.images is not None
        if not self.units:
            return self.backbone.pool(self.backbone(batch.images, unchanged))
        words, is_word = self._external_words(batch)  # (B, l, d), (B, l)

        def inject(tap: int, maps: Tensor) -> Tensor:
            unit = str(tap)
            return self.units[unit](maps, words, is_word) if unit in self.units else maps

        return self.backbone.pool(self.backbone(batch.images, inject))

    def _external_words(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.is_word is not None
        if batch.words is not None:
            return batch.words, batch.is_word
        assert self.external is not None, "neither T' in the batch nor an external encoder"
        assert batch.tokens is not None
        return self.external.words(batch.tokens, batch.is_word).float(), batch.is_word


class TextualBranch(Branch):
    """A BERT that reads texts; with units it is ME-BERT and channels flow into it: Figure 1(b)."""

    modality = "textual"

    def __init__(self, backbone: TextualBackbone) -> None:
        super().__init__()
        self.backbone: TextualBackbone = backbone
        self.width = backbone.card.width

    def attach(self, spec: UnitSpec, *, channels: int, side: int, external: Frozen | None) -> Self:
        """Add the units of `spec`; `external` may be None when batches bring Z'."""
        for tap in spec.attach:
            self.units[str(tap)] = TextualUnit(
                spec, textual_width=self.width, channels=channels, side=side
            )
        self.external = external
        return self

    def forward(self, batch: Batch) -> Tensor:
        assert batch.tokens is not None and batch.is_word is not None
        maps = frozen_maps(batch, self.external) if self.units else None  # (B, c', h', w')

        def inject(tap: int, words: Tensor) -> Tensor:
            unit = str(tap)
            return self.units[unit](words, maps) if unit in self.units else words

        words = self.backbone(batch.tokens, batch.is_word, inject)  # (B, l, d)
        return self.backbone.pool(words, batch.is_word)


def frozen_maps(batch: Batch, external: Frozen | None) -> Tensor:
    """Z' (B, c', h', w'), out of the batch or else computed by the external encoder."""
    if batch.maps is not None:
        return batch.maps
    assert external is not None, "neither Z' in the batch nor an external encoder"
    assert batch.images is not None
    return external.maps(batch.images).float()


GIVES: Mapping[Modality, str] = {"visual": "words", "textual": "maps"}
"""What the external encoder of a branch gives, by the branch's own modality."""


class Unimodal(Classifier):
    """One branch, dropout and a linear classifier."""

    def __init__(self, branch: Branch, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.branch = branch
        self.head = Head(branch.width, num_classes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.head(self.branch(batch))
        return logits

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {self.branch.modality: self.branch.backbone}

    def units(self) -> Mapping[Modality, nn.ModuleDict]:
        return {self.branch.modality: self.branch.units}

    def externals(self) -> Mapping[str, Frozen]:
        external = self.branch.external
        return {} if external is None else {GIVES[self.branch.modality]: external}
