"""ViLT as a classifier of images and texts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mi2p.models.baselines.vilt import ViLT
from mi2p.models.multimodal_weights import load_vilt
from mi2p.spec import DataSpec
from tests.tiny_models import (
    CLASSES,
    LENGTHS,
    assert_padding_changes_nothing,
    batch_of,
    logits_of,
    same,
    snapshot,
    step,
)


def model_of() -> ViLT:
    torch.manual_seed(0)
    data = DataSpec(name="none", image_size=64, max_tokens=8)
    return ViLT(load_vilt("tiny_bert", data, None), CLASSES, dropout=0.5)


@torch.no_grad()
def test_logits_are_the_heads_on_the_librarys_feature() -> None:
    model, batch = model_of().eval(), batch_of()
    assert batch.images is not None and batch.is_word is not None
    library = model.net.net(
        input_ids=batch.tokens,
        attention_mask=batch.is_word.long(),
        pixel_values=(batch.images / 255 - 0.5) / 0.5,
        pixel_mask=torch.ones(len(batch.images), 64, 64),
    )
    linear = model.head.linear
    expected = library.pooler_output @ linear.weight.T + linear.bias
    assert torch.allclose(model(batch), expected, atol=1e-5)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_evaluation_has_the_same_bits_each_time(size: int) -> None:
    # The library's own forward shuffles the patches.
    model, batch = model_of(), batch_of()
    images = torch.randint(256, (len(LENGTHS), 3, size, size), dtype=torch.uint8)
    batch = replace(batch, images=images)
    torch.manual_seed(1)
    expected = logits_of(model, batch)
    torch.manual_seed(2)
    assert torch.equal(logits_of(model, batch), expected)
    assert expected.std(0).min() > 0


def test_all_of_it_is_trained() -> None:
    model = model_of()
    assert model.backbones() == {"textual": model.net}
    assert model.externals() == {}
    before = snapshot(model)
    step(model)
    assert all(p.grad is not None for p in model.parameters())
    still = {k for k, p in model.named_parameters() if torch.equal(p, before[k])}
    assert {k for k in still if not k.endswith("attention.attention.key.bias")} == set()
    other = model_of()
    assert not same(other.state_dict(), model.state_dict())
    other.load_trained_state(model.trained_state())
    assert torch.equal(logits_of(other, batch_of()), logits_of(model, batch_of()))


def test_padding_does_not_change_logits() -> None:
    assert_padding_changes_nothing(model_of())
