"""Transformer backbones: the contract of `after_block`, the library's forward, pooling."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from mi2p.backbones import TEXTUAL, TextualCard
from mi2p.models.textual import (
    FAMILIES,
    TINY_VOCABULARY,
    Bert,
    ClipText,
    TextualBackbone,
    XLNet,
    build_textual,
    last_word,
    small_config,
)

LENGTHS = (7, 4, 2)
TINY = ["tiny_bert", "tiny_xlnet", "tiny_clip_text"]


@cache
def backbone_of(name: str) -> TextualBackbone:
    """The card's network with random weights and next to no vocabulary."""
    torch.manual_seed(0)
    if name in TINY:
        return build_textual(name).eval()
    adapter = FAMILIES[TEXTUAL[name].family]
    config = small_config(TEXTUAL[name], vocabulary=64)
    return adapter(TEXTUAL[name], adapter.library(config)).eval()


def texts() -> tuple[Tensor, Tensor]:
    """Ids from 4, each text closed by the end of text, 3: no other has that id."""
    is_word = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, 64, is_word.shape, generator=generator)
    tokens[range(len(LENGTHS)), last_word(is_word)] = 3
    return tokens * is_word, is_word


def library_of(backbone: TextualBackbone, tokens: Tensor, is_word: Tensor, **options: Any) -> Any:
    """The library's own forward, called as its documentation has it."""
    if isinstance(backbone, XLNet):  # its tokenizer gives the segment of <cls>
        segments = [[0] * (length - 1) + [2] + [3] * (7 - length) for length in LENGTHS]
        options["token_type_ids"] = torch.tensor(segments)
    return backbone.net(input_ids=tokens, attention_mask=is_word.long(), **options)


def hooks_of(backbone: TextualBackbone) -> int:
    return sum(len(module._forward_hooks) for module in backbone.modules())


@pytest.mark.parametrize("name", TEXTUAL)
def test_identity_is_the_library(name: str) -> None:
    backbone, (tokens, is_word) = backbone_of(name), texts()
    with torch.no_grad():
        library = library_of(backbone, tokens, is_word)
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
        library = library_of(backbone, tokens, is_word, output_hidden_states=True)
    assert seen == list(range(1, card.num_taps + 1)) == list(range(1, card.num_layers + 1))
    # Tap i is the end of layer i; entry 0 of the library's list is the embedding.
    for state, expected in zip(states, library.hidden_states[1:], strict=True):
        assert torch.equal(state, expected)
    if isinstance(backbone, ClipText):  # a norm is still to come
        states.append(backbone.net.final_layer_norm(states[-1]))
    assert torch.equal(states[-1], last)


@pytest.mark.parametrize("name", TINY)
def test_what_is_returned_flows_on_and_gets_gradients(name: str) -> None:
    backbone, (tokens, is_word) = backbone_of(name), texts()
    added = [torch.zeros(48, requires_grad=True) for _ in range(3)]
    result = backbone(tokens, is_word, lambda tap, words: words + added[tap - 1])
    gradients = torch.autograd.grad((result * torch.randn_like(result)).sum(), added)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    with torch.no_grad():
        unchanged = backbone(tokens, is_word)
        noise = torch.randn(48)
        states: dict[int, Tensor] = {}
        for tap in (1, 2, 3):

            def move(at: int, words: Tensor, tap: int = tap) -> Tensor:
                states[at] = words + noise * (at == tap)
                return states[at]

            moved = backbone(tokens, is_word, move)
            assert not torch.equal(moved, unchanged), tap
        # Behind the last layer nothing comes, or the norm: there it is exactly the sum.
        end = backbone.net.final_layer_norm if isinstance(backbone, ClipText) else torch.clone
        assert torch.equal(moved, end(states[3]))


@pytest.mark.parametrize("name", TINY)
def test_a_change_of_one_text_stays_in_it(name: str) -> None:
    # The words that a unit sees are batch-major, whatever the library's order.
    backbone, (tokens, is_word) = backbone_of(name), texts()

    def first_text(tap: int, words: Tensor) -> Tensor:
        return words + torch.arange(48.0) * (torch.arange(3) == 0)[:, None, None]

    with torch.no_grad():
        unchanged, moved = backbone(tokens, is_word), backbone(tokens, is_word, first_text)
    assert not torch.allclose(moved[0], unchanged[0], atol=0.1)
    assert torch.equal(moved[1:], unchanged[1:])


@pytest.mark.parametrize("name", TINY)
def test_no_hook_is_left_behind(name: str) -> None:
    backbone, (tokens, is_word) = backbone_of(name), texts()
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
        expected = library_of(backbone, tokens, is_word)
        assert torch.equal(backbone(tokens, is_word), expected.last_hidden_state)


@pytest.mark.parametrize("name", TINY)
def test_padding_does_not_change_words(name: str) -> None:
    backbone, (tokens, is_word) = backbone_of(name), texts()
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


