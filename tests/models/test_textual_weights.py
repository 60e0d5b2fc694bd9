"""Pretrained transformers and tokenizers: folders as the hub has them, and what is refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    CLIPConfig,
    CLIPModel,
    XLNetConfig,
    XLNetLMHeadModel,
    XLNetTokenizer,
)

from mi2p import backbones
from mi2p.backbones import TextualCard
from mi2p.models.textual import FAMILIES
from mi2p.models.textual_weights import FILES, HUB_NAMES, TOKENIZERS, VOCABULARIES
from mi2p.models.weight_files import WeightsUnavailable
from mi2p.models.weights import load_textual, load_tokenizer

TOY = BertConfig(
    vocab_size=8,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=16,
)


@pytest.fixture
def toy_bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BertModel:
    """A tiny encoder, saved as `bert-base-uncased`, whose card is made to fit."""
    card = TextualCard(title="toy", num_layers=2, num_heads=2, width=8, max_tokens=16)
    monkeypatch.setitem(backbones.TEXTUAL, "bert-base-uncased", card)
    torch.manual_seed(0)
    net = BertModel(TOY)
    folder = tmp_path / "bert-base-uncased"
    net.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "hat", "##s"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    return net


def test_a_textual_folder(tmp_path: Path, toy_bert: BertModel) -> None:
    found = load_textual("bert-base-uncased", tmp_path)
    expected = toy_bert.state_dict()
    assert found.net.state_dict().keys() == expected.keys()
    for name, value in found.net.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_tokenizer_in_the_same_folder(tmp_path: Path, toy_bert: BertModel) -> None:
    tokens, is_word = load_tokenizer("bert-base-uncased", tmp_path)(["Red hats"], 6)
    assert tokens.tolist() == [[2, 5, 6, 7, 3, 0]]
    assert is_word.sum().item() == 5


def test_a_textual_file_that_lacks_layers_is_refused(tmp_path: Path, toy_bert: BertModel) -> None:
    # transformers draws what is missing at random and only prints a table about it.
    path = tmp_path / "bert-base-uncased" / "model.safetensors"
    state = {k: v for k, v in load_file(path).items() if "layer.1." not in k}
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises((ValueError, RuntimeError), match="bert-base-uncased"):
        load_textual("bert-base-uncased", tmp_path)


def test_a_textual_folder_that_does_not_fit_its_card_is_refused(
    tmp_path: Path, toy_bert: BertModel
) -> None:
    folder = tmp_path / "bert-base-uncased"
    config = copy.deepcopy(TOY)
    config.hidden_size = 12
    BertModel(config).save_pretrained(folder)
    with pytest.raises((ValueError, RuntimeError), match="bert-base-uncased"):
        load_textual("bert-base-uncased", tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "no weights", "no config"])
def test_a_damaged_textual_folder_is_named(
    tmp_path: Path, toy_bert: BertModel, damage: str
) -> None:
    folder = tmp_path / "bert-base-uncased"
    weights = folder / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:500])
    else:
        (weights if damage == "no weights" else folder / "config.json").unlink()
    with pytest.raises((WeightsUnavailable, ValueError), match=re.escape(str(folder))):
        load_textual("bert-base-uncased", tmp_path)


@pytest.mark.parametrize("load", [load_textual, load_tokenizer])
def test_no_textual_weights_say_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: Callable[[str, Path | None], Any]
) -> None:
    def offline(source: str, *_: object, **__: object) -> None:
        raise OSError(f"{source} is not a local folder and the hub cannot be reached")

    monkeypatch.setattr("transformers.BertModel.from_pretrained", offline)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", offline)
    with pytest.raises(WeightsUnavailable) as refused:
        load("bert-base-uncased", None)
    message = str(refused.value)
    assert "put config.json, model.safetensors, tokenizer.json and vocab.txt" in message
    assert "of google-bert/bert-base-uncased into FOLDER/bert-base-uncased" in message
    with pytest.raises(WeightsUnavailable, match=re.escape(str(tmp_path / "bert-base-uncased"))):
        load("bert-base-uncased", tmp_path)


SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8}


def toy_card(family: Literal["xlnet", "clip"]) -> TextualCard:
    pooling: Literal["last", "eos"] = "last" if family == "xlnet" else "eos"
    return TextualCard(
        title="toy", family=family, num_layers=2, num_heads=2, width=8, pooling=pooling
    )


@pytest.fixture
def toy_xlnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> XLNetLMHeadModel:
    """As published: a language model, with its tokenizer."""
    monkeypatch.setitem(backbones.TEXTUAL, "xlnet-base-cased", toy_card("xlnet"))
    torch.manual_seed(0)
    config = XLNetConfig(vocab_size=9, d_model=8, n_layer=2, n_head=2, d_inner=8)
    net = XLNetLMHeadModel(config)
    net.save_pretrained(tmp_path / "xlnet-base-cased")
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        "<cls>",
        "<sep>",
        "<pad>",
        "<mask>",
        "\u2581red",
        "\u2581hat",
    ]
    tokenizer = XLNetTokenizer(vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)])
    tokenizer.save_pretrained(tmp_path / "xlnet-base-cased")
    return net.eval()


def test_an_xlnet_folder(tmp_path: Path, toy_xlnet: XLNetLMHeadModel) -> None:
    backbone = load_textual("xlnet-base-cased", tmp_path).eval()
    tokens, is_word = load_tokenizer("xlnet-base-cased", tmp_path)(["red hat", "red", ""], 5)
    assert tokens.tolist() == [[7, 8, 4, 3, 5], [7, 4, 3, 5, 5], [4, 3, 5, 5, 5]]
    segments = torch.tensor([[0, 0, 0, 2, 3], [0, 0, 2, 3, 3], [0, 2, 3, 3, 3]])
    with torch.no_grad():
        library = toy_xlnet.transformer(
            input_ids=tokens, attention_mask=is_word.long(), token_type_ids=segments
        )
        words = backbone(tokens, is_word)
    assert torch.equal(words, library.last_hidden_state)
    assert torch.equal(backbone.pool(words, is_word), words[[0, 1, 2], [3, 2, 1]])
    lost = {"mask_emb", *(k for k in toy_xlnet.transformer.state_dict() if "lm_loss" in k)}
    assert backbone.net.state_dict().keys() == toy_xlnet.transformer.state_dict().keys() - lost


@pytest.fixture(params=["clip_text", "clip-vit-base-patch32"])
def toy_clip(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CLIPModel:
    """As published: both towers, in half precision, with a tokenizer; the text tower is ours."""
    monkeypatch.setitem(backbones.TEXTUAL, "clip_text", toy_card("clip"))
    torch.manual_seed(0)
    vision = {**SIZES, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
    text = {**SIZES, "intermediate_size": 8, "vocab_size": 4, "bos_token_id": 0}
    config = CLIPConfig(text_config={**text, "eos_token_id": 1}, vision_config=vision)
    net = CLIPModel(config).half()
    folder = tmp_path / request.param
    net.save_pretrained(folder)
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return net.float().eval()


def test_a_folder_of_all_of_clip(tmp_path: Path, toy_clip: CLIPModel) -> None:
    backbone = load_textual("clip_text", tmp_path).eval()
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    tokens, is_word = load_tokenizer("clip_text", tmp_path)(["a b", "b", "a a a a a"], 5)
    assert tokens.tolist() == [[0, 2, 3, 1, 1], [0, 3, 1, 1, 1], [0, 2, 2, 2, 1]]
    with torch.no_grad():
        library = toy_clip.text_model(input_ids=tokens, attention_mask=is_word.long())
        words = backbone(tokens, is_word)
    assert torch.equal(words, library.last_hidden_state)
    assert torch.equal(backbone.pool(words, is_word), library.pooler_output)


def lacking(path: Path, part: str) -> None:
    """Save a folder's weights again without the tensors of `part`."""
    state = {k: v for k, v in load_file(path).items() if part not in k}
    save_file(state, path, metadata={"format": "pt"})


