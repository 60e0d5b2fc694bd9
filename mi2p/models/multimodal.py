"""Transformers that read words and visual tokens as one sequence, around the library's networks.

Legend: B batch, l words, d width, c' channels, h' x w' cells, S image side, p x p patches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ViltModel, VisualBertModel

from mi2p.backbones import TextualCard


class MultimodalBackbone(nn.Module, ABC):
    """A transformers encoder of words, then visual tokens: `forward` gives (B, d) features.

    `drawn` names the entries of its state that were drawn at random: no file has values for them.
    """

    library: ClassVar[Any]
    """The class of transformers that `net` is of."""

    def __init__(self, card: TextualCard, net: Any, drawn: Iterable[str] = ()) -> None:
        """`drawn` has names of `net`'s own state."""
        super().__init__()
        self.card = card
        self.net = net
        self.drawn = frozenset(f"net.{name}" for name in drawn)

    @abstractmethod
    def forward(self, tokens: Tensor, is_word: Tensor, seen: Tensor) -> Tensor:
        """The global feature (B, d) of tokens (B, l) int64, is_word (B, l) bool and a picture."""


class VisualBertBackbone(MultimodalBackbone):
    """transformers' VisualBERT on a CNN's map Z', whose cells stand for a detector's regions."""

    library = VisualBertModel

    def __init__(self, card: TextualCard, net: Any, drawn: Iterable[str] = ()) -> None:
        super().__init__(card, net, drawn)
        if card.pooling != "pooler":
            net.pooler = None  # never used: it would be a parameter without a gradient
        # Regions that are aligned with no word are all at position 0, as in the original code.
        # Nothing would read the other rows.
        first = net.embeddings.visual_position_embeddings.weight.detach()[:1].clone()
        net.embeddings.visual_position_embeddings = nn.Embedding.from_pretrained(
            first, freeze=False
        )

    def forward(self, tokens: Tensor, is_word: Tensor, seen: Tensor) -> Tensor:
        """Of maps Z' (B, c', h', w'); pooled as the card says, the mean over words and cells."""
        cells = seen.flatten(2).transpose(1, 2)  # (B, h'w', c')
        is_cell = is_word.new_ones(cells.shape[:2])  # (B, h'w')
        out = self.net(
            input_ids=tokens,
            attention_mask=is_word.long(),
            visual_embeds=cells,
            visual_attention_mask=is_cell.long(),
            visual_token_type_ids=is_cell.long(),
        )
        if self.net.pooler is not None:
            pooled: Tensor = out.pooler_output
            return pooled
        states = out.last_hidden_state  # (B, l + h'w', d)
        weight = torch.cat([is_word, is_cell], 1).unsqueeze(-1).to(states.dtype)
        mean: Tensor = (states * weight).sum(1) / weight.sum(1)
        return mean


class ViltBackbone(MultimodalBackbone):
    """transformers' ViLT, which reads patches of pixels without a CNN."""

    library = ViltModel
    MEAN, STD = 0.5, 0.5
    """Of all three colours."""

    def forward(self, tokens: Tensor, is_word: Tensor, seen: Tensor) -> Tensor:
        """Of images (B, 3, S, S) uint8; its pooler's output."""
        patches = self._patches((seen.float() / 255 - self.MEAN) / self.STD)  # (B, 1 + pp, d)
        out = self.net(
            input_ids=tokens,
            attention_mask=is_word.long(),
            image_embeds=patches,
            pixel_mask=is_word.new_ones(patches.shape[:2]).long(),
        )
        pooled: Tensor = out.pooler_output
        return pooled

    def _patches(self, pixels: Tensor) -> Tensor:
        """The image's own [CLS] and its patches, with positions for their grid.

        As the library embeds them, but in their order. It shuffles them for each image with the
        global random state, in evaluation as well; the sums in its layers then differ in their
        last bits from call to call.
        """
        embeddings = self.net.embeddings
        patches = embeddings.patch_embeddings(pixels)  # (B, d, p, p)
        first, rest = embeddings.position_embeddings.tensor_split([1], dim=1)
        side = embeddings.config.image_size // embeddings.config.patch_size
        grid = rest.transpose(1, 2).unflatten(2, (side, side))  # (1, d, side, side)
        grid = F.interpolate(grid, patches.shape[-2:], mode="bilinear", align_corners=True)
        rows = (patches + grid).flatten(2).transpose(1, 2)  # (B, pp, d)
        start = (embeddings.cls_token + first).expand(len(rows), -1, -1)  # (B, 1, d)
        out: Tensor = embeddings.dropout(torch.cat([start, rows], 1))
        return out


MULTIMODAL_FAMILIES: Mapping[str, type[MultimodalBackbone]] = {
    "visualbert": VisualBertBackbone,
    "vilt": ViltBackbone,
}
"""The adapter of each family of cards in `mi2p.backbones.MULTIMODAL`."""
