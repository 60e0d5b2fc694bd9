"""Tokenizers: fixed lengths, padding on the right, special tokens that survive truncation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertTokenizerFast, CLIPTokenizer, XLNetTokenizer

from mi2p.models.tokenizers import HashTokenizer, WordPieceTokenizer

HASHED = HashTokenizer(512)


def test_hashed_words_are_padded_on_the_right() -> None:
    tokens, is_word = HASHED(["a red hat", ""], 7)
    assert tokens.dtype == torch.int64
    assert tokens.shape == is_word.shape == (2, 7)
    assert is_word.tolist() == [[True] * 5 + [False] * 2, [True] * 2 + [False] * 5]
    assert tokens[0, 0] == tokens[1, 0] == HashTokenizer.CLS
    assert tokens[0, 4] == tokens[1, 1] == HashTokenizer.SEP
    assert tokens[~is_word].tolist() == [0] * 7
    # Words never take the ids of special tokens.
    assert all(HashTokenizer.FIRST <= int(token) < 512 for token in tokens[0, 1:4])


def test_truncation_keeps_the_separator() -> None:
    long, is_word = HASHED(["a red hat on a table"], 5)
    whole, _ = HASHED(["a red hat"], 5)
    assert torch.equal(long, whole)  # CLS, three words, SEP: the rest is cut
    assert is_word.all()
    assert HASHED(["a red hat"], 3)[0][0, [0, 2]].tolist() == [2, 3]


def test_ids_depend_on_the_word_alone() -> None:
    # And not on the process: Python's own hash of a string would.
    tokens, _ = HASHED(["Red hat", "hat  RED"], 5)
    assert tokens[0, 1] == tokens[1, 2] and tokens[0, 2] == tokens[1, 1]
    assert tokens[0, 1] != tokens[0, 2]
    assert tokens[0, 1] == 4 + 0xFA615F8F % 508  # the CRC-32 of "red"


@pytest.fixture
def word_pieces(tmp_path: Path) -> WordPieceTokenizer:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "hat", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return WordPieceTokenizer(BertTokenizerFast.from_pretrained(tmp_path))


def test_word_pieces_are_padded_on_the_right(word_pieces: WordPieceTokenizer) -> None:
    tokens, is_word = word_pieces(["Red hats", "x", ""], 6)
    assert tokens.tolist() == [[2, 5, 6, 7, 3, 0], [2, 1, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0]]
    assert is_word.dtype == torch.bool
    assert is_word.sum(1).tolist() == [5, 3, 2]


def test_word_pieces_truncated_keep_the_separator(word_pieces: WordPieceTokenizer) -> None:
    tokens, is_word = word_pieces(("red hats red hats",), 4)
    assert tokens.tolist() == [[2, 5, 6, 3]]
    assert is_word.all()


def test_xlnets_words_are_a_prefix_and_its_summary_token_is_the_last_of_them() -> None:
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        "<cls>",
        "<sep>",
        "<pad>",
        "<mask>",
        "\u2581red",
        "\u2581hat",
    ]
    library = XLNetTokenizer(vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)])
    assert library.padding_side == "left"
    tokens, is_word = WordPieceTokenizer(library)(["red hat", "hat red hat red hat", ""], 6)
    assert tokens.tolist() == [[7, 8, 4, 3, 5, 5], [8, 7, 8, 7, 4, 3], [4, 3, 5, 5, 5, 5]]
    assert is_word.sum(1).tolist() == [4, 6, 2]
    assert torch.equal(is_word, is_word.cummin(1).values)  # a prefix


def test_clips_padding_is_told_from_its_end_of_text(tmp_path: Path) -> None:
    # It pads with the token that ends a text.
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    library = CLIPTokenizer.from_pretrained(tmp_path)
    tokens, is_word = WordPieceTokenizer(library)(["a b", "a b a b a b", ""], 5)
    assert tokens.tolist() == [[0, 2, 3, 1, 1], [0, 2, 3, 2, 1], [0, 1, 1, 1, 1]]
    assert is_word.sum(1).tolist() == [4, 5, 2]


def test_a_fingerprint_names_the_vocabulary() -> None:
    assert HashTokenizer(512).fingerprint != HashTokenizer(256).fingerprint
    pieces = [("<unk>", 0.0), ("<sep>", 0.0), ("<cls>", 0.0), ("<pad>", 0.0), ("\u2581red", -1.0)]
    one, same, other = (
        WordPieceTokenizer(XLNetTokenizer(vocab=vocabulary))
        for vocabulary in (pieces, pieces, [*pieces, ("\u2581hat", -1.0)])
    )
    before = one.fingerprint
    one(["red"], 4)  # what it has read leaves no trace
    assert before == one.fingerprint == same.fingerprint != other.fingerprint


def test_a_fingerprint_names_the_rules_too() -> None:
    # A folder whose tokenizer was repaired must not read the ids that it gave before.
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hat"]
    vocabulary = {word: i for i, word in enumerate(words)}
    lower, cased = (
        WordPieceTokenizer(BertTokenizerFast(vocab=vocabulary, do_lower_case=lower))
        for lower in (True, False)
    )
    assert lower(["Hat"], 4)[0].tolist() != cased(["Hat"], 4)[0].tolist()
    assert lower.fingerprint != cased.fingerprint
