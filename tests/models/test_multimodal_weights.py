"""VisualBERT and ViLT: folders as published, starts from a BERT, longer texts, what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertModel,
    ViltConfig,
    ViltForMaskedLM,
    VisualBertConfig,
    VisualBertForPreTraining,
)

from mi2p import backbones
from mi2p.backbones import TextualCard
from mi2p.models.multimodal import MultimodalBackbone
from mi2p.models.multimodal_weights import load_vilt, load_visualbert
from mi2p.models.textual import Bert
from mi2p.models.weight_files import WeightsUnavailable
from mi2p.models.weights import fingerprint, load_textual
from mi2p.spec import DataSpec

VISUALBERT, VILT = "visualbert-vqa-coco-pre", "vilt-b32-mlm"
CNN, CHANNELS = "tiny_densenet", 32
SIZES = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "initializer_range": 0.5,
}
CARD = TextualCard(title="toy", num_layers=2, num_heads=2, width=8)


def data_of(max_tokens: int = 16, image_size: int = 64) -> DataSpec:
    return DataSpec(name="none", max_tokens=max_tokens, image_size=image_size)


def texts(length: int = 6, vocabulary: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    is_word = torch.arange(length) < torch.tensor([length, 4, 2])[:, None]
    ids = torch.randint(4, vocabulary, is_word.shape, generator=generator)
    return ids * is_word, is_word


def maps_of(channels: int = CHANNELS) -> Tensor:
    return torch.rand(3, channels, 2, 2, generator=torch.Generator().manual_seed(1))


def images_of(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(256, (3, 3, size, size), dtype=torch.uint8, generator=generator)


def regions_of(maps: Tensor, seen: bool = True) -> dict[str, Tensor]:
    """Cells as the library wants regions."""
    cells = maps.flatten(2).mT
    ones = torch.ones(cells.shape[:2], dtype=torch.long)
    return {
        "visual_embeds": cells,
        "visual_token_type_ids": ones,
        "visual_attention_mask": ones * int(seen),
    }


@pytest.fixture
def toy_visualbert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VisualBertForPreTraining:
    """As published: with its heads, and without a tokenizer."""
    card = replace(CARD, family="visualbert", visual_width=CHANNELS)
    monkeypatch.setitem(backbones.MULTIMODAL, VISUALBERT, card)
    torch.manual_seed(0)
    config = VisualBertConfig(**SIZES, visual_embedding_dim=CHANNELS, max_position_embeddings=16)
    net = VisualBertForPreTraining(config)
    net.save_pretrained(tmp_path / VISUALBERT)
    return net.eval()


@pytest.fixture
def toy_vilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ViltForMaskedLM:
    """As published: with its head, 40 positions of words, images of other sizes than ours."""
    monkeypatch.setitem(backbones.MULTIMODAL, VILT, replace(CARD, family="vilt"))
    torch.manual_seed(0)
    net = ViltForMaskedLM(ViltConfig(**SIZES, image_size=96, patch_size=32))
    nn.init.normal_(net.vilt.embeddings.position_embeddings)
    net.save_pretrained(tmp_path / VILT)
    return net.eval()


def as_published(folder: Path, **config: Any) -> None:
    """Pickled weights with a buffer of older versions, and a configuration of older versions."""
    weights = folder / "model.safetensors"
    prefix = "visual_bert." if folder.name == VISUALBERT else "vilt."
    state = load_file(weights) | {f"{prefix}embeddings.position_ids": torch.arange(16)[None]}
    weights.unlink()
    torch.save(state, folder / "pytorch_model.bin")
    path = folder / "config.json"
    older = json.loads(path.read_text()) | config
    del older["dtype"]
    path.write_text(json.dumps(older))


def lacking(path: Path, part: str) -> None:
    """Save a folder's weights again without the tensors of `part`."""
    state = {k: v for k, v in load_file(path).items() if part not in k}
    save_file(state, path, metadata={"format": "pt"})


