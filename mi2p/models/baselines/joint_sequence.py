"""BERT over one sequence of words and image tokens: what MMBT and PixelBERT have in common.

An image token is a linear map of a feature of the CNN's last map Z'. It stands where a word's
embedding would: BERT adds the embeddings of its position and segment, and normalises the sum. The
two methods differ in what the features are and in how the sequence is laid out.

The feature that is classified is the one the transformer was pretrained to give, here of the
whole sequence: the pooler reads the state of [CLS], which comes first; a mean runs over words and
image tokens alike.

Legend: B batch, l words, d width, c' channels, h x w cells, n places of a sequence, K classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mi2p.model_spec import Modality
from mi2p.models.classifier import Batch, Classifier, Head
from mi2p.models.textual import Bert, TextualBackbone
from mi2p.models.visual import VisualBackbone


class Part(NamedTuple):
    """Neighbouring places of a joint sequence, all of one segment."""

    embedded: Tensor
    """(B, n, d): words or image tokens, still without position and segment"""
    present: Tensor
    """(B, n) bool, False on padding"""
    positions: Tensor
    """(n,) int64"""
    segment: int


class JointBert(Classifier):
    """A CNN whose features are read by BERT together with the words, and a classifier."""

    def __init__(
        self,
        visual: VisualBackbone,
        textual: TextualBackbone,
        num_classes: int,
        *,
        dropout: float,
    ) -> None:
        super().__init__()
        # Other families know neither segments nor positions that can be chosen.
        assert isinstance(textual, Bert), f"not a BERT: {type(textual).__name__}"
        self.visual, self.textual = visual, textual
        self.project = nn.Linear(visual.card.last_channels, textual.card.width)
        self.head = Head(textual.card.width, num_classes, dropout)

    @abstractmethod
    def image_features(self, maps: Tensor) -> Tensor:
        """What becomes image tokens: (B, n, c') of Z' (B, c', h, w)."""

    @abstractmethod
    def sequence(self, image: Tensor, tokens: Tensor, is_word: Tensor) -> Sequence[Part]:
        """The joint sequence of image tokens (B, n, d) and tokens, is_word (B, l)."""

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K)."""
        assert batch.images is not None
        assert batch.tokens is not None and batch.is_word is not None
        image = self.project(self.image_features(self.visual(batch.images)))  # (B, n, d)
        feature = self._encode(self.sequence(image, batch.tokens, batch.is_word))
        logits: Tensor = self.head(feature)
        return logits

    def embedded(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, n, d) of tokens (B, n), without position and segment."""
        embeddings: Tensor = self.textual.net.get_input_embeddings()(tokens)
        return embeddings

    def _encode(self, parts: Sequence[Part]) -> Tensor:
        """The global feature (B, d) of the parts in a row."""
        present = torch.cat([part.present for part in parts], 1)  # (B, n)
        segments = [torch.full_like(part.positions, part.segment) for part in parts]
        out = self.textual.net(
            inputs_embeds=torch.cat([part.embedded for part in parts], 1),  # (B, n, d)
            attention_mask=present.long(),
            position_ids=torch.cat([part.positions for part in parts])[None],  # (1, n)
            token_type_ids=torch.cat(segments)[None],  # (1, n)
        )
        return self.textual.pool(out.last_hidden_state, present)

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {"visual": self.visual, "textual": self.textual}
