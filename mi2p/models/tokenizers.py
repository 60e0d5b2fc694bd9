"""Tokenizers: texts to word-piece ids of a fixed length, padded on the right."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import torch
import transformers
from torch import Tensor


class Tokenizer(Protocol):
    """Texts to (N, max_tokens) int64 word-piece ids and a bool mask that is False on padding."""

    @property
    def fingerprint(self) -> str:
        """Names vocabulary and rules: stores of token ids are keyed with it."""
        ...

    def __call__(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]: ...


class HashTokenizer:
    """The tiny models' tokenizer: a word's id is a checksum, so no vocabulary file is needed."""

    FIRST, CLS, SEP = 4, 2, 3

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    @property
    def fingerprint(self) -> str:
        return f"crc32-{self.vocabulary}"

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
        # XLNet's own side is the left; there as here the mask hides what is padded, and relative
        # positions do not see the side. Words on a prefix let a batch cut its padding.
        tokenizer.padding_side = tokenizer.truncation_side = "right"

    @property
    def fingerprint(self) -> str:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            rules = {"vocabulary": sorted(self.tokenizer.get_vocab().items())}
        else:
            # All but what every call sets anew.
            rules = json.loads(backend.to_str())
            rules = {k: v for k, v in rules.items() if k not in ("padding", "truncation")}
        told = json.dumps([transformers.__version__, rules], sort_keys=True)
        kind = type(self.tokenizer).__name__
        return f"{kind}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def __call__(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        encoded = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=max_tokens,
            return_tensors="pt",
        )
        return encoded["input_ids"], encoded["attention_mask"].bool()
