"""Pretrained weights: what is random but fixed, and which weights they are."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from transformers import ViltConfig, ViltForMaskedLM

from mi2p import backbones
from mi2p.backbones import TextualCard
from mi2p.models import weights
from mi2p.models.multimodal_weights import load_vilt
from mi2p.models.textual_weights import pretrained_multimodal
from mi2p.models.tokenizers import HashTokenizer
from mi2p.models.weights import (
    WeightsUnavailable,
    fingerprint,
    load_textual,
    load_tokenizer,
    load_visual,
    weights_fingerprint,
)
from mi2p.spec import DataSpec


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


def test_a_fingerprint_leaves_out_what_is_drawn() -> None:
    last = nn.Linear(2, 2)
    net = nn.Sequential(nn.Linear(2, 2), last)
    whole = fingerprint(net)
    net.drawn = frozenset({"1.weight"})  # type: ignore[assignment]
    expected = fingerprint(net)
    assert expected != whole
    with torch.no_grad():
        last.weight.add_(1)
        assert fingerprint(net) == expected
        last.bias.add_(1)
    assert fingerprint(net) != expected


@pytest.mark.parametrize("name", ["tiny_resnet", "tiny_clip_resnet"])
def test_every_tiny_cnn_is_fixed(name: str) -> None:
    assert fingerprint(load_visual(name, None)) == fingerprint(load_visual(name, None))


@pytest.mark.parametrize("name", ["tiny_xlnet", "tiny_clip_text"])
def test_every_tiny_transformer_is_fixed_and_reads_hashed_words(name: str) -> None:
    assert fingerprint(load_textual(name, None)) == fingerprint(load_textual(name, None))
    assert isinstance(load_tokenizer(name, None), HashTokenizer)


@pytest.mark.parametrize("name", ["tiny_resnet", "tiny_xlnet"])
def test_the_fingerprint_of_a_name_is_that_of_what_is_loaded(name: str) -> None:
    load = load_textual if name == "tiny_xlnet" else load_visual
    assert weights_fingerprint(name, None) == fingerprint(load(name, None))


def test_the_fingerprint_of_a_name_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torchvision.models.densenet121(weights=None).state_dict()
    torch.save(state, tmp_path / "densenet121.pth")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = weights_fingerprint("densenet121", tmp_path)
    assert torch.equal(torch.rand(3), expected)  # it left the random state alone
    assert found == fingerprint(load_visual("densenet121", tmp_path))
    monkeypatch.setattr(weights, "load_visual", None)
    assert weights_fingerprint("densenet121", tmp_path) == found


def test_the_fingerprint_of_a_multimodal_transformer_needs_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = TextualCard(title="toy", family="vilt", num_layers=1, num_heads=2, width=8)
    monkeypatch.setitem(backbones.MULTIMODAL, "vilt-b32-mlm", card)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    net = ViltForMaskedLM(ViltConfig(**sizes, vocab_size=9, intermediate_size=8))
    net.save_pretrained(tmp_path / "vilt-b32-mlm")
    found = weights_fingerprint("vilt-b32-mlm", tmp_path)
    assert found == fingerprint(pretrained_multimodal("vilt-b32-mlm", tmp_path))
    fitting = DataSpec(name="none", image_size=64, max_tokens=40)
    assert found == fingerprint(load_vilt("vilt-b32-mlm", fitting, tmp_path))


def test_a_name_without_weights_has_no_fingerprint_now_or_later(tmp_path: Path) -> None:
    # A failure is not remembered: the file may come.
    for _ in range(2):
        with pytest.raises(WeightsUnavailable, match="must be a folder"):
            weights_fingerprint("densenet121", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="unknown visual backbone 'x'"):
        weights_fingerprint("x", None)
