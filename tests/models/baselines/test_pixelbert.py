"""PixelBERT against its sequence built word by word, and the drawing of pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mi2p.models.baselines.pixelbert import MOST_PIXELS, PixelBERT, sampled
from mi2p.models.classifier import Batch
from mi2p.models.weights import load_visual
from tests.tiny_models import toy_batch, toy_bert

LENGTHS = (6, 3, 5, 2)


def model_of(pooling: str = "pooler") -> PixelBERT:
    textual = toy_bert(pooling)
    return PixelBERT(load_visual("tiny_densenet", None), textual, 3, dropout=0.1).eval()


def pixels_of(cells: Tensor) -> list[Tensor]:
    """Row by row, the highest values of two by two cells (c', h, w), fewer at the border."""
    _, h, w = cells.shape
    return [
        cells[:, y : y + 2, x : x + 2].flatten(1).max(1).values
        for y in range(0, h, 2)
        for x in range(0, w, 2)
    ]


def literal(model: PixelBERT, image: Tensor, words: list[int]) -> Tensor:
    """Logits of one example: no batch, no padding, no mask."""
    net = model.textual.net
    tables = net.embeddings
    rows = []
    for place, word in enumerate(words):
        position = tables.position_embeddings.weight[place]
        segment = tables.token_type_embeddings.weight[0]
        rows.append(tables.word_embeddings.weight[word] + position + segment)
    same = tables.position_embeddings.weight[0] + tables.token_type_embeddings.weight[1]
    for pixel in pixels_of(model.visual(image[None])[0]):
        rows.append(model.project.weight @ pixel + model.project.bias + same)
    states = tables.LayerNorm(torch.stack(rows))[None]
    for layer in net.encoder.layer:
        states = layer(states)
    if model.textual.card.pooling == "mean":
        feature = sum(states[0]) / len(rows)
    else:
        feature = torch.tanh(net.pooler.dense(states[0, 0]))
    logits: Tensor = model.head.linear(feature)
    return logits


@pytest.mark.parametrize("size", [32, 64, 96, 128])
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


@pytest.mark.parametrize(("side", "count"), [(1, 1), (2, 1), (3, 4), (4, 4), (5, 9), (7, 16)])
def test_no_cell_is_lost(side: int, count: int) -> None:
    maps = torch.randn(2, 5, side, side)
    pixels = model_of().image_features(maps)
    assert pixels.shape == (2, count, 5)
    for found, cells in zip(pixels, maps, strict=True):
        assert torch.equal(found, torch.stack(pixels_of(cells)))
    assert torch.equal(pixels.amax(1), maps.amax((-2, -1)))


@torch.no_grad()
def test_pixels_have_no_positions() -> None:
    model, image = model_of(), torch.randn(1, 9, 48)
    tokens, is_word = torch.tensor([[2, 7, 3]]), torch.ones(1, 3, dtype=torch.bool)
    one, other, fewer = (
        model._encode(model.sequence(pixels, tokens, is_word))
        for pixels in (image, image.flip(1), image[:, 1:])
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert not torch.allclose(one, fewer, atol=1e-3)


def numbered(side: int) -> Tensor:
    """Maps of two images whose pixels are 0, 1, 2, ... in one channel."""
    count = (side // 2) ** 2
    pixels = torch.arange(2.0 * count).view(2, 1, side // 2, side // 2)
    return pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_pixels_are_drawn_in_training_only() -> None:
    model, maps = model_of(), numbered(22)  # 121 pixels each
    every = model.image_features(maps)[..., 0]
    assert every.tolist() == torch.arange(242.0).view(2, 121).tolist()
    model.train()
    torch.manual_seed(3)
    first, second = (model.image_features(maps)[..., 0].long() for _ in range(2))
    torch.manual_seed(3)
    again = model.image_features(maps)[..., 0].long()
    assert torch.equal(first, again)
    chosen = []
    for found in (first, second):
        assert found.shape == (2, MOST_PIXELS)
        for image, offset in zip(found, (0, 121), strict=True):
            kept = {int(pixel) - offset for pixel in image}
            assert len(kept) == MOST_PIXELS and kept <= set(range(121))  # its own, each once
            chosen.append(frozenset(kept))
    assert len(set(chosen)) == 4  # anew for each image and step


def test_every_pixel_is_drawn_as_often() -> None:
    torch.manual_seed(0)
    pixels = torch.arange(5.0).view(1, 5, 1).expand(4000, 5, 1)
    counts = sampled(pixels, 2).long().flatten().bincount(minlength=5)
    assert counts.sum() == 8000
    assert ((counts - 1600).abs() < 150).all()  # five standard deviations


def test_as_many_as_allowed_are_all_kept_without_a_draw() -> None:
    model, maps = model_of().train(), numbered(20)  # 100 pixels
    before = torch.get_rng_state()
    assert model.image_features(maps)[..., 0].tolist() == torch.arange(200.0).view(2, 100).tolist()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_large_image_is_learned_from_in_part() -> None:
    model = model_of().train()
    images = torch.zeros(2, 3, 672, 672, dtype=torch.uint8)  # 121 pixels
    tokens = torch.tensor([[2, 7, 3]] * 2)
    batch = Batch(images=images, tokens=tokens, is_word=tokens > 0)
    lengths = []
    hook = model.textual.net.encoder.register_forward_pre_hook(
        lambda _module, inputs: lengths.append(inputs[0].shape[1])
    )
    with torch.no_grad():
        model(batch)
        model.eval()(batch)
    hook.remove()
    assert lengths == [3 + MOST_PIXELS, 3 + 121]
