"""Pretrained weights: packaged, from a local folder, or from the hub; never silently random.

Sources, first hit wins: the folder given (`--weights`, or the environment's MI2P_WEIGHTS), the
packages that carry weights, the hub's own cache or download. A machine without network gets a
`WeightsUnavailable` that says which file to put where; a file of another network or a damaged one
is a `ValueError` that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import nn

from mi2p.backbones import MULTIMODAL, TEXTUAL
from mi2p.models.classifier import drawn_in
from mi2p.models.multimodal import MultimodalBackbone
from mi2p.models.textual import TINY_VOCABULARY, TextualBackbone, build_textual
from mi2p.models.textual_weights import (
    pretrained_multimodal,
    pretrained_textual,
    pretrained_tokenizer,
)
from mi2p.models.tokenizers import HashTokenizer, Tokenizer
from mi2p.models.visual import VisualBackbone, build_visual
from mi2p.models.visual_weights import pretrained_visual
from mi2p.models.weight_files import WeightsUnavailable

__all__ = [
    "WeightsUnavailable",
    "fingerprint",
    "load_textual",
    "load_tokenizer",
    "load_visual",
    "weights_fingerprint",
]


def load_visual(name: str, folder: Path | None) -> VisualBackbone:
    """The CNN called `name`, pretrained (a tiny one's weights are random but fixed)."""
    if name.startswith("tiny_"):
        with _tiny_seed():
            return build_visual(name)
    return pretrained_visual(name, folder)


def load_textual(name: str, folder: Path | None) -> TextualBackbone:
    """The transformer called `name`, pretrained (a tiny one's weights are random but fixed)."""
    if name.startswith("tiny_"):
        with _tiny_seed():
            return build_textual(name)
    return pretrained_textual(name, folder)


def load_tokenizer(name: str, folder: Path | None) -> Tokenizer:
    """The tokenizer the transformer called `name` was pretrained with."""
    if name.startswith("tiny_"):
        return HashTokenizer(TINY_VOCABULARY)
    return pretrained_tokenizer(name, folder)


def fingerprint(module: nn.Module) -> str:
    """16 hex digits over every parameter and buffer: which weights these are.

    Without those that were drawn at random, which are others for every seed.
    """
    digest, drawn = hashlib.sha256(), drawn_in(module)
    for name, value in sorted(module.state_dict().items()):
        if name in drawn:
            continue
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


@cache
def weights_fingerprint(name: str, folder: Path | None) -> str:
    """`fingerprint` of the backbone called `name`, of any kind, as it is loaded: whole.

    Once per process: a folder whose files change meanwhile keeps its first fingerprint. Leaves
    the random state as it was.
    """
    with torch.random.fork_rng(devices=[]):  # libraries draw weights before they load them
        return fingerprint(_load(name, folder))


def _load(name: str, folder: Path | None) -> VisualBackbone | TextualBackbone | MultimodalBackbone:
    if name in MULTIMODAL:
        return pretrained_multimodal(name, folder)
    return load_textual(name, folder) if name in TEXTUAL else load_visual(name, folder)


@contextmanager
def _tiny_seed() -> Iterator[None]:
    """A tiny backbone's random weights stand for pretrained ones: the same at every load."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
