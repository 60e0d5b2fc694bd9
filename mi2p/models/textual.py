"""Transformer backbones that call `after_block(tap, words) -> words`.

Legend: B batch, l words (word pieces, special tokens counted), d width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    XLNetConfig,
    XLNetModel,
)

from mi2p.backbones import TextualCard, textual_card
from mi2p.models.tokenizers import HashTokenizer
from mi2p.models.visual import AfterBlock, unchanged

TINY_VOCABULARY = 512
"""Word pieces of the tiny backbones, and of their `HashTokenizer`."""


class TextualBackbone(nn.Module, ABC):
    """A transformers encoder from word-piece ids to word features; a tap is a layer's end.

    Words are a prefix of each row: padding is on the right.
    """

    library: ClassVar[Any]
    """The class of transformers that `net` is of."""

    def __init__(self, card: TextualCard, net: Any) -> None:
        super().__init__()
        self.card = card
        self.net = net

    def forward(
        self, tokens: Tensor, is_word: Tensor, after_block: AfterBlock = unchanged
    ) -> Tensor:
        """Features (B, l, d) of tokens (B, l) int64, is_word (B, l) bool."""
        with ExitStack() as hooks:
            # Hooks, because the attention mask of a layer is made inside the library's forward;
            # removed even when the forward raises.
            for tap, layer in enumerate(self.layers(), start=1):

                def call(_m: nn.Module, _i: Any, output: Any, tap: int = tap) -> Any:
                    return self.replaced(output, lambda words: after_block(tap, words))

                hooks.callback(layer.register_forward_hook(call).remove)
            out = self.net(**self.inputs(tokens, is_word))
        # Not `hidden_states`: the library may record those before a hook has changed them.
        words: Tensor = out.last_hidden_state
        return words

    @abstractmethod
    def layers(self) -> Iterable[nn.Module]:
        """The layers of `net` in order."""

    def replaced(self, output: Any, change: Callable[[Tensor], Tensor]) -> Any:
        """A layer's output with `change` applied to the words (B, l, d) in it."""
        if isinstance(output, tuple):  # older versions of transformers
            return (change(output[0]), *output[1:])
        return change(output)

    def inputs(self, tokens: Tensor, is_word: Tensor) -> dict[str, Any]:
        """What `net` is called with."""
        return {"input_ids": tokens, "attention_mask": is_word.long()}

    def pool(self, words: Tensor, is_word: Tensor) -> Tensor:
        """The global feature (B, d) the encoder was pretrained to give."""
        if self.card.pooling == "pooler":
            pooled: Tensor = self.net.pooler(words)
            return pooled
        if self.card.pooling == "mean":
            weight = is_word.unsqueeze(-1).to(words.dtype)  # (B, l, 1)
            return (words * weight).sum(1) / weight.sum(1)
        rows = torch.arange(len(words), device=words.device)
        return words[rows, last_word(is_word)]


def last_word(is_word: Tensor) -> Tensor:
    """Position (B,) int64 of the last word of is_word (B, l), whose words are a prefix."""
    return is_word.sum(1) - 1


class Bert(TextualBackbone):
    """transformers' BERT."""

    library = BertModel

    def __init__(self, card: TextualCard, net: Any) -> None:
        super().__init__(card, net)
        if card.pooling != "pooler":
            net.pooler = None  # never used: it would be a parameter without a gradient

    def layers(self) -> Iterable[nn.Module]:
        layers: nn.ModuleList = self.net.encoder.layer
        return layers


class XLNet(TextualBackbone):
    """transformers' XLNet: relative positions, and the summary token <cls> comes last."""

    library = XLNetModel
    WORDS, SUMMARY, PADDING = 0, 2, 3
    """Segments of the words and <sep> of a text, of <cls>, and of padding, as pretrained."""

    def __init__(self, card: TextualCard, net: Any) -> None:
        super().__init__(card, net)
        net.mask_emb = None  # of words to be predicted in pretraining, never used here

    def layers(self) -> Iterable[nn.Module]:
        layers: nn.ModuleList = self.net.layer
        return layers

    def replaced(self, output: Any, change: Callable[[Tensor], Tensor]) -> Any:
        words, *rest = output  # (l, B, d), then the stream of words to be predicted: None
        return (change(words.transpose(0, 1)).transpose(0, 1), *rest)

    def inputs(self, tokens: Tensor, is_word: Tensor) -> dict[str, Any]:
        segments = torch.full_like(tokens, self.WORDS).masked_fill(~is_word, self.PADDING)
        segments.scatter_(1, last_word(is_word).unsqueeze(1), self.SUMMARY)
        return {
            **super().inputs(tokens, is_word),
            "token_type_ids": segments,
            "use_mems": False,  # copies of all states, for texts longer than one input
        }


class ClipText(TextualBackbone):
    """transformers' text tower of CLIP: causal attention, a layer norm after the last layer."""

    library = CLIPTextModel

    def layers(self) -> Iterable[nn.Module]:
        layers: nn.ModuleList = self.net.encoder.layers
        return layers


FAMILIES: Mapping[str, type[TextualBackbone]] = {"bert": Bert, "xlnet": XLNet, "clip": ClipText}
"""The adapter of each family of cards."""


PUBLISHED_VOCABULARY: Mapping[str, int] = {"bert": 30522, "xlnet": 32000, "clip": 49408}
"""Word pieces of the pretrained backbones, by family."""


def build_textual(name: str) -> TextualBackbone:
    """The backbone called `name` with random weights; `mi2p.models.weights` loads pretrained."""
    card = textual_card(name)
    adapter = FAMILIES[card.family]
    if name.startswith("tiny_"):
        config = small_config(card, vocabulary=TINY_VOCABULARY)
    else:
        config = config_of(
            card, vocabulary=PUBLISHED_VOCABULARY[card.family], inner=4 * card.width
        )
    return adapter(card, adapter.library(config))


def small_config(card: TextualCard, *, vocabulary: int) -> Any:
    """The library's configuration for the sizes of a card, with narrow feed-forward layers."""
    return config_of(card, vocabulary=vocabulary, inner=2 * card.width)


def config_of(card: TextualCard, *, vocabulary: int, inner: int) -> Any:
    """The same with feed-forward layers as wide as `inner`."""
    if card.family == "xlnet":
        return XLNetConfig(
            vocab_size=vocabulary,
            d_model=card.width,
            n_layer=card.num_layers,
            n_head=card.num_heads,
            d_inner=inner,
        )
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": card.width,
        "num_hidden_layers": card.num_layers,
        "num_attention_heads": card.num_heads,
        "intermediate_size": inner,
        "max_position_embeddings": card.max_tokens,
    }
    if card.family == "clip":
        ends = {"bos_token_id": HashTokenizer.CLS, "eos_token_id": HashTokenizer.SEP}
        return CLIPTextConfig(**sizes, **ends, pad_token_id=0)
    return BertConfig(**sizes)