def test_an_xlnet_file_that_lacks_layers_is_refused(
    tmp_path: Path, toy_xlnet: XLNetLMHeadModel
) -> None:
    folder = tmp_path / "xlnet-base-cased"
    lacking(folder / "model.safetensors", "mask_emb")
    load_textual("xlnet-base-cased", tmp_path)  # it has no use for that one
    lacking(folder / "model.safetensors", "layer.1.ff.layer_1")
    message = f"{re.escape(str(folder))}: not toy weights.*missing .*layer.1.ff.layer_1"
    with pytest.raises(ValueError, match=message):
        load_textual("xlnet-base-cased", tmp_path)


def test_a_clip_file_that_lacks_layers_is_refused(tmp_path: Path, toy_clip: CLIPModel) -> None:
    (path,) = tmp_path.glob("*/model.safetensors")
    lacking(path, "text_model.encoder.layers.1.mlp")
    message = f"{re.escape(str(path.parent))}: not toy weights.*missing .*layers.1.mlp"
    with pytest.raises(ValueError, match=message):
        load_textual("clip_text", tmp_path)


def test_a_folder_of_another_family_is_refused(tmp_path: Path, toy_bert: BertModel) -> None:
    # The library would make an XLNet of it, of the sizes that it likes and at random.
    (tmp_path / "bert-base-uncased").rename(tmp_path / "xlnet-base-cased")
    with pytest.raises(ValueError, match="xlnet-base-cased: not XLNet weights"):
        load_textual("xlnet-base-cased", tmp_path)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_without_words_is_refused(
    tmp_path: Path, toy_xlnet: XLNetLMHeadModel, file: str
) -> None:
    # The library makes one that knows no word at all.
    (tmp_path / "xlnet-base-cased" / file).unlink()
    if file == "tokenizer_config.json":
        tokens, _ = load_tokenizer("xlnet-base-cased", tmp_path)(["red hat"], 5)
        assert tokens.tolist() == [[7, 8, 4, 3, 5]]
        return
    place = re.escape(str(tmp_path / "xlnet-base-cased"))
    with pytest.raises(WeightsUnavailable, match=f"and tokenizer.json of xlnet/.* into {place}"):
        load_tokenizer("xlnet-base-cased", tmp_path)


