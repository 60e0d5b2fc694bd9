"""Unimodal classifiers and their multimodal expansions ME-CNN and ME-BERT (section 3, Figure 1).

Legend: B batch, c channels, h x w cells, l words, d width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Self

from torch import Tensor, nn

from mi2p.models.frozen import Frozen
from mi2p.models.injection import TextualUnit, VisualUnit
from mi2p.models.textual import TextualBackbone
from mi2p.models.visual import VisualBackbone, unchanged
from mi2p.spec import UnitSpec

EXTERNAL = "external."
"""Prefix of the frozen encoder's names in a model's state dict."""


@dataclass(kw_only=True, slots=True)
class Batch:
    """What a model reads; a model takes what it needs and leaves the rest None."""

    images: Tensor | None = None
    """(B, 3, S, S) uint8"""
    tokens: Tensor | None = None
    """(B, l) int64 word-piece ids"""
    is_word: Tensor | None = None
    """(B, l) bool, False on padding"""
    words: Tensor | None = None
    """T' (B, l, d): the frozen textual encoder's features, where a store has them"""
    maps: Tensor | None = None
    """Z' (B, c', h', w'): the frozen visual encoder's last map, where a store has it"""
    labels: Tensor | None = None
    """(B,) int64, or (B, K) float when several labels may hold"""

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A batch with `change` applied to every tensor that is there."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: None if v is None else change(v) for k, v in values.items()})


class Classifier(nn.Module):
    """A trained backbone, units at some of its taps, dropout and a linear head."""

    units: nn.ModuleDict
    head: nn.Linear
    external: Frozen | None

    def __init__(self, width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)
        self.units = nn.ModuleDict()
        self.external = None

    def classify(self, feature: Tensor) -> Tensor:
        """Logits (B, K) of a global feature (B, width)."""
        logits: Tensor = self.head(self.dropout(feature))
        return logits

    def added_parameters(self) -> Iterator[nn.Parameter]:
        """What the pretrained backbone lacks: units and head."""
        yield from self.units.parameters()
        yield from self.head.parameters()

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter but those of the external encoder."""
        yield from (p for p in self.parameters() if p.requires_grad)

    def trained_state(self) -> dict[str, Tensor]:
        """The state dict without the external encoder, which never changes."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith(EXTERNAL)}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `trained_state`; a missing or unknown name raises `RuntimeError`."""
        missing, unexpected = self.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith(EXTERNAL)]
        if missing or unexpected:
            raise RuntimeError(f"state does not fit: {missing=}, {unexpected=}")


class VisualClassifier(Classifier):
    """A CNN that reads images; with units it is ME-CNN and words flow into it: Figure 1(a)."""

    def __init__(self, backbone: VisualBackbone, num_classes: int, dropout: float) -> None:
        super().__init__(backbone.card.last_channels, num_classes, dropout)
        self.backbone = backbone

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
        """Logits (B, K)."""
        assert batch.images is not None
        if not self.units:
            return self.classify(self.backbone.pool(self.backbone(batch.images, unchanged)))
        words, is_word = self._external_words(batch)  # (B, l, d), (B, l)

        def inject(tap: int, maps: Tensor) -> Tensor:
            unit = str(tap)
            return self.units[unit](maps, words, is_word) if unit in self.units else maps

        return self.classify(self.backbone.pool(self.backbone(batch.images, inject)))

    def _external_words(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.is_word is not None
        if batch.words is not None:
            return batch.words, batch.is_word
        assert self.external is not None, "neither T' in the batch nor an external encoder"
        assert batch.tokens is not None
        return self.external.words(batch.tokens, batch.is_word).float(), batch.is_word


class TextualClassifier(Classifier):
    """A BERT that reads texts; with units it is ME-BERT and channels flow into it: Figure 1(b)."""

    def __init__(self, backbone: TextualBackbone, num_classes: int, dropout: float) -> None:
        super().__init__(backbone.card.width, num_classes, dropout)
        self.backbone = backbone

    def attach(self, spec: UnitSpec, *, channels: int, side: int, external: Frozen | None) -> Self:
        """Add the units of `spec`; `external` may be None when batches bring Z'."""
        for tap in spec.attach:
            self.units[str(tap)] = TextualUnit(
                spec, textual_width=self.backbone.card.width, channels=channels, side=side
            )
        self.external = external
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K)."""
        assert batch.tokens is not None and batch.is_word is not None
        maps = self._external_maps(batch) if self.units else None  # (B, c', h', w')

        def inject(tap: int, words: Tensor) -> Tensor:
            unit = str(tap)
            return self.units[unit](words, maps) if unit in self.units else words

        words = self.backbone(batch.tokens, batch.is_word, inject)  # (B, l, d)
        return self.classify(self.backbone.pool(words, batch.is_word))

    def _external_maps(self, batch: Batch) -> Tensor:
        if batch.maps is not None:
            return batch.maps
        assert self.external is not None, "neither Z' in the batch nor an external encoder"
        assert batch.images is not None
        return self.external.maps(batch.images).float()
