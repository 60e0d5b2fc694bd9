"""What holds for every BERT over a joint sequence of words and image tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mi2p.backbones import TEXTUAL
from mi2p.models.baselines.joint_sequence import JointBert
from mi2p.models.baselines.mmbt import MMBT
from mi2p.models.baselines.pixelbert import PixelBERT
from mi2p.models.classifier import Batch
from mi2p.models.textual import build_textual
from mi2p.models.weights import load_visual
from tests.tiny_models import toy_bert

CLASSES = 3
LENGTHS = (6, 3, 5, 2)
METHODS: list[type[JointBert]] = [MMBT, PixelBERT]
CNNS = ["tiny_densenet", "tiny_resnet"]


def model_of(
    method: type[JointBert], *, cnn: str = "tiny_densenet", pooling: str = "pooler", seed: int = 1
) -> JointBert:
    visual, textual = load_visual(cnn, None), toy_bert(pooling)
    torch.manual_seed(seed)
    return method(visual, textual, CLASSES, dropout=0.1)


def batch_of(*, size: int = 64, lengths: tuple[int, ...] = LENGTHS) -> Batch:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    tokens = torch.randint(4, 64, is_word.shape, generator=generator)
    tokens[:, 0] = 2
    tokens[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = 3
    images = torch.randint(
        256, (len(lengths), 3, size, size), dtype=torch.uint8, generator=generator
    )
    return Batch(images=images, tokens=tokens * is_word, is_word=is_word)


@torch.no_grad()
def logits_of(model: JointBert, batch: Batch) -> Tensor:
    found: Tensor = model.eval()(batch)
    return found


def padded(batch: Batch, count: int) -> Batch:
    assert batch.tokens is not None and batch.is_word is not None
    # Padding that a model must not look at.
    tokens = torch.where(batch.is_word, batch.tokens, 33)
    return replace(
        batch,
        tokens=nn.functional.pad(tokens, (0, count), value=44),
        is_word=nn.functional.pad(batch.is_word, (0, count)),
    )


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("method", METHODS)
def test_padding_does_not_change_logits(method: type[JointBert], pooling: str) -> None:
    model, batch = model_of(method, pooling=pooling), batch_of()
    expected = logits_of(model, batch)
    assert expected.shape == (len(LENGTHS), CLASSES) and expected.std(0).min() > 1e-4
    torch.testing.assert_close(logits_of(model, padded(batch, 3)), expected, atol=1e-5, rtol=0)
    for row, length in enumerate(LENGTHS):  # alone and without any padding
        alone = batch.map(lambda tensor, row=row: tensor[[row]])  # type: ignore[misc]
        assert alone.tokens is not None and alone.is_word is not None
        alone = replace(alone, tokens=alone.tokens[:, :length], is_word=alone.is_word[:, :length])
        torch.testing.assert_close(logits_of(model, alone)[0], expected[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("method", METHODS)
def test_both_modalities_change_logits(method: type[JointBert], pooling: str) -> None:
    model, batch = model_of(method, pooling=pooling), batch_of()
    assert batch.images is not None and batch.tokens is not None
    expected = logits_of(model, batch)
    other_image = logits_of(model, replace(batch, images=255 - batch.images))
    assert ((other_image - expected).abs().amax(1) > 1e-3).all()
    tokens = batch.tokens.clone()
    tokens[0, 2] = 9 if tokens[0, 2] != 9 else 10
    changed = (logits_of(model, replace(batch, tokens=tokens)) - expected).abs().amax(1)
    assert changed[0] > 1e-3 and not changed[1:].any()
    # As does the order of the words.
    tokens = batch.tokens.clone()
    tokens[0, 1:3] = tokens[0, 1:3].flip(0)
    changed = (logits_of(model, replace(batch, tokens=tokens)) - expected).abs().amax(1)
    assert changed[0] > 1e-4


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("cnn", CNNS)
@pytest.mark.parametrize("method", METHODS)
def test_every_trained_parameter_learns(method: type[JointBert], cnn: str, pooling: str) -> None:
    model, batch = model_of(method, cnn=cnn, pooling=pooling).train(), batch_of()
    (logits,) = model.supervised(batch)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 1])).backward()
    parameters = dict(model.named_parameters())
    assert [k for k, p in parameters.items() if p.grad is None] == []
    gradients = {k: p.grad for k, p in parameters.items() if p.grad is not None}
    assert all(g.isfinite().all() for g in gradients.values())
    # A bias of keys moves all scores of a query alike, which a softmax does not see.
    still = {k for k, g in gradients.items() if not g.any()}
    assert all(k.endswith("attention.self.key.bias") for k in still)
    segments = gradients["textual.net.embeddings.token_type_embeddings.weight"]
    assert segments.any(1).all()  # both are used


@pytest.mark.parametrize("size", [32, 64, 96, 160])
@pytest.mark.parametrize("method", METHODS)
def test_maps_of_any_side_will_do(method: type[JointBert], size: int) -> None:
    # 1, 2, 3 and 5 cells a side.
    for lengths in [LENGTHS, (2, 2)]:  # empty texts alone, too
        logits = logits_of(model_of(method), batch_of(size=size, lengths=lengths))
        assert logits.shape == (len(lengths), CLASSES) and logits.isfinite().all()
        assert logits.std(0).min() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_text_may_be_as_long_as_the_transformer_allows(method: type[JointBert]) -> None:
    longest = TEXTUAL["tiny_bert"].max_tokens
    torch.manual_seed(0)
    model = method(
        load_visual("tiny_resnet", None), build_textual("tiny_bert"), CLASSES, dropout=0.1
    )
    assert logits_of(model, batch_of(lengths=(longest, 2))).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_draws_the_new_parameters(method: type[JointBert]) -> None:
    one, same, other = (model_of(method, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[k], same[k]) for k in one)
    new = {k for k in one if not torch.equal(one[k], other[k])}
    assert new == {"project.weight", "project.bias", "head.linear.weight", "head.linear.bias"}
    model = model_of(method)
    assert model.head.dropout.p == 0.1
    added = {id(p) for p in model.added_parameters()}
    assert {k for k, p in model.named_parameters() if id(p) in added} == new
    assert model.backbones() == {"visual": model.visual, "textual": model.textual}


@pytest.mark.parametrize("method", METHODS)
def test_dropout_is_before_the_classifier_and_in_training_only(method: type[JointBert]) -> None:
    model, batch = model_of(method), batch_of()
    expected = logits_of(model, batch)
    model.head.dropout.p = 1.0
    assert torch.equal(logits_of(model, batch), expected)
    logits = model.train()(batch)
    assert torch.equal(logits, model.head.linear.bias.expand_as(logits))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["tiny_xlnet", "tiny_clip_text"])
def test_another_transformer_is_our_own_mistake(method: type[JointBert], name: str) -> None:
    visual: Any = load_visual("tiny_resnet", None)
    with pytest.raises(AssertionError, match=r"not a BERT: (XLNet|ClipText)"):
        method(visual, build_textual(name), CLASSES, dropout=0.1)


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        JointBert(  # type: ignore[abstract]
            load_visual("tiny_resnet", None), toy_bert("mean"), CLASSES, dropout=0.1
        )
