"""CentralNet: Vielzeuf et al., "CentralNet: a Multilayer Approach for Multimodal Fusion", 2018.

Beside a visual and a textual network runs a central one. Its layer l reads what it has so far and
the hidden features of both at that depth:

    h_C^{l+1} = op_l(a_C^l h_C^l + a_v^l h_v^l + a_t^l h_t^l),    l = 1 to L

with learned scalars a. There is no h_C^1. The loss is the sum of the losses of three classifiers,
on h_C^{L+1} and on the global features of the two networks; the first one's logits are the
prediction.

Decided here, for the paper's networks were small and trained from scratch:

* L = 4 levels: a CNN's four taps, a transformer's layers at the quarters of its depth, rounded up
  (3, 6, 9, 12 of 12; a layer is read twice where there are fewer than four).
* h_v^l is a linear map, to 512 values, of the mean over the cells of a tap's map. h_t^l is one of
  a summary of a layer's words: of what the pretrained global feature is made of. That is the first
  word where a pooler reads it (BERT; the pooler itself is for the last layer), the mean of the
  words where that is the feature (MiniLM), and the last word where its state is (XLNet, CLIP).
* op_l is a linear map from 512 to 512 and a ReLU. The scalars start uniform in [0, 1), as in the
  code of Perez-Rua et al., "MFAS: Multimodal Fusion Architecture Search", who compare with
  CentralNet.
* The three losses have the same weight. Training is that of all methods (section 4.2).

Legend: B batch, c channels, h x w cells, l words, d width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.model_spec import Modality
from mi2p.models.classifier import Batch, Classifier, Head
from mi2p.models.textual import TextualBackbone
from mi2p.models.visual import VisualBackbone

WIDTH = 512
"""Of the central network."""


class Level(nn.Module):
    """One layer of the central network."""

    def __init__(self, channels: int, textual_width: int, *, first: bool) -> None:
        super().__init__()
        self.visual = nn.Linear(channels, WIDTH)
        self.textual = nn.Linear(textual_width, WIDTH)
        self.scalars = nn.Parameter(torch.rand(2 if first else 3))  # a_v, a_t, a_C
        self.operation = nn.Linear(WIDTH, WIDTH)

    def forward(self, v: Tensor, t: Tensor, central: Tensor | None) -> Tensor:
        """The central features (B, 512) of v (B, c), t (B, d) and those of the level before."""
        heard = [self.visual(v), self.textual(t)]  # (B, 512) each
        if central is not None:
            heard.append(central)
        weighted = [a * h for a, h in zip(self.scalars, heard, strict=True)]
        return F.relu(self.operation(torch.stack(weighted).sum(0)))


class CentralNet(Classifier):
    """A CNN, a transformer, and the central network between them."""

    def __init__(
        self,
        visual: VisualBackbone,
        textual: TextualBackbone,
        num_classes: int,
        *,
        dropout: float,
    ) -> None:
        super().__init__()
        self.visual, self.textual = visual, textual
        channels, width = visual.card.tap_channels, textual.card.width
        self.textual_taps = quarters(textual.card.num_taps)
        self.levels = nn.ModuleList(
            Level(c, width, first=index == 0) for index, c in enumerate(channels)
        )
        self.central_head = Head(WIDTH, num_classes, dropout)
        self.visual_head = Head(visual.card.last_channels, num_classes, dropout)
        self.textual_head = Head(width, num_classes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K) of the central network."""
        return self.supervised(batch)[0]

    def supervised(self, batch: Batch) -> tuple[Tensor, ...]:
        """The logits (B, K) of the central, the visual and the textual network."""
        v, visual_states = self._visual(batch)
        t, textual_states = self._textual(batch)
        central = None
        for level, *states in zip(self.levels, visual_states, textual_states, strict=True):
            central = level(*states, central)  # (B, 512)
        return self.central_head(central), self.visual_head(v), self.textual_head(t)

    def _visual(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The global feature (B, c'), and the means (B, c) of the maps at the levels."""
        assert batch.images is not None
        means: list[Tensor] = []

        def keep(tap: int, maps: Tensor) -> Tensor:
            means.append(self.visual.pool(maps))
            return maps

        return self.visual.pool(self.visual(batch.images, keep)), means

    def _textual(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The global feature (B, d), and the summaries (B, d) of the words at the levels."""
        assert batch.tokens is not None and batch.is_word is not None
        is_word = batch.is_word
        summaries: dict[int, Tensor] = {}

        def keep(tap: int, words: Tensor) -> Tensor:
            if tap in self.textual_taps:
                summaries[tap] = summary(self.textual, words, is_word)
            return words

        words = self.textual(batch.tokens, is_word, keep)  # (B, l, d)
        levels = [summaries[tap] for tap in self.textual_taps]
        return self.textual.pool(words, is_word), levels

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {"visual": self.visual, "textual": self.textual}


def quarters(num_taps: int) -> tuple[int, ...]:
    """The taps, from 1, at the four quarters of a network's depth, rounded up."""
    return tuple(-(-num_taps * quarter // 4) for quarter in (1, 2, 3, 4))


def summary(textual: TextualBackbone, words: Tensor, is_word: Tensor) -> Tensor:
    """What a layer's words (B, l, d) say in (B, d): what the global feature is made of."""
    if textual.card.pooling == "pooler":
        return words[:, 0]
    return textual.pool(words, is_word)