@torch.no_grad()
@pytest.mark.parametrize("older", [False, True])
def test_a_visualbert_folder(
    tmp_path: Path, toy_visualbert: VisualBertForPreTraining, older: bool
) -> None:
    if older:
        as_published(tmp_path / VISUALBERT, torch_dtype="float32")
    backbone = load_visualbert(VISUALBERT, CNN, tmp_path).eval()
    tokens, is_word = texts()
    library = toy_visualbert.visual_bert(
        input_ids=tokens, attention_mask=is_word.long(), **regions_of(maps_of())
    )
    assert torch.equal(backbone(tokens, is_word, maps_of()), library.pooler_output)
    assert backbone.drawn == frozenset()


@torch.no_grad()
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("size", [64, 96, 128])
def test_a_vilt_folder(tmp_path: Path, toy_vilt: ViltForMaskedLM, older: bool, size: int) -> None:
    if older:
        as_published(tmp_path / VILT, torch_dtype="float32", tie_word_embeddings=False)
    backbone = load_vilt(VILT, data_of(image_size=size), tmp_path).eval()
    tokens, is_word = texts()
    images = images_of(size)
    library = toy_vilt.vilt(
        input_ids=tokens,
        attention_mask=is_word.long(),
        pixel_values=images / 127.5 - 1,
        pixel_mask=torch.ones(3, size, size),
    )
    found = backbone(tokens, is_word, images)
    assert torch.allclose(found, library.pooler_output, atol=1e-5)
    assert backbone.drawn == frozenset()


def load(name: str, folder: Path | None) -> MultimodalBackbone:
    if name == VILT:
        return load_vilt(name, data_of(), folder)
    return load_visualbert(name, CNN, folder)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (VISUALBERT, "layer.1.output"),
        (VISUALBERT, "visual_projection"),
        (VISUALBERT, "pooler"),
        (VILT, "layer.1.output"),
        (VILT, "patch_embeddings"),
        (VILT, "cls_token"),
    ],
)
def test_a_file_that_lacks_parts_is_refused(
    tmp_path: Path, toy_visualbert: object, toy_vilt: object, name: str, part: str
) -> None:
    lacking(tmp_path / name / "model.safetensors", part)
    message = f"{re.escape(str(tmp_path / name))}: not toy weights.*missing .*{part}"
    with pytest.raises(ValueError, match=message):
        load(name, tmp_path)


@pytest.mark.parametrize("name", [VISUALBERT, VILT])
def test_a_folder_of_a_bert_is_refused(
    tmp_path: Path, toy_visualbert: object, toy_vilt: object, name: str
) -> None:
    # The library would draw all that is not in it.
    for file in (tmp_path / name).iterdir():
        file.unlink()
    BertForPreTraining(BertConfig(**SIZES)).save_pretrained(tmp_path / name)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / name))}: not toy weights"):
        load(name, tmp_path)


def test_a_visualbert_of_another_detector_is_refused(
    tmp_path: Path, toy_visualbert: VisualBertForPreTraining
) -> None:
    config = VisualBertConfig(**SIZES, visual_embedding_dim=31, max_position_embeddings=16)
    VisualBertForPreTraining(config).save_pretrained(tmp_path / VISUALBERT)
    message = re.escape(
        "not toy weights; width, layers and visual width (8, 2, 31), wanted (8, 2, 32)"
    )
    with pytest.raises(ValueError, match=message):
        load(VISUALBERT, tmp_path)


def test_a_vilt_of_another_width_is_refused(tmp_path: Path, toy_vilt: ViltForMaskedLM) -> None:
    config = ViltConfig(**{**SIZES, "hidden_size": 12}, image_size=96)
    ViltForMaskedLM(config).save_pretrained(tmp_path / VILT)
    message = re.escape(
        "not toy weights; width, layers and visual width (12, 2, 0), wanted (8, 2, 0)"
    )
    with pytest.raises(ValueError, match=message):
        load(VILT, tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "no weights", "no config"])
