"""What a spec has to know about each backbone, without importing torch.

A *tap* is a place where a MI2P unit can be attached. Taps are numbered from 1 as in the paper's
Table 5: the four resolutions of a CNN, the layers of a transformer. The adapters in
`mi2p.models.visual` and `mi2p.models.textual` build the networks; a contract test holds that
what they build has exactly the taps declared here.

`timm:NAME` is any CNN of the library timm. Its card is read off the network itself, so it alone
needs torch, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TAP_STRIDES = (4, 8, 16, 32)
"""Input pixels per feature-map cell at taps 1 to 4 of every CNN below."""

TIMM = "timm:"
"""Prefix of the names that stand for a CNN of timm."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True, slots=True)
class VisualCard:
    """A CNN: channels at its four taps, and those of its last map Z' before aggregation."""

    title: str
    tap_channels: tuple[int, int, int, int]
    last_channels: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def num_taps(self) -> int:
        """How many places a unit can be attached to."""
        return len(self.tap_channels)

    def tap_side(self, tap: int, image_size: int) -> int:
        """Height (= width) in cells of the feature map at `tap` (from 1)."""
        return image_size // TAP_STRIDES[tap - 1]

    def last_side(self, image_size: int) -> int:
        """Height (= width) in cells of Z'."""
        return image_size // TAP_STRIDES[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextualCard:
    """A transformer encoder: one tap after each of its layers."""

    title: str
    family: Literal["bert", "xlnet", "clip", "visualbert", "vilt"] = "bert"
    num_layers: int
    num_heads: int
    width: int
    max_tokens: int = 512
    pooling: Literal["pooler", "mean", "last", "eos"] = "pooler"
    """The global feature the encoder was pretrained to give: tanh([CLS] W), the words' mean, or
    the last word's state: XLNet's <cls> (published without weights for a tanh), CLIP's EOS."""
    visual_width: int = 0
    """Channels of the visual features it was pretrained with, if of any."""

    @property
    def num_taps(self) -> int:
        """How many places a unit can be attached to."""
        return self.num_layers


VISUAL: Mapping[str, VisualCard] = {
    "densenet121": VisualCard(
        title="DenseNet-121", tap_channels=(256, 512, 1024, 1024), last_channels=1024
    ),
    "densenet161": VisualCard(
        title="DenseNet-161", tap_channels=(384, 768, 2112, 2208), last_channels=2208
    ),
    "densenet169": VisualCard(
        title="DenseNet-169", tap_channels=(256, 512, 1280, 1664), last_channels=1664
    ),
    "densenet201": VisualCard(
        title="DenseNet-201", tap_channels=(256, 512, 1792, 1920), last_channels=1920
    ),
    "efficientnet_lite0": VisualCard(
        title="EfficientNet-Lite0",
        tap_channels=(24, 40, 112, 320),
        last_channels=1280,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "resnet50": VisualCard(
        title="ResNet-50", tap_channels=(256, 512, 1024, 2048), last_channels=2048
    ),
    "resnet50_clip": VisualCard(
        title="CLIP-Img",
        tap_channels=(256, 512, 1024, 2048),
        last_channels=2048,
        mean=CLIP_MEAN,
        std=CLIP_STD,
    ),
    "tiny_densenet": VisualCard(
        title="tiny random DenseNet", tap_channels=(32, 32, 32, 32), last_channels=32
    ),
    "tiny_resnet": VisualCard(
        title="tiny random ResNet", tap_channels=(64, 128, 256, 512), last_channels=512
    ),
    "tiny_clip_resnet": VisualCard(
        title="tiny random CLIP-Img",
        tap_channels=(32, 32, 64, 64),
        last_channels=64,
        mean=CLIP_MEAN,
        std=CLIP_STD,
    ),
}

TEXTUAL: Mapping[str, TextualCard] = {
    "bert-base-uncased": TextualCard(title="BERT", num_layers=12, num_heads=12, width=768),
    "minilm": TextualCard(title="MiniLM", num_layers=6, num_heads=12, width=384, pooling="mean"),
    "xlnet-base-cased": TextualCard(
        title="XLNet", family="xlnet", num_layers=12, num_heads=12, width=768, pooling="last"
    ),
    "clip_text": TextualCard(
        title="CLIP-Text",
        family="clip",
        num_layers=12,
        num_heads=8,
        width=512,
        max_tokens=77,
        pooling="eos",
    ),
    "tiny_bert": TextualCard(
        title="tiny random BERT", num_layers=3, num_heads=4, width=48, max_tokens=64
    ),
    "tiny_xlnet": TextualCard(
        title="tiny random XLNet",
        family="xlnet",
        num_layers=3,
        num_heads=4,
        width=48,
        max_tokens=64,
        pooling="last",
    ),
    "tiny_clip_text": TextualCard(
        title="tiny random CLIP-Text",
        family="clip",
        num_layers=3,
        num_heads=4,
        width=48,
        max_tokens=64,
        pooling="eos",
    ),
}

MULTIMODAL: Mapping[str, TextualCard] = {
    "visualbert-vqa-coco-pre": TextualCard(
        title="VisualBERT",
        family="visualbert",
        num_layers=12,
        num_heads=12,
        width=768,
        visual_width=2048,
    ),
    "vilt-b32-mlm": TextualCard(
        title="ViLT", family="vilt", num_layers=12, num_heads=12, width=768
    ),
}
"""Transformers pretrained with images and texts at once, for the models of their name only."""


def visual_card(name: str) -> VisualCard:
    """The card of the CNN called `name`; `ValueError` lists the known ones.

    A `timm:NAME` is built once per process to see its maps; `ValueError` if it is no CNN with
    maps at `TAP_STRIDES`.
    """
    if name.startswith(TIMM):
        from mi2p.models.chains import timm_card

        return timm_card(name.removeprefix(TIMM))
    if name not in VISUAL:
        known = ", ".join(VISUAL)
        raise ValueError(f"unknown visual backbone {name!r}; known: {known}, {TIMM}NAME")
    return VISUAL[name]


def textual_card(name: str) -> TextualCard:
    """The card of the transformer called `name`; `ValueError` lists the known ones."""
    cards = {**TEXTUAL, **MULTIMODAL}
    if name not in cards:
        raise ValueError(f"unknown textual backbone {name!r}; known: {', '.join(cards)}")
    return cards[name]
