"""Words of a text, put together again from the word pieces that a transformer reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mi2p.models.tokenizers import Tokenizer

SPECIAL = -1
"""The word of a piece that belongs to none: [CLS], [SEP]."""
_WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}]\w+)*|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A text as a transformer reads it; what is cut off at its end is no part of it."""

    text: str
    pieces: tuple[str, ...]
    """As the vocabulary has them, [CLS] and [SEP] among them."""
    words: tuple[str, ...]
    """As the text has them: letters and digits, or a single other sign."""
    word_of: tuple[int, ...]
    """Of each piece the index of its word, or `SPECIAL`."""


def sentence(tokenizer: Tokenizer, text: str, max_tokens: int) -> Sentence:
    """`text` as the model of `tokenizer` reads at most `max_tokens` pieces of it.

    A piece is part of the first word of which it has a character.
    """
    pieces, spans = _pieces(tokenizer, text, max_tokens)
    words = [match.span() for match in _WORD.finditer(text)]
    belongs = [_word_of(span, words) for span in spans]
    kept = sorted({word for word in belongs if word != SPECIAL})
    place = {word: index for index, word in enumerate(kept)} | {SPECIAL: SPECIAL}
    return Sentence(
        text=text,
        pieces=tuple(pieces),
        words=tuple(text[slice(*words[word])] for word in kept),
        word_of=tuple(place[word] for word in belongs),
    )


def _word_of(span: tuple[int, int], words: Sequence[tuple[int, int]]) -> int:
    start, end = span
    found = (i for i, (first, last) in enumerate(words) if first < end and start < last)
    return next(found, SPECIAL)


def _pieces(
    tokenizer: Tokenizer, text: str, max_tokens: int
) -> tuple[list[str], list[tuple[int, int]]]:
    """The pieces and the characters that each stands for, none for special ones."""
    from mi2p.models.tokenizers import HashTokenizer, WordPieceTokenizer

    if isinstance(tokenizer, HashTokenizer):
        found = list(re.finditer(r"\S+", text))[: max_tokens - 2]
        inner = [match[0].lower() for match in found]
        return ["[CLS]", *inner, "[SEP]"], [(0, 0), *(m.span() for m in found), (0, 0)]
    assert isinstance(tokenizer, WordPieceTokenizer)
    encoded = tokenizer.tokenizer(
        text, truncation=True, max_length=max_tokens, return_offsets_mapping=True
    )
    pieces = tokenizer.tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    return pieces, [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
