"""MMBT against its sequence built word by word, for one example at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mi2p.models.baselines.mmbt import IMAGE_TOKENS, MMBT
from mi2p.models.weights import load_visual
from tests.tiny_models import toy_batch, toy_bert

LENGTHS = (6, 3, 5, 2)


def model_of(pooling: str) -> MMBT:
    textual = toy_bert(pooling)
    return MMBT(load_visual("tiny_densenet", None), textual, 3, dropout=0.1).eval()


def literal(model: MMBT, image: Tensor, words: list[int]) -> Tensor:
    """Logits of one example: no batch, no padding, no mask."""
    net = model.textual.net
    tables = net.embeddings
    cells = F.adaptive_avg_pool2d(model.visual(image[None]), (3, 1))[0, :, :, 0]  # (c', 3)
    cls, *text, sep = words
    vocabulary = tables.word_embeddings.weight
    read = [(vocabulary[cls], 0, 0)]
    for k in range(3):
        token = model.project.weight @ cells[:, k] + model.project.bias
        read.append((token, k + 1, 0))
    read.append((vocabulary[sep], 4, 0))
    read += [(vocabulary[word], place, 1) for place, word in enumerate(text)]
    rows = [
        vector
        + tables.position_embeddings.weight[position]
        + tables.token_type_embeddings.weight[s]
        for vector, position, s in read
    ]
    states = tables.LayerNorm(torch.stack(rows))[None]
    for layer in net.encoder.layer:
        states = layer(states)
    if model.textual.card.pooling == "mean":
        feature = sum(states[0]) / len(read)
    else:
        feature = torch.tanh(net.pooler.dense(states[0, 0]))
    logits: Tensor = model.head.linear(feature)
    return logits


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@torch.no_grad()
def test_logits_are_those_of_the_literal_sequence(pooling: str, size: int) -> None:
    model, batch = model_of(pooling), toy_batch(size, LENGTHS)
    assert batch.images is not None and batch.tokens is not None
    logits = model(batch)
    for row, length in enumerate(LENGTHS):
        words = batch.tokens[row, :length].tolist()
        expected = literal(model, batch.images[row], words)
        torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 8])
def test_bands_are_the_librarys_adaptive_pooling(side: int) -> None:
    maps = torch.randn(2, 5, side, side + 1)
    expected = F.adaptive_avg_pool2d(maps, (IMAGE_TOKENS, 1)).squeeze(-1).transpose(1, 2)
    torch.testing.assert_close(model_of("mean").image_features(maps), expected)


def test_bands_by_hand() -> None:
    # Rows 0 and 1, rows 1 and 2, rows 2 and 3: four rows in three bands overlap.
    maps = torch.tensor([[[[0.0, 2.0], [4.0, 6.0], [8.0, 10.0], [12.0, 14.0]]]])
    assert model_of("mean").image_features(maps).tolist() == [[[3.0], [7.0], [11.0]]]


@torch.no_grad()
def test_upside_down_is_another_image() -> None:
    # Bands have positions: their order counts.
    model, image = model_of("pooler"), torch.randn(1, IMAGE_TOKENS, 48)
    tokens, is_word = torch.tensor([[2, 7, 3]]), torch.ones(1, 3, dtype=torch.bool)
    one, other = (
        model._encode(model.sequence(tokens_of, tokens, is_word))
        for tokens_of in (image, image.flip(1))
    )
    assert not torch.allclose(one, other, atol=1e-3)
