"""Costs of models against sums by hand and published numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from mi2p.data.protocols import protocol
from mi2p.methods import METHODS, Backbones
from mi2p.models.blueprint import Untrained
from mi2p.models.describing import Bytes, Description, architecture, describe
from mi2p.models.textual import build_textual
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from tests.tiny_models import spec_of

K = 5


def trial(model: ModelSpec, *, image_size: int = 64, max_tokens: int = 16) -> TrialSpec:
    return TrialSpec(
        data=DataSpec(name="none", image_size=image_size, max_tokens=max_tokens),
        model=model,
        train=TrainSpec(lr=1e-3, epochs=1),
    )


def row(key: str, dataset: str, **names: str) -> TrialSpec:
    """A method as the protocol of a data set has it."""
    own = protocol(dataset)
    backbones = Backbones(
        dataset=dataset,
        visual=names.get("visual", own.visual),
        textual=names.get("textual", own.textual),
    )
    model = METHODS[key].model(backbones)
    return TrialSpec(data=own.data, model=model, train=own.train(model.trains))


def head(width: int) -> int:
    return width * K + K


def trained(spec: TrialSpec) -> int:
    plan = Untrained(spec=spec, num_classes=K, multilabel=False, stored=frozenset())
    return sum(p.numel() for p in architecture(plan).trained_parameters())


def bert_parameters(width: int, layers: int, *, vocabulary: int = 30522, texts: int = 512) -> int:
    """Of BERT by its paper: embeddings, layers and the pooler."""
    embeddings = (vocabulary + texts + 2) * width + 2 * width
    attention, inner = 4 * (width * width + width), 2 * 4 * width * width + 4 * width + width
    return embeddings + layers * (attention + inner + 4 * width) + width * width + width


def test_published_numbers_of_parameters() -> None:
    # torchvision's, less their classifiers of 1000 classes.
    for name, last in (("densenet121", 1024), ("densenet201", 1920), ("resnet50", 2048)):
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
        published = weights.meta["num_params"] - 1000 * last - 1000
        assert trained(trial(ModelSpec(name="cnn", visual=name))) == published + head(last)
    assert bert_parameters(768, 12) == 109_482_240
    bert = trial(ModelSpec(name="bert", textual="bert-base-uncased"))
    assert trained(bert) == 109_482_240 + head(768)
    minilm = trial(ModelSpec(name="bert", textual="minilm"))  # the pooler is left out
    assert trained(minilm) == bert_parameters(384, 6) - 384 * 384 - 384 + head(384)


def test_the_other_transformers_have_their_published_sizes() -> None:
    with torch.device("meta"):
        found = {
            name: sum(p.numel() for p in build_textual(name).parameters())
            for name in ("xlnet-base-cased", "clip_text")
        }
    d = 768  # five maps; three biases of scores; two segments; a layer norm
    attention = 5 * d * d + 3 * d + 2 * d + 2 * d
    layer = attention + 8 * d * d + 4 * d + d + 2 * d
    assert found["xlnet-base-cased"] == 32000 * d + 12 * layer
    d = 512
    layer = 4 * (d * d + d) + 8 * d * d + 5 * d + 4 * d
    assert found["clip_text"] == (49408 + 77) * d + 12 * layer + 2 * d == 63_165_952


def test_visualbert_and_vilt_as_published_and_begun_from_a_bert() -> None:
    bert, vision = bert_parameters(768, 12), 2048 * 768 + 768
    published = trained(row("visualbert", "crisismmd_task1"))
    # BERT, the projection, and types and a position of visual tokens.
    assert published == bert + vision + (2 + 1) * 768 + head(768)
    patches = 3 * 32 * 32 * 768 + 768 + 768 + (384 // 32) ** 2 * 768 + 768
    shorter = (512 - 64) * 768  # no more positions of words than the longest text has
    # A layer norm behind all layers, types of the two modalities.
    others = 2 * 768 + 2 * 768
    vilt = trained(row("vilt", "crisismmd_task1"))
    assert vilt == bert - shorter + patches + others + head(768)
    begun = row("vilt", "openclipart", textual="tiny_bert")
    tiny = sum(p.numel() for p in build_textual("tiny_bert").parameters())
    patches = 3 * 32 * 32 * 48 + 48 + 48 + (128 // 32) ** 2 * 48 + 48
    assert trained(begun) == tiny + patches + 4 * 48 + head(48)
    begun = row("visualbert", "openclipart", textual="tiny_bert", visual="tiny_densenet")
    assert trained(begun) == tiny + 32 * 48 + 48 + 3 * 48 + head(48)


@pytest.mark.slow  # takes half a minute
@pytest.mark.parametrize("name", ["resnet50", "densenet121"])
def test_published_operations_of_cnns(name: str) -> None:
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    found = describe(trial(ModelSpec(name="cnn", visual=name), image_size=224), 1000)
    # Published are multiply-adds at 224 px, in units of 10^9.
    assert found.forward_flops / 2e9 == pytest.approx(weights.meta["_ops"], rel=1e-3)
    # Backward twice the forward pass, but for the first layer, whose input needs no gradient.
    first = 2 * 112 * 112 * 64 * 3 * 7 * 7
    assert found.step_flops == 3 * found.forward_flops - first


def test_operations_of_a_transformer_by_hand() -> None:
    length, d = 24, 384
    found = describe(trial(ModelSpec(name="bert", textual="minilm"), max_tokens=length), K)
    layer = 2 * length * (4 * d * d + 8 * d * d) + 2 * 2 * length * length * d
    forward = 6 * layer + 2 * d * K
    assert found.forward_flops == forward
    # Embeddings look up. The fused kernel computes scores again: five products of its size.
    assert found.step_flops == 3 * forward + 6 * 2 * length * length * d


@pytest.mark.slow  # takes half a minute
def test_parameters_and_the_state_of_an_expanded_model() -> None:
    spec = row("me_cnn", "openclipart")
    found = describe(spec, K, stored=("words",))
    plain = describe(row("cnn", "openclipart"), K)
    bert = bert_parameters(384, 6) - 384 * 384 - 384
    assert (plain.frozen, found.frozen) == (0, bert)
    assert plain.added == head(1280)
    # Keys, values, and shared queries of 8 x 64 numbers with a bias, at 32 to 4 cells a side.
    cells = [(128 // stride) ** 2 for stride in (4, 8, 16, 32)]
    units = sum(384 * 512 + 384 * n + 512 * 9 + 512 for n in cells)
    assert found.added == units + head(1280)
    assert found.trained == plain.trained + units
    buffers = plain.state - 16 * plain.trained
    assert found.state - 16 * found.trained == buffers > 0  # T' is stored: no BERT on the GPU
    without = describe(spec, K)
    places = 2 * 512 * 8  # positions and segments that the library keeps beside its parameters
    assert without.state == found.state + 4 * bert + places
    encoder = describe(row("bert", "openclipart"), K).forward_flops - 2 * 384 * K
    assert without.forward_flops == found.forward_flops + encoder
    assert without.trained == found.trained and without.frozen == found.frozen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "bert", "visualbert"])
def test_checkpointing_keeps_less_and_computes_more(name: str) -> None:
    plain, less = (
        describe(spec_of(name), K, stored=("words", "maps"), checkpoint=checkpoint)
        for checkpoint in (False, True)
    )
    for precision in plain.kept:
        assert less.kept[precision].per_sample < 0.7 * plain.kept[precision].per_sample
        assert less.needed(precision, 1024) < plain.needed(precision, 1024)
    assert less.forward_flops == plain.forward_flops
    # All is computed again but what the last part of each layer gives, which nobody asks for.
    assert plain.step_flops < less.step_flops < plain.step_flops + plain.forward_flops
    assert replace(less, kept=plain.kept, step=plain.step, step_flops=plain.step_flops) == plain


@pytest.mark.parametrize("name", ["cnn", "bert"])
def test_bfloat16_keeps_between_a_half_and_all(name: str) -> None:
    found = describe(spec_of(name), K, stored=("words", "maps"))
    half, full = (found.kept[p].per_sample for p in ("bfloat16", "float32"))
    assert 0.45 * full < half < full


@pytest.mark.slow
def test_images_are_in_memory_only_where_they_are_read() -> None:
    spec = spec_of("me_bert")
    stored = describe(spec, K, stored=("maps",))
    computed = describe(spec, K)
    # Z' out of a store, or else the image that it is computed of; units read copies of Z'.
    maps, image = 32 * 2 * 2 * 4, 3 * 64 * 64
    assert computed.kept["float32"] == stored.kept["float32"]
    for precision in stored.step:
        found = computed.step[precision].per_sample - stored.step[precision].per_sample
        assert found == image - maps
    words = 8 * 8 + 8  # ids, and whether they are words
    kept = stored.kept["float32"].per_sample
    assert stored.step["float32"].per_sample >= kept + maps + words


def test_batches_by_hand() -> None:
    of = Bytes(fixed=100, per_sample=7)
    assert [of.of(n) for n in (0, 3)] == [100, 121]
    found = Description(
        trained=1,
        added=1,
        frozen=0,
        forward_flops=1,
        step_flops=3,
        state=1000,
        kept={"float32": of},
        step={"float32": Bytes(fixed=100, per_sample=10)},
    )
    assert found.needed("float32", 4) == 1140
    assert [found.largest("float32", n) for n in (1139, 1140, 1149, 1150)] == [3, 4, 4, 5]
    assert found.largest("float32", 900) == 0


@pytest.mark.slow  # takes half a minute
def test_what_is_described_draws_nothing_and_leaves_torch_as_it_was() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    describe(spec_of("me_fusion-cbp"), K)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.nn.functional.scaled_dot_product_attention.__module__ != describe.__module__
    assert torch.zeros(1).item() == 0 and torch.empty(1).device.type == "cpu"
    assert not torch.is_autocast_enabled("cuda")


@pytest.mark.slow
def test_every_method_without_weights_or_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("read a file of weights")

    for name in ("load_visual", "load_textual", "load_visualbert", "load_vilt"):
        monkeypatch.setattr(f"mi2p.models.blueprint.{name}", never)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for key in METHODS:
        spec = row(key, "openclipart")
        found = describe(spec, K, stored=("words",))
        kept = found.kept["float32"].per_sample
        assert 0 < found.added <= found.trained
        assert 2 * found.forward_flops < found.step_flops <= 3.2 * found.forward_flops or (
            spec.model.frozen  # whose encoder has no backward pass
        )
        assert 0.4 * kept < found.kept["bfloat16"].per_sample < kept
        assert kept <= found.step["float32"].per_sample < 2 * kept
        assert found.largest("bfloat16", 80e9) > found.largest("float32", 16e9) > 4
