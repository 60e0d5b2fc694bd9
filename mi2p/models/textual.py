"""Transformer backbones that call `after_block(tap, words) -> words`, and their tokenizers.

Legend: B batch, l words (word pieces, special tokens counted), d width.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from mi2p.backbones import TextualCard, textual_card
from mi2p.models.visual import AfterBlock, unchanged


class Tokenizer(Protocol):
    """Texts to (N, max_tokens) int64 word-piece ids and a bool mask that is False on padding."""

    def __call__(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]: ...


class TextualBackbone(nn.Module):
    """transformers' BERT from word-piece ids to word features; a tap is the end of a layer."""

    def __init__(self, card: TextualCard, net: BertModel) -> None:
        super().__init__()
        self.card = card
        self.net = net
        if card.pooling == "mean":
            self.net.pooler = None  # never used: it would be a parameter without a gradient

    def forward(
        self, tokens: Tensor, is_word: Tensor, after_block: AfterBlock = unchanged
    ) -> Tensor:
        """Features (B, l, d) of tokens (B, l) int64, is_word (B, l) bool."""
        with ExitStack() as hooks:
            # Hooks, because the attention mask of a layer is made inside the library's forward;
            # removed even when the forward raises. The layer's output is the state itself.
            for tap, layer in enumerate(self.net.encoder.layer, start=1):

                def call(_m: nn.Module, _i: Any, words: Tensor, tap: int = tap) -> Tensor:
                    return after_block(tap, words)

                hooks.callback(layer.register_forward_hook(call).remove)
            out = self.net(input_ids=tokens, attention_mask=is_word.long())
        # Not `hidden_states`: the library records those before a hook has changed them.
        words: Tensor = out.last_hidden_state
        return words

    def pool(self, words: Tensor, is_word: Tensor) -> Tensor:
        """The global feature (B, d) the encoder was pretrained to give."""
        if self.card.pooling == "pooler":
            pooled: Tensor = self.net.pooler(words)
            return pooled
        weight = is_word.unsqueeze(-1).to(words.dtype)  # (B, l, 1)
        return (words * weight).sum(1) / weight.sum(1)


class HashTokenizer:
    """The tiny models' tokenizer: a word's id is a checksum, so no vocabulary file is needed."""

    FIRST, CLS, SEP = 4, 2, 3

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def __call__(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        tokens = torch.zeros(len(texts), max_tokens, dtype=torch.int64)
        for row, text in enumerate(texts):
            ids = [
                self.FIRST + zlib.crc32(word.encode()) % (self.vocabulary - self.FIRST)
                for word in text.lower().split()
            ]
            ids = [self.CLS, *ids[: max_tokens - 2], self.SEP]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens, tokens != 0


class WordPieceTokenizer:
    """A transformers tokenizer, padded to a fixed length on the right."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        encoded = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=max_tokens,
            return_tensors="pt",
        )
        return encoded["input_ids"], encoded["attention_mask"].bool()


TINY_VOCABULARY = 512


def build_textual(name: str) -> TextualBackbone:
    """The tiny random backbone; pretrained ones come from `mi2p.models.weights`."""
    card = textual_card(name)
    config = BertConfig(
        vocab_size=TINY_VOCABULARY,
        hidden_size=card.width,
        num_hidden_layers=card.num_layers,
        num_attention_heads=4,
        intermediate_size=2 * card.width,
        max_position_embeddings=card.max_tokens,
    )
    return TextualBackbone(card, BertModel(config))
