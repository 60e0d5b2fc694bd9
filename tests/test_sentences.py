"""Words put together from pieces of three kinds of tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertTokenizerFast

from mi2p.models.tokenizers import HashTokenizer, WordPieceTokenizer
from mi2p.models.weights import load_tokenizer
from mi2p.sentences import SPECIAL, sentence

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("res", "##cue", "the", "flood", "##ed", "texans", ",", ".", "don", "'", "t"),
)


@pytest.fixture
def pieces(tmp_path: Path) -> WordPieceTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return WordPieceTokenizer(BertTokenizerFast.from_pretrained(tmp_path))


def test_pieces_of_a_word_by_hand(pieces: WordPieceTokenizer) -> None:
    found = sentence(pieces, "Rescue the flooded, Texans.", 16)
    assert found.pieces == (
        *("[CLS]", "res", "##cue", "the", "flood", "##ed", ",", "texans", ".", "[SEP]"),
    )
    assert found.words == ("Rescue", "the", "flooded", ",", "Texans", ".")
    assert found.word_of == (SPECIAL, 0, 0, 1, 2, 2, 3, 4, 5, SPECIAL)


def test_an_apostrophe_is_inside_a_word(pieces: WordPieceTokenizer) -> None:
    found = sentence(pieces, "don't", 16)
    assert (found.words, found.word_of) == (("don't",), (SPECIAL, 0, 0, 0, SPECIAL))


def test_what_is_cut_off_is_no_word(pieces: WordPieceTokenizer) -> None:
    found = sentence(pieces, "the flooded rescue", 5)
    assert found.pieces == ("[CLS]", "the", "flood", "##ed", "[SEP]")
    assert found.words == ("the", "flooded")
    assert sentence(pieces, "the flooded rescue", 4).words == ("the", "flooded")  # half of it


def test_an_unknown_word_is_one_piece(pieces: WordPieceTokenizer) -> None:
    found = sentence(pieces, "Überflutung the", 16)
    assert found.pieces[1] == "[UNK]" and found.words == ("Überflutung", "the")


@pytest.mark.parametrize("text", ["", "   "])
def test_a_text_without_words(pieces: WordPieceTokenizer, text: str) -> None:
    for tokenizer in (pieces, HashTokenizer(512)):
        found = sentence(tokenizer, text, 8)
        assert found.words == () and found.word_of == (SPECIAL, SPECIAL)


def test_hashed_words() -> None:
    tokenizer = HashTokenizer(512)
    found = sentence(tokenizer, " Red  hats, on tables ", 5)
    assert found.pieces == ("[CLS]", "red", "hats,", "on", "[SEP]")
    assert found.words == ("Red", "hats", "on")  # the comma has no piece of its own
    assert len(found.pieces) == int(tokenizer([" Red  hats, on tables "], 5)[1].sum())


@pytest.mark.weights
def test_the_packaged_tokenizer_gives_as_many_pieces_as_the_model_reads() -> None:
    tokenizer = load_tokenizer("minilm", None)
    for text in ("Thanks to the Texas National Guard \U0001f1e8\U0001f1e6!", "a-b_c", "x" * 300):
        found = sentence(tokenizer, text, 12)
        assert len(found.pieces) == int(tokenizer([text], 12)[1].sum())
        assert [word for word in found.word_of if word != SPECIAL] == sorted(found.word_of)[2:]
