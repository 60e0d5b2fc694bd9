"""Every model of `MODELS` with tiny random backbones, and a batch for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertModel

from mi2p.backbones import TextualCard
from mi2p.models import build
from mi2p.models.classifier import Batch, Classifier
from mi2p.models.textual import Bert, small_config
from mi2p.spec import DataSpec, FusionSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.steps import loss

CLASSES, BATCH, WORDS = 3, 4, 6
LENGTHS = (6, 3, 4, 2)
BACKBONES = {
    "densenet-bert": ("tiny_densenet", "tiny_bert"),
    "resnet-xlnet": ("tiny_resnet", "tiny_xlnet"),
    "clip": ("tiny_clip_resnet", "tiny_clip_text"),
}
KINDS = ("score", "concat", "cross_attention", "gmu", "cbp", "cbgp")
JOINT = {"score": "fused+branches"}
"""Where branches are supervised as well; elsewhere the fused prediction alone is."""


def spec_of(name: str, *, seed: int = 0, **units: Any) -> TrialSpec:
    """`model[-kind][/backbones]`, such as `cnn/clip` or `me_fusion-concat`."""
    model, _, pair = name.partition("/")
    kind, _, fusion = model.partition("-")
    visual, textual = BACKBONES[pair or "densenet-bert"]
    options = {"heads": 4, "d_k": 8, **units}
    units_of_cnn = UnitSpec(**{"attach": (1, 2, 3, 4), **options})
    units_of_bert = UnitSpec(**{"attach": (1, 2, 3), **options})
    both, expanded = kind not in ("cnn", "bert", "vilt"), kind.startswith("me_")
    spec = ModelSpec(
        name=kind,  # type: ignore[arg-type]
        visual=visual if both or kind == "cnn" else None,
        textual=textual if both or kind in ("bert", "vilt") else None,
        units=(units_of_bert if kind == "me_bert" else units_of_cnn) if expanded else None,
        textual_units=units_of_bert if kind == "me_fusion" else None,
        fusion=FusionSpec(
            kind=fusion,  # type: ignore[arg-type]
            joint_loss=JOINT.get(fusion, "fused"),  # type: ignore[arg-type]
            sketch=64 if fusion in ("cbp", "cbgp") else 16000,
        )
        if fusion
        else None,
    )
    return TrialSpec(
        data=DataSpec(name="none", image_size=64, max_tokens=8),
        model=spec,
        train=TrainSpec(lr=1e-3, epochs=1),
        seed=seed,
    )


def model_of(
    name: str,
    *,
    stored: Collection[str] = (),
    multilabel: bool = False,
    dropout: float | None = None,
    **options: Any,
) -> Classifier:
    """The model, with its frozen encoders unless batches bring what is in `stored`."""
    spec = spec_of(name, **options)
    if dropout is not None:
        spec = replace(spec, model=replace(spec.model, head_dropout=dropout))
    return build(spec, CLASSES, stored=stored, multilabel=multilabel)


def batch_of(*, multilabel: bool = False) -> Batch:
    """Four examples with texts of different lengths."""
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(WORDS) < torch.tensor(LENGTHS)[:, None]
    tokens = torch.randint(4, 512, is_word.shape, generator=generator) * is_word
    images = torch.randint(256, (BATCH, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.tensor([0, 1, 2, 1])
    if multilabel:
        labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    return Batch(images=images, tokens=tokens, is_word=is_word, labels=labels)


def step(model: Classifier, *, multilabel: bool = False) -> None:
    """One step of training, as `mi2p.train` makes it."""
    batch = batch_of(multilabel=multilabel)
    optimiser = torch.optim.Adam(list(model.trained_parameters()), lr=1e-2)
    model.train()
    assert batch.labels is not None
    losses = [loss(logits, batch.labels) for logits in model.supervised(batch)]
    torch.stack(losses).sum().backward()
    optimiser.step()


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two states agree bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@torch.no_grad()
def logits_of(model: Classifier, batch: Batch) -> Tensor:
    """Logits (B, K) in evaluation."""
    found: Tensor = model.eval()(batch)
    return found


def toy_bert(pooling: str) -> Bert:
    """Like tiny_bert, with any of the features that a BERT is pretrained to give, and 64 ids."""
    sizes = {"num_layers": 2, "num_heads": 4, "width": 48, "max_tokens": 64}
    card = TextualCard(title="toy", **sizes, pooling=pooling)  # type: ignore[arg-type]
    torch.manual_seed(0)
    bert = Bert(card, BertModel(small_config(card, vocabulary=64)))
    with torch.no_grad():
        for parameter in bert.parameters():
            if parameter.dim() > 1:
                parameter.mul_(10)  # as drawn, words hardly see each other
    return bert


def toy_batch(size: int, lengths: Sequence[int]) -> Batch:
    """Images of this size and texts for `toy_bert`, of these lengths and a column of padding.

    The ends of each text, and its padding, have ids of their own, to see which is taken.
    """
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(max(lengths) + 1) < torch.tensor(lengths)[:, None]
    tokens = torch.randint(4, 64, is_word.shape, generator=generator)
    shape = (len(lengths), 3, size, size)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return Batch(images=images, tokens=tokens, is_word=is_word)


def assert_padding_changes_nothing(model: Classifier) -> None:
    """Logits are those of each text alone, and of any ids in the padding."""
    batch = batch_of()
    expected = logits_of(model, batch)
    assert batch.images is not None and batch.tokens is not None and batch.is_word is not None
    assert max(LENGTHS) == WORDS > min(LENGTHS)
    for row, length in enumerate(LENGTHS):
        part = slice(row, row + 1)
        alone = Batch(
            images=batch.images[part],
            tokens=batch.tokens[part, :length],
            is_word=batch.is_word[part, :length],
        )
        assert torch.allclose(logits_of(model, alone)[0], expected[row], atol=1e-5)
    other = replace(batch, tokens=batch.tokens + 9 * ~batch.is_word)
    assert torch.allclose(logits_of(model, other), expected, atol=1e-5)