@pytest.mark.parametrize("name", TINY)
def test_no_parameter_is_dead(name: str) -> None:
    # Of what a classifier sees: the pooled feature.
    torch.manual_seed(0)
    backbone, (tokens, is_word) = build_textual(name).train(), texts()
    pooled = backbone.pool(backbone(tokens, is_word), is_word)
    (pooled * torch.randn_like(pooled)).sum().backward()
    assert [k for k, p in backbone.named_parameters() if p.grad is None] == []
    # A bias of keys moves all scores of a query alike, which a softmax does not see.
    still = {k for k, p in backbone.named_parameters() if p.grad is not None and not p.grad.any()}
    assert all(k.endswith(("key.bias", "k_proj.bias")) for k in still)


def test_a_tuple_of_an_older_library_is_kept() -> None:
    for backbone in (backbone_of("tiny_bert"), backbone_of("tiny_clip_text")):
        words, weights = torch.zeros(1, 2, 3), torch.ones(1)
        changed = backbone.replaced((words, weights), lambda x: x + 1)
        assert changed[0].tolist() == [[[1.0] * 3] * 2]
        assert changed[1] is weights


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
    backbone = Bert(card, BertModel(small_config(card, vocabulary=8)))
    words = torch.tensor([[[1.0] * 4, [3.0] * 4, [99.0] * 4]])
    pooled = backbone.pool(words, torch.tensor([[True, True, False]]))
    assert pooled.tolist() == [[2.0] * 4]
    assert not [name for name, _ in backbone.named_parameters() if "pooler" in name]


def test_right_padding_of_xlnet_is_its_own_left_padding() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_xlnet"), texts()
    left = torch.zeros_like(tokens)
    segments = torch.full_like(tokens, 3)  # of padding, in its tokenizer
    for row, length in enumerate(LENGTHS):
        left[row, -length:] = tokens[row, :length]
        segments[row, -length:] = torch.tensor([0] * (length - 1) + [2])
    mask = is_word.flip(1).long()
    with torch.no_grad():
        out = backbone.net(input_ids=left, attention_mask=mask, token_type_ids=segments)
        words = backbone(tokens, is_word)
    for row, length in enumerate(LENGTHS):
        expected = out.last_hidden_state[row, -length:]
        torch.testing.assert_close(words[row, :length], expected, atol=1e-5, rtol=0)
    pooled, summary = backbone.pool(words, is_word), out.last_hidden_state[:, -1]
    torch.testing.assert_close(pooled, summary, atol=1e-5, rtol=0)
    assert not torch.allclose(pooled[1], words[1, -1], atol=0.1)  # not the last column


def test_xlnets_summary_token_is_a_segment_of_its_own() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_xlnet"), texts()
    assert isinstance(backbone, XLNet)
    segments = backbone.inputs(tokens, is_word)["token_type_ids"]
    assert segments.tolist() == [[0] * 6 + [2], [0] * 3 + [2] + [3] * 3, [0, 2] + [3] * 5]
    with torch.no_grad():
        one = backbone.net(input_ids=tokens, attention_mask=is_word.long()).last_hidden_state
        assert not torch.allclose(backbone(tokens, is_word)[is_word], one[is_word], atol=2e-5)


@pytest.mark.parametrize("end", [2, 3])
def test_clips_feature_is_the_librarys(end: int) -> None:
    # 2 stands in old configurations, where the library takes the highest id; else the first 3.
    config = small_config(TEXTUAL["tiny_clip_text"], vocabulary=TINY_VOCABULARY)
    config.eos_token_id = end
    torch.manual_seed(0)
    backbone = ClipText(TEXTUAL["tiny_clip_text"], ClipText.library(config)).eval()
    tokens, is_word = texts()
    highest = {2: 511, 3: 3}[end]
    # As its tokenizer does, which pads with the end of text.
    tokens = torch.where(is_word & (tokens != 3), tokens, highest)
    with torch.no_grad():
        out = backbone.net(input_ids=tokens, attention_mask=is_word.long())
        pooled = backbone.pool(backbone(tokens, is_word), is_word)
    assert torch.equal(pooled, out.pooler_output)
    rows = out.last_hidden_state[[0, 1, 2], [6, 3, 1]]
    assert torch.equal(pooled, rows)


def test_clip_looks_back_only() -> None:
    backbone, (tokens, is_word) = backbone_of("tiny_clip_text"), texts()
    other = tokens.clone()
    other[0, 5] = 9
    with torch.no_grad():
        one, two = backbone(tokens, is_word)[0], backbone(other, is_word)[0]
    assert torch.equal(one[:5], two[:5]) and not torch.allclose(one[5:], two[5:], atol=1e-3)


@pytest.mark.parametrize("name", TINY)
def test_the_tiny_card_is_what_is_built(name: str) -> None:
    card, config = TEXTUAL[name], build_textual(name).net.config
    assert (card.width, card.num_layers) == (config.hidden_size, config.num_hidden_layers)
    assert card.num_heads == config.num_attention_heads
    if name != "tiny_xlnet":  # its positions are relative: any length will do
        assert card.max_tokens == config.max_position_embeddings
    with pytest.raises(ValueError, match="unknown textual backbone 'x'; known: bert-base"):
        build_textual("x")


def test_the_base_is_abstract() -> None:
    config = BertConfig(hidden_size=4, num_hidden_layers=1, num_attention_heads=1)
    with pytest.raises(TypeError, match="abstract"):
        TextualBackbone(TEXTUAL["tiny_bert"], BertModel(config))  # type: ignore[abstract]
