"""CentralNet against its equation, written out for one example at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertModel

from mi2p.backbones import TextualCard
from mi2p.models.baselines.centralnet import WIDTH, CentralNet, quarters
from mi2p.models.classifier import Batch
from mi2p.models.textual import Bert, TextualBackbone, small_config
from mi2p.models.weights import load_textual, load_visual

CLASSES = 3
LENGTHS = (6, 3, 5, 2)
PAIRS = [
    ("tiny_densenet", "tiny_bert"),
    ("tiny_resnet", "tiny_xlnet"),
    ("tiny_densenet", "tiny_clip_text"),
    ("tiny_resnet", "mean"),
]
SUMMARIES = {"tiny_bert": "first", "tiny_xlnet": "last", "tiny_clip_text": "last", "mean": "mean"}
TAPS = {"mean": (2, 3, 5, 6)}  # of six layers; the others have three


def textual_of(name: str) -> TextualBackbone:
    if name != "mean":
        return load_textual(name, None)
    card = TextualCard(title="toy", num_layers=6, num_heads=4, width=48, pooling="mean")
    torch.manual_seed(0)
    return Bert(card, BertModel(small_config(card, vocabulary=512)))


def model_of(visual: str, textual: str, *, seed: int = 1) -> CentralNet:
    parts = load_visual(visual, None), textual_of(textual)
    torch.manual_seed(seed)
    return CentralNet(*parts, CLASSES, dropout=0.1)


def batch_of(size: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    tokens = torch.randint(4, 512, is_word.shape, generator=generator)
    tokens[:, 0] = 2
    tokens[torch.arange(len(LENGTHS)), torch.tensor(LENGTHS) - 1] = 3
    images = torch.randint(
        256, (len(LENGTHS), 3, size, size), dtype=torch.uint8, generator=generator
    )
    return Batch(images=images, tokens=tokens * is_word, is_word=is_word)


@torch.no_grad()
def outputs_of(model: CentralNet, batch: Batch) -> tuple[Tensor, ...]:
    return model.eval().supervised(batch)


def visual_taps(backbone: Any, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """The maps at the four taps and the last one, stage by stage."""
    x = (images.float() / 255 - backbone.mean) / backbone.std
    maps = []
    if hasattr(backbone, "features"):  # a DenseNet
        for name, layer in backbone.features.named_children():
            x = layer(x)
            if name in ("denseblock1", "denseblock2", "denseblock3", "denseblock4"):
                maps.append(x)
        return maps, x.relu()
    net = backbone.net
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        maps.append(x)
    return maps, x


def global_feature(name: str, net: Any, last: Tensor) -> Tensor:
    """Of the last states (l, d) of one text."""
    if SUMMARIES[name] == "first":
        return torch.tanh(net.pooler.dense(last[0]))
    return summary_of(name, last)


def summary_of(name: str, words: Tensor) -> Tensor:
    """Of the states (l, d) of one text."""
    kind = SUMMARIES[name]
    return words[0] if kind == "first" else words[-1] if kind == "last" else words.mean(0)


def literal(model: CentralNet, name: str, batch: Batch, row: int) -> list[Tensor]:
    """The three logits of one example, its text without padding."""
    assert batch.images is not None and batch.tokens is not None
    maps, last = visual_taps(model.visual, batch.images[[row]])
    length = LENGTHS[row]
    tokens, is_word = batch.tokens[[row], :length], torch.ones(1, length, dtype=torch.bool)
    net = model.textual.net
    out = net(**model.textual.inputs(tokens, is_word), output_hidden_states=True)
    central = torch.zeros(WIDTH)
    for index, tap in enumerate(TAPS.get(name, (1, 2, 3, 3))):
        level: Any = model.levels[index]
        v = level.visual.weight @ maps[index][0].mean((1, 2)) + level.visual.bias
        state = summary_of(name, out.hidden_states[tap][0])
        t = level.textual.weight @ state + level.textual.bias
        total = level.scalars[0] * v + level.scalars[1] * t
        if index > 0:
            total = total + level.scalars[2] * central
        central = (level.operation.weight @ total + level.operation.bias).clamp(min=0)
    feature = global_feature(name, net, out.last_hidden_state[0])
    return [
        model.central_head.linear(central),
        model.visual_head.linear(last[0].mean((1, 2))),
        model.textual_head.linear(feature),
    ]


@pytest.mark.parametrize(("visual", "textual"), PAIRS)
@torch.no_grad()
def test_logits_are_those_of_the_equation(visual: str, textual: str) -> None:
    model, batch = model_of(visual, textual), batch_of()
    found = outputs_of(model, batch)
    assert [logits.shape for logits in found] == [(len(LENGTHS), CLASSES)] * 3
    for row in range(len(LENGTHS)):
        for logits, expected in zip(found, literal(model, textual, batch, row), strict=True):
            torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=0)
    assert torch.equal(model(batch), found[0])  # the prediction is the central network's


@pytest.mark.parametrize(
    ("layers", "taps"),
    [(12, (3, 6, 9, 12)), (6, (2, 3, 5, 6)), (4, (1, 2, 3, 4)), (3, (1, 2, 3, 3))],
)
def test_quarters_of_the_depth(layers: int, taps: tuple[int, ...]) -> None:
    assert quarters(layers) == taps


@pytest.mark.parametrize(("visual", "textual"), PAIRS)
def test_padding_does_not_change_logits(visual: str, textual: str) -> None:
    model, batch = model_of(visual, textual), batch_of()
    assert batch.tokens is not None and batch.is_word is not None
    longer = replace(
        batch,
        tokens=nn.functional.pad(torch.where(batch.is_word, batch.tokens, 33), (0, 3), value=44),
        is_word=nn.functional.pad(batch.is_word, (0, 3)),
    )
    for logits, expected in zip(outputs_of(model, longer), outputs_of(model, batch), strict=True):
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("visual", "textual"), PAIRS)
def test_who_hears_whom(visual: str, textual: str) -> None:
    model, batch = model_of(visual, textual), batch_of()
    assert batch.images is not None and batch.tokens is not None
    expected = outputs_of(model, batch)
    tokens = batch.tokens.clone()
    tokens[0, 2] = 9 if tokens[0, 2] != 9 else 10
    by_text = outputs_of(model, replace(batch, tokens=tokens))
    by_image = outputs_of(model, replace(batch, images=255 - batch.images))

    def moved(found: tuple[Tensor, ...], row: int) -> list[bool]:
        pairs = zip(found, expected, strict=True)
        return [bool((one - two)[row].abs().max() > 1e-6) for one, two in pairs]

    assert moved(by_text, 0) == [True, False, True]  # central, visual, textual
    assert moved(by_text, 1) == [False] * 3
    assert moved(by_image, 0) == [True, True, False]


@pytest.mark.parametrize(("visual", "textual"), PAIRS)
def test_every_trained_parameter_learns(visual: str, textual: str) -> None:
    model, batch = model_of(visual, textual).train(), batch_of()
    labels = torch.tensor([0, 1, 2, 1])
    losses = [nn.functional.cross_entropy(logits, labels) for logits in model.supervised(batch)]
    assert len(losses) == 3
    sum(losses, start=torch.zeros(())).backward()
    parameters = dict(model.named_parameters())
    assert [k for k, p in parameters.items() if p.grad is None] == []
    gradients = {k: p.grad for k, p in parameters.items() if p.grad is not None}
    assert all(g.isfinite().all() for g in gradients.values())
    # A bias of keys moves all scores of a query alike, which a softmax does not see.
    still = {k for k, g in gradients.items() if not g.any()}
    assert all(k.endswith(("key.bias", "k_proj.bias")) for k in still)
    scalars = [g for k, g in gradients.items() if k.endswith("scalars")]
    assert [len(g) for g in scalars] == [2, 3, 3, 3]
    assert all(g.all() for g in scalars)


def test_a_scalar_of_zero_is_not_heard() -> None:
    model, batch = model_of("tiny_densenet", "tiny_bert"), batch_of()
    assert batch.images is not None and batch.tokens is not None
    with torch.no_grad():
        for level in model.levels:
            level.scalars[1] = 0  # type: ignore[operator]
    expected = outputs_of(model, batch)[0]
    tokens = batch.tokens.flip(1)
    assert torch.equal(outputs_of(model, replace(batch, tokens=tokens))[0], expected)
    with torch.no_grad():
        for level in model.levels[1:]:
            level.scalars[2] = 0  # type: ignore[operator]
            level.scalars[0] = 0  # type: ignore[operator]
    deaf = outputs_of(model, batch)[0]
    assert torch.equal(deaf, deaf[:1].expand_as(deaf))  # only the first level still hears


@pytest.mark.parametrize("size", [32, 96])
def test_maps_of_any_side_will_do(size: int) -> None:
    for logits in outputs_of(model_of("tiny_densenet", "tiny_bert"), batch_of(size)):
        assert logits.isfinite().all() and logits.std(0).min() > 0


def test_a_seed_draws_the_new_parameters() -> None:
    one, same, other = (
        model_of("tiny_densenet", "tiny_bert", seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[k], same[k]) for k in one)
    new = {k for k in one if not torch.equal(one[k], other[k])}
    assert new == {k for k in one if not k.startswith(("visual.", "textual."))}
    scalars = torch.cat([v for k, v in one.items() if k.endswith("scalars")])
    assert len(scalars) == 11 and scalars.min() >= 0 and scalars.max() < 1
    model = model_of("tiny_densenet", "tiny_bert")
    added = {id(p) for p in model.added_parameters()}
    assert {k for k, p in model.named_parameters() if id(p) in added} == new
    assert model.backbones() == {"visual": model.visual, "textual": model.textual}
    heads = (model.central_head, model.visual_head, model.textual_head)
    assert [head.dropout.p for head in heads] == [0.1] * 3


def test_dropout_is_before_the_classifiers_and_in_training_only() -> None:
    model, batch = model_of("tiny_densenet", "tiny_bert"), batch_of()
    expected = outputs_of(model, batch)
    heads = (model.central_head, model.visual_head, model.textual_head)
    for head in heads:
        head.dropout.p = 1.0
    assert all(map(torch.equal, outputs_of(model, batch), expected))
    for head, logits in zip(heads, model.train().supervised(batch), strict=True):
        assert torch.equal(logits, head.linear.bias.expand_as(logits))
