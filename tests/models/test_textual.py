"""Transformer backbones: the contract of `after_block`, the library's forward, tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizerFast

from mi2p.backbones import TEXTUAL, TextualCard
from mi2p.models.textual import (
    HashTokenizer,
    TextualBackbone,
    WordPieceTokenizer,
    build_textual,
)

LENGTHS = (7, 4, 2)


def backbone_of(name: str) -> TextualBackbone:
    """The card's network with random weights and next to no vocabulary."""
    torch.manual_seed(0)
    card = TEXTUAL[name]
    if name.startswith("tiny_"):
        return build_textual(name).eval()
    config = BertConfig(
        vocab_size=64,
        hidden_size=card.width,
        num_hidden_layers=card.num_layers,
        num_attention_heads=card.num_heads,
        intermediate_size=32,
        max_position_embeddings=card.max_tokens,
    )
    return TextualBackbone(card, BertModel(config)).eval()


def texts() -> tuple[Tensor, Tensor]:
    is_word = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 64, is_word.shape, generator=generator)
    return tokens * is_word, is_word


def hooks_of(backbone: TextualBackbone) -> int:
    return sum(len(module._forward_hooks) for module in backbone.modules())


@pytest.mark.parametrize("name", TEXTUAL)
def test_identity_is_the_library(name: str) -> None:
    backbone, (tokens, is_word) = backbone_of(name), texts()
    with torch.no_grad():
        library = backbone.net(input_ids=tokens, attention_mask=is_word.long())
        assert torch.equal(backbone(tokens, is_word), library.last_hidden_state)
        identity = backbone(tokens, is_word, lambda tap, words: words)
    assert torch.equal(identity, library.last_hidden_state)


@pytest.mark.parametrize("name", TEXTUAL)
def test_taps_are_as_declared_and_called_once_in_order(name: str) -> None:
    backbone, card, (tokens, is_word) = backbone_of(name), TEXTUAL[name], texts()
    seen: list[int] = []
    states: list[Tensor] = []

    def record(tap: int, words: Tensor) -> Tensor:
        assert words.shape == (3, 7, card.width)
        seen.append(tap)
        states.append(words)
        return words

    with torch.no_grad():
        last = backbone(tokens, is_word, record)
        library = backbone.net(
            input_ids=tokens, attention_mask=is_word.long(), output_hidden_states=True
        )
    assert seen == list(range(1, card.num_taps + 1)) == list(range(1, card.num_layers + 1))
    # Tap i is the end of layer i; entry 0 of the library's list is the embedding.
    for state, expected in zip(states, library.hidden_states[1:], strict=True):
        assert torch.equal(state, expected)
    assert torch.equal(states[-1], last)


def test_what_is_returned_flows_on_and_gets_gradients() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_bert"), texts()
    added = [torch.zeros(48, requires_grad=True) for _ in range(3)]
    result = backbone(tokens, is_word, lambda tap, words: words + added[tap - 1])
    gradients = torch.autograd.grad((result * torch.randn_like(result)).sum(), added)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    with torch.no_grad():
        unchanged = backbone(tokens, is_word)
        noise = torch.randn(48)
        for tap in (1, 2, 3):
            moved = backbone(
                tokens, is_word, lambda at, words, tap=tap: words + noise * (at == tap)
            )
            assert not torch.equal(moved, unchanged), tap
        # Behind the last layer nothing comes: there it is exactly the sum.
        assert torch.equal(moved, unchanged + noise)


def test_no_hook_is_left_behind() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_bert"), texts()
    before = hooks_of(backbone)
    backbone(tokens, is_word)
    assert hooks_of(backbone) == before

    def fails(tap: int, words: Tensor) -> Tensor:
        if tap == 2:
            raise KeyboardInterrupt
        return words

    with pytest.raises(KeyboardInterrupt):
        backbone(tokens, is_word, fails)
    assert hooks_of(backbone) == before
    with torch.no_grad():
        expected = backbone.net(input_ids=tokens, attention_mask=is_word.long())
        assert torch.equal(backbone(tokens, is_word), expected.last_hidden_state)


def test_padding_does_not_change_words() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_bert"), texts()
    with torch.no_grad():
        padded = backbone(tokens, is_word)
        for row, length in enumerate(LENGTHS):
            alone = backbone(tokens[[row], :length], is_word[[row], :length])
            torch.testing.assert_close(padded[[row], :length], alone, atol=1e-5, rtol=0)
            torch.testing.assert_close(
                backbone.pool(padded[[row]], is_word[[row]]),
                backbone.pool(alone, is_word[[row], :length]),
                atol=1e-5,
                rtol=0,
            )


def test_pooling_is_that_of_the_card() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_bert"), texts()
    assert TEXTUAL["tiny_bert"].pooling == "pooler"
    with torch.no_grad():
        out = backbone.net(input_ids=tokens, attention_mask=is_word.long())
        assert torch.equal(backbone.pool(out.last_hidden_state, is_word), out.pooler_output)
        dense = backbone.net.pooler.dense
        by_hand = torch.tanh(out.last_hidden_state[:, 0] @ dense.weight.T + dense.bias)
    torch.testing.assert_close(out.pooler_output, by_hand)


def test_mean_pooling_by_hand_and_without_a_dead_pooler() -> None:
    card = TextualCard(title="toy", num_layers=1, num_heads=1, width=4, pooling="mean")
    config = BertConfig(
        vocab_size=8,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
    )
    backbone = TextualBackbone(card, BertModel(config))
    words = torch.tensor([[[1.0] * 4, [3.0] * 4, [99.0] * 4]])
    pooled = backbone.pool(words, torch.tensor([[True, True, False]]))
    assert pooled.tolist() == [[2.0] * 4]
    assert not [name for name, _ in backbone.named_parameters() if "pooler" in name]


def test_the_tiny_card_is_what_is_built() -> None:
    card, config = TEXTUAL["tiny_bert"], build_textual("tiny_bert").net.config
    assert (card.width, card.num_layers) == (config.hidden_size, config.num_hidden_layers)
    assert (card.num_heads, card.max_tokens) == (
        config.num_attention_heads,
        config.max_position_embeddings,
    )
    with pytest.raises(ValueError, match="unknown textual backbone 'x'; known: bert-base"):
        build_textual("x")


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