@pytest.mark.parametrize("name", [VISUALBERT, VILT])
def test_a_damaged_folder_is_named(
    tmp_path: Path, toy_visualbert: object, toy_vilt: object, name: str, damage: str
) -> None:
    weights = tmp_path / name / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:500])
    else:
        (weights if damage == "no weights" else tmp_path / name / "config.json").unlink()
    place = re.escape(str(tmp_path / name))
    with pytest.raises((WeightsUnavailable, ValueError), match=place):
        load(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "library", "told"),
    [
        (
            VISUALBERT,
            "VisualBertModel",
            "put config.json and model.safetensors or pytorch_model.bin "
            "of uclanlp/visualbert-vqa-coco-pre into FOLDER/visualbert-vqa-coco-pre",
        ),
        (
            VILT,
            "ViltModel",
            "put config.json, model.safetensors or pytorch_model.bin, and tokenizer.json "
            "of dandelin/vilt-b32-mlm into FOLDER/vilt-b32-mlm",
        ),
    ],
)
def test_no_weights_say_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, library: str, told: str
) -> None:
    def offline(source: str, *_: object, **__: object) -> None:
        raise OSError(f"{source} is not a local folder and the hub cannot be reached")

    monkeypatch.setattr(f"transformers.{library}.from_pretrained", offline)
    with pytest.raises(WeightsUnavailable, match=re.escape(told)):
        load(name, None)
    with pytest.raises(WeightsUnavailable, match=re.escape(f"into {tmp_path / name}")):
        load(name, tmp_path)


def bert_of(pooling: str, monkeypatch: pytest.MonkeyPatch) -> Bert:
    """The tiny BERT, with the pooling of MiniLM if that is `mean`."""
    if pooling == "mean":
        card = replace(backbones.TEXTUAL["tiny_bert"], pooling="mean")
        monkeypatch.setitem(backbones.TEXTUAL, "tiny_bert", card)
    bert = load_textual("tiny_bert", None)
    assert isinstance(bert, Bert)
    return bert


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_visualbert_begins_with_all_of_a_bert(
    monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    bert = bert_of(pooling, monkeypatch).net.state_dict()
    backbone = load_visualbert("tiny_bert", CNN, None)
    found = backbone.net.state_dict()
    assert ("pooler.dense.weight" in found) == (pooling == "pooler")
    for name, value in bert.items():
        assert torch.equal(found[name], value), name
    visual = {k for k in found if "visual" in k}
    assert found.keys() == bert.keys() | visual
    # As the original begins: a visual token has the type and position embeddings of words.
    for part, rows in (("token_type", 2), ("position", 1)):
        copied = found[f"embeddings.visual_{part}_embeddings.weight"]
        assert torch.equal(copied, bert[f"embeddings.{part}_embeddings.weight"][:rows])
    projection = {f"net.embeddings.visual_projection.{k}" for k in ("weight", "bias")}
    assert backbone.drawn == projection
    assert found["embeddings.visual_projection.weight"].shape == (48, CHANNELS)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_visualbert_without_cells_is_the_bert(
    monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    bert = bert_of(pooling, monkeypatch).eval()
    backbone, (tokens, is_word) = load_visualbert("tiny_bert", CNN, None).eval(), texts()
    maps = maps_of()
    unseen = backbone.net(
        input_ids=tokens, attention_mask=is_word.long(), **regions_of(maps, seen=False)
    )
    words = bert(tokens, is_word)
    assert torch.allclose(unseen.last_hidden_state[:, :6][is_word], words[is_word], atol=1e-5)
    moved = backbone(tokens, is_word, maps) - bert.pool(words, is_word)
    assert moved.abs().max() > 1e-3


def test_a_bert_hands_on_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backbones.TEXTUAL, "bert-base-uncased", CARD)
    own = {
        **SIZES,
        "max_position_embeddings": 24,
        "type_vocab_size": 3,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-3,
        "pad_token_id": 3,
    }
    dropouts = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
    BertModel(BertConfig(**own, **dropouts)).save_pretrained(tmp_path / "bert-base-uncased")
    visualbert = load_visualbert("bert-base-uncased", CNN, tmp_path).net.config
    vilt = load_vilt("bert-base-uncased", data_of(), tmp_path).net.config
    for name, value in own.items():
        assert getattr(visualbert, name) == getattr(vilt, name) == value, name
    for name, value in dropouts.items():
        assert getattr(visualbert, name) == value
        assert getattr(vilt, name) == 0  # as of the published ViLT


def begun(name: str, seed: int) -> MultimodalBackbone:
    torch.manual_seed(seed)
    if name == "vilt":
        return load_vilt("tiny_bert", data_of(image_size=96), None)
    return load_visualbert("tiny_bert", CNN, None)


@pytest.mark.parametrize("name", ["visualbert", "vilt"])
def test_what_is_drawn_and_nothing_else_depends_on_the_seed(name: str) -> None:
    one, other, again = (begun(name, seed) for seed in (0, 1, 0))
    states = [backbone.state_dict() for backbone in (one, other, again)]
    assert one.drawn == other.drawn < states[0].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[2][key]), key
        # Biases and norms are new as well, but begin as zeros and ones.
        constant = bool((value == value.flatten()[0]).all())
        assert (key in one.drawn and not constant) != torch.equal(value, states[1][key]), key
    assert fingerprint(one) == fingerprint(other)
    with torch.no_grad():
        kept = next(p for k, p in other.named_parameters() if k not in other.drawn)
        kept.add_(1)
    assert fingerprint(one) != fingerprint(other)


