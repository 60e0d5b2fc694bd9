"""What every model is: batches in, logits out, and which of its parameters came from where.

Legend: B batch, K classes, c channels, h x w cells, l words, d width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Self

from torch import Tensor, nn

from mi2p.model_spec import Modality
from mi2p.models.frozen import Frozen


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


class Classifier(nn.Module, ABC):
    """A model of `mi2p.models.MODELS`: `forward` gives logits (B, K) of a `Batch`.

    Fused predictions are logits, too: their softmax (or sigmoid, when several labels may hold)
    are the probabilities.
    """

    @abstractmethod
    def backbones(self) -> Mapping[Modality, nn.Module]:
        """The pretrained networks that are trained.

        Where a network has parameters that no pretrained file had, its `drawn` names them.
        """

    def units(self) -> Mapping[Modality, nn.ModuleDict]:
        """MI2P units by the modality of the backbone they sit in, keyed by their tap."""
        return {}

    def externals(self) -> Mapping[str, Frozen]:
        """The frozen encoders it carries, by what they give: `words` (T') or `maps` (Z')."""
        return {}

    def supervised(self, batch: Batch) -> tuple[Tensor, ...]:
        """The logits (B, K) whose losses are summed in training; by default the prediction's.

        A wrapper that listens to `forward`, such as torch's DistributedDataParallel, must be put
        around a module that has this as its `forward`.
        """
        return (self(batch),)

    def pretrained_parameters(self, modality: Modality) -> Iterator[nn.Parameter]:
        """Those of a trained backbone that a pretrained file had."""
        backbone = self.backbones()[modality]
        drawn = drawn_in(backbone)
        yield from (p for name, p in backbone.named_parameters() if name not in drawn)

    def added_parameters(self) -> Iterator[nn.Parameter]:
        """What the pretrained backbones lack: units, head, fusion."""
        pretrained = {id(p) for m in self.backbones() for p in self.pretrained_parameters(m)}
        yield from (p for p in self.trained_parameters() if id(p) not in pretrained)

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter but those of the frozen encoders."""
        yield from (p for p in self.parameters() if p.requires_grad)

    def trained_state(self) -> dict[str, Tensor]:
        """The state dict without the frozen encoders, which never change."""
        return {k: v for k, v in self.state_dict().items() if not is_external(k)}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `trained_state`; a missing or unknown name raises `RuntimeError`."""
        missing, unexpected = self.load_state_dict(state, strict=False)
        missing = [name for name in missing if not is_external(name)]
        if missing or unexpected:
            raise RuntimeError(f"state does not fit: {missing=}, {unexpected=}")


class Head(nn.Module):
    """Dropout and a linear classifier: features (B, width) to logits (B, K)."""

    def __init__(self, width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, feature: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(feature))
        return logits


def is_external(name: str) -> bool:
    """Whether a name of a state dict is that of a frozen encoder's value."""
    return "external" in name.split(".")


def drawn_in(backbone: nn.Module) -> frozenset[str]:
    """Names of the backbone's state that were drawn at random, not read from a file."""
    drawn: frozenset[str] = getattr(backbone, "drawn", frozenset())
    return drawn
