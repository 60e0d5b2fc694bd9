"""VisualBERT as a classifier: what it reads, and where its visual tokens come from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mi2p.models.baselines.visualbert import VisualBERT
from mi2p.models.classifier import Batch
from mi2p.models.frozen import Frozen
from mi2p.models.multimodal_weights import load_visualbert
from mi2p.models.weights import load_visual
from tests.tiny_models import (
    CLASSES,
    assert_padding_changes_nothing,
    batch_of,
    logits_of,
    snapshot,
    step,
)


def model_of(*, external: bool = True) -> VisualBERT:
    torch.manual_seed(0)
    net = load_visualbert("tiny_bert", "tiny_densenet", None)
    cnn = Frozen(load_visual("tiny_densenet", None)) if external else None
    return VisualBERT(net, CLASSES, dropout=0.5, external=cnn)


@torch.no_grad()
def cells_of(batch: Batch) -> Tensor:
    """Z' (B, c', 2, 2) of the pretrained CNN."""
    assert batch.images is not None
    maps: Tensor = load_visual("tiny_densenet", None).eval()(batch.images)
    return maps


@torch.no_grad()
def test_logits_are_the_heads_on_the_librarys_feature() -> None:
    model, batch = model_of().eval(), batch_of()
    assert batch.is_word is not None
    maps = cells_of(batch)
    cells = torch.stack([maps[:, :, y, x] for y in range(2) for x in range(2)], 1)  # (B, 4, c')
    library = model.net.net(
        input_ids=batch.tokens,
        attention_mask=batch.is_word.long(),
        visual_embeds=cells,
        visual_token_type_ids=torch.ones(len(cells), 4, dtype=torch.long),
        visual_attention_mask=torch.ones(len(cells), 4),
    )
    linear = model.head.linear
    expected = library.pooler_output @ linear.weight.T + linear.bias
    assert torch.allclose(model(batch), expected, atol=1e-5)


def test_maps_of_a_store_are_those_of_the_cnn() -> None:
    model, batch = model_of(), batch_of()
    assert batch.images is not None
    stored = replace(batch, images=None, maps=model.externals()["maps"].maps(batch.images))
    expected = logits_of(model, batch)
    assert torch.equal(logits_of(model, stored), expected)
    without = model_of(external=False)
    assert torch.equal(logits_of(without, stored), expected)
    assert without.externals() == {}
    with pytest.raises(AssertionError, match="neither Z' in the batch nor an external encoder"):
        without(batch)


def test_the_transformer_is_trained_and_the_cnn_is_not() -> None:
    model = model_of()
    assert model.backbones() == {"textual": model.net}
    before = snapshot(model)
    step(model)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved and not any(name.startswith("external.") for name in moved)
    assert {"net.net.embeddings.visual_projection.weight", "head.linear.bias"} <= moved
    new = {id(p) for p in model.added_parameters()}
    names = {k for k, p in model.named_parameters() if id(p) in new}
    projection = "net.net.embeddings.visual_projection"
    assert names == {f"{of}.{k}" for of in (projection, "head.linear") for k in ("weight", "bias")}


def test_padding_does_not_change_logits() -> None:
    assert_padding_changes_nothing(model_of())