def test_vilt_begins_with_the_embeddings_of_words_of_a_bert() -> None:
    bert = load_textual("tiny_bert", None).net
    backbone = begun("vilt", 0)
    found = backbone.net.state_dict()
    words = bert.embeddings.state_dict()
    for name, value in words.items():
        assert torch.equal(found[f"embeddings.text_embeddings.{name}"], value), name
    assert len(backbone.drawn) == len(found) - len(words)
    assert not any("text_embeddings" in name for name in backbone.drawn)
    config = backbone.net.config
    for size in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        assert getattr(config, size) == getattr(bert.config, size)
    assert (config.image_size, config.patch_size) == (96, 32)
    # The library would have patches at one and the same position, 0.
    assert found["embeddings.position_embeddings"].shape == (1, 1 + 9, 48)
    for name in ("position_embeddings", "cls_token"):
        assert 0.015 < found[f"embeddings.{name}"].std() < 0.025


@pytest.mark.parametrize("max_tokens", [16, 40])
def test_positions_of_words_stay_if_there_are_enough(
    tmp_path: Path, toy_vilt: ViltForMaskedLM, max_tokens: int
) -> None:
    net = load_vilt(VILT, data_of(max_tokens), tmp_path).net
    expected = toy_vilt.vilt.state_dict()
    assert net.state_dict().keys() == expected.keys()
    for name, value in net.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("max_tokens", [41, 64, 79])
def test_positions_of_longer_texts_lie_between_the_old_ones(
    tmp_path: Path, toy_vilt: ViltForMaskedLM, max_tokens: int
) -> None:
    backbone = load_vilt(VILT, data_of(max_tokens), tmp_path)
    old = toy_vilt.vilt.embeddings.text_embeddings.position_embeddings.weight.detach()
    new = backbone.net.embeddings.text_embeddings.position_embeddings.weight.detach()
    assert len(old) == 40 and len(new) == max_tokens
    assert torch.equal(new[0], old[0]) and torch.allclose(new[-1], old[-1], atol=1e-5)
    for row in range(max_tokens):
        at = row * 39 / (max_tokens - 1)
        below = min(int(at), 38)
        expected = old[below] + (at - below) * (old[below + 1] - old[below])
        assert torch.allclose(new[row], expected, atol=1e-4), row
    tokens, is_word = texts(max_tokens)
    images = images_of(64)
    feature = backbone(tokens, is_word, images)
    feature.sum().backward()
    gradient = backbone.net.embeddings.text_embeddings.position_embeddings.weight.grad
    assert (gradient.abs().sum(1) > 0).all()
    with torch.no_grad():  # the long text is cut off: padding does not matter here either
        short = backbone(tokens[1:, :4], is_word[1:, :4], images[1:])
    assert torch.allclose(short, feature[1:], atol=1e-5)


@pytest.mark.weights
@torch.no_grad()
def test_visualbert_begins_with_the_packaged_minilm() -> None:
    minilm = load_textual("minilm", None).eval()
    backbone = load_visualbert("minilm", "resnet50", None).eval()
    assert backbone.net.pooler is None
    tokens, is_word = texts(vocabulary=30000)
    maps = maps_of(2048)
    unseen = backbone.net(
        input_ids=tokens, attention_mask=is_word.long(), **regions_of(maps, seen=False)
    )
    words = minilm(tokens, is_word)
    assert torch.allclose(unseen.last_hidden_state[:, :6][is_word], words[is_word], atol=1e-4)
    assert backbone(tokens, is_word, maps).shape == (3, 384)
