"""Frozen encoders: never trained, and the same bits in every batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mi2p.models.frozen import FEATURE_TYPES, ROWS, Frozen
from mi2p.models.weights import load_textual, load_visual

COUNT = 2 * ROWS + 5


def images(count: int = COUNT, size: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def texts(count: int = COUNT) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(9) < torch.randint(2, 10, (count, 1), generator=generator)
    return torch.randint(4, 500, (count, 9), generator=generator) * is_word, is_word


@pytest.mark.parametrize("rows", [1, 3, ROWS, ROWS + 1])
def test_an_examples_features_do_not_depend_on_its_batch(rows: int) -> None:
    tokens, is_word = texts()
    chosen = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))[:rows]
    words, maps = (Frozen(load("tiny_" + name, None)) for load, name in LOADERS)
    assert torch.equal(
        words.words(tokens[chosen], is_word[chosen]), words.words(tokens, is_word)[chosen]
    )
    assert torch.equal(maps.maps(images()[chosen]), maps.maps(images())[chosen])


LOADERS = ((load_textual, "bert"), (load_visual, "densenet"))


@pytest.mark.weights
@pytest.mark.parametrize("rows", [1, 7])
def test_nor_do_those_of_real_encoders(rows: int) -> None:
    # EfficientNet-Lite0 in batches of 7 does not give the bits that it gives in batches of 64.
    tokens, is_word = texts()
    words = Frozen(load_textual("minilm", None))
    assert torch.equal(
        words.words(tokens[:rows], is_word[:rows]), words.words(tokens, is_word)[:rows]
    )
    maps = Frozen(load_visual("efficientnet_lite0", None))
    assert torch.equal(maps.maps(images()[-rows:]), maps.maps(images())[-rows:])


def test_nor_on_how_far_texts_are_padded() -> None:
    tokens, is_word = texts()
    short = int(is_word[:5].sum(1).max())
    frozen = Frozen(load_textual("tiny_bert", None), max_tokens=12)
    cut = frozen.words(tokens[:5, :short], is_word[:5, :short])
    assert cut.shape[1] == short
    assert torch.equal(cut, frozen.words(tokens, is_word)[:5, :short])


def test_the_features_are_the_encoders() -> None:
    encoder = load_visual("tiny_densenet", None).eval()
    with torch.no_grad():
        expected = torch.cat([encoder(image[None]) for image in images(5)])
    torch.testing.assert_close(Frozen(encoder).maps(images(5)), expected, atol=1e-6, rtol=0)
    assert Frozen(encoder).maps(images(5)).is_contiguous()  # as a store has them


def test_every_call_has_the_same_number_of_rows() -> None:
    class Recording(nn.Module):
        def forward(self, x: Tensor, is_word: Tensor) -> Tensor:
            seen.append(len(x))
            return x

    seen: list[int] = []
    x = torch.randn(COUNT, 2)
    assert torch.equal(Frozen(Recording()).words(x, x), x)
    assert seen == [ROWS] * 3


def test_nothing_trains_it() -> None:
    frozen = Frozen(load_visual("tiny_densenet", None).train())
    assert not any(module.training for module in frozen.modules())
    frozen.train()
    assert not any(module.training for module in frozen.modules())
    before = {k: v.clone() for k, v in frozen.state_dict().items()}
    assert not frozen.maps(images(4)).requires_grad
    assert all(torch.equal(v, before[k]) for k, v in frozen.state_dict().items())
    assert not any(p.requires_grad for p in frozen.parameters())


def test_autocast_does_not_reach_it() -> None:
    frozen = Frozen(load_visual("tiny_densenet", None))
    expected = frozen.maps(images(4))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frozen.maps(images(4)), expected)


def test_the_type_that_features_are_kept_in() -> None:
    encoder = load_visual("tiny_densenet", None)
    half = Frozen(encoder, FEATURE_TYPES["float16"]).maps(images(4))
    assert half.dtype == torch.float16
    assert torch.equal(half, Frozen(encoder).maps(images(4)).half())