def test_half_a_tokenizer_is_named(tmp_path: Path, toy_clip: CLIPModel) -> None:
    (merges,) = tmp_path.glob("*/merges.txt")
    merges.unlink()
    message = f"{re.escape(str(merges.parent))}: its tokenizer cannot be read"
    with pytest.raises(ValueError, match=message):
        load_tokenizer("clip_text", tmp_path)


def test_visualbert_reads_words_as_bert_does(tmp_path: Path, toy_bert: BertModel) -> None:
    # It is published without a tokenizer; what else lies in its folder does not matter.
    (tmp_path / "visualbert-vqa-coco-pre").mkdir()
    own, lent = (
        load_tokenizer(name, tmp_path) for name in ("bert-base-uncased", "visualbert-vqa-coco-pre")
    )
    assert lent.fingerprint == own.fingerprint
    assert lent(["Red hats"], 6)[0].tolist() == [[2, 5, 6, 7, 3, 0]]
    (tmp_path / "bert-base-uncased" / "tokenizer.json").unlink()
    (tmp_path / "bert-base-uncased" / "vocab.txt").unlink()
    with pytest.raises(WeightsUnavailable) as refused:
        load_tokenizer("visualbert-vqa-coco-pre", tmp_path)
    assert str(refused.value) == (
        "no tokenizer for visualbert-vqa-coco-pre: put config.json, tokenizer.json and vocab.txt "
        f"of google-bert/bert-base-uncased into {tmp_path / 'bert-base-uncased'}, "
        "or run once with network access"
    )


@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.txt"])
def test_vilt_has_a_tokenizer_of_its_own(tmp_path: Path, toy_bert: BertModel, file: str) -> None:
    folder = tmp_path / "vilt-b32-mlm"
    folder.mkdir()
    with pytest.raises(WeightsUnavailable, match=r"and tokenizer\.json of dandelin/"):
        load_tokenizer("vilt-b32-mlm", tmp_path)
    (folder / "config.json").write_text(json.dumps({"model_type": "vilt"}))
    (tmp_path / "bert-base-uncased" / file).rename(folder / file)
    tokens, is_word = load_tokenizer("vilt-b32-mlm", tmp_path)(["Red hats"], 6)
    assert tokens.tolist() == [[2, 5, 6, 7, 3, 0]]
    assert is_word.sum().item() == 5


def test_every_textual_backbone_has_a_source() -> None:
    cards = {**backbones.TEXTUAL, **backbones.MULTIMODAL}
    hub = set(HUB_NAMES) | {"minilm"}
    assert hub == {name for name in cards if not name.startswith("tiny_")}
    assert {card.family for card in cards.values()} == set(FILES)
    assert set(FAMILIES) == {card.family for card in backbones.TEXTUAL.values()}
    owners = {TOKENIZERS.get(name, name) for name in cards}
    assert {cards[name].family for name in owners} == set(VOCABULARIES)


@pytest.mark.weights
def test_the_packaged_minilm() -> None:
    backbone, tokenize = load_textual("minilm", None).eval(), load_tokenizer("minilm", None)
    tokens, is_word = tokenize(["a red hat", "a scarlet cap", "seven hungry sharks"], 8)
    assert is_word.sum(1).tolist()[0] == 5
    with torch.no_grad():
        words = backbone(tokens, is_word)
        pooled = nn.functional.normalize(backbone.pool(words, is_word), dim=-1)
    assert words.shape == (3, 8, 384)
    assert len(backbone.net.encoder.layer) == 6
    # Trained to put like meanings together: random weights would not.
    assert pooled[0] @ pooled[1] > pooled[0] @ pooled[2] + 0.2
