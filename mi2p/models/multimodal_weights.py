"""VisualBERT and ViLT: pretrained as published, or begun from a text encoder of the BERT family.

The second form is for machines without the published weights. It is not pretrained with images:
VisualBERT then has all of BERT and a new visual projection, ViLT no more than BERT's embeddings
of words, since its layers (normalised before, not after) take no weights of BERT's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import ViltConfig, ViltModel, VisualBertConfig, VisualBertModel

from mi2p.backbones import textual_card, visual_card
from mi2p.models.multimodal import MultimodalBackbone, ViltBackbone, VisualBertBackbone
from mi2p.models.textual import Bert, TextualBackbone, build_textual
from mi2p.models.textual_weights import pretrained_multimodal
from mi2p.models.weights import load_textual
from mi2p.spec import DataSpec

SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)
"""What a network that is begun from a BERT has in common with it."""

DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
PATCH = 32
"""Pixels along a patch's side, as in the published ViLT-B/32."""
POSITION_STD = 0.02
"""Of new positions and the new [CLS] of ViLT's images, as in the original code."""


def load_visualbert(textual: str, visual: str, folder: Path | None) -> MultimodalBackbone:
    """VisualBERT for the maps of the CNN called `visual`; errors as of `mi2p.models.weights`.

    `textual` is a published VisualBERT, or a BERT to begin with. Of the latter, the visual
    projection is drawn from torch's global random state, and the types and position of visual
    tokens begin as those of words, as in the original code. (`special_visual_initialize` of the
    library is meant to do so, but its initialisation overwrites that.) Where the BERT's feature
    is a mean, there is no pooler.
    """
    if textual_card(textual).family == "visualbert":
        return pretrained_multimodal(textual, folder)
    return _new_visualbert(load_textual(textual, folder), visual)


def build_visualbert(textual: str, visual: str) -> MultimodalBackbone:
    """The same with random weights alone."""
    card = textual_card(textual)
    if card.family != "visualbert":
        return _new_visualbert(build_textual(textual), visual)
    config = VisualBertConfig(visual_embedding_dim=card.visual_width)  # else the published sizes
    return VisualBertBackbone(card, VisualBertModel(config))


def _new_visualbert(bert: TextualBackbone, visual: str) -> MultimodalBackbone:
    assert isinstance(bert, Bert), bert.card.title
    config = VisualBertConfig(
        **_shared(bert, SHARED + DROPOUTS),
        visual_embedding_dim=visual_card(visual).last_channels,
    )
    net = VisualBertModel(config, add_pooling_layer=bert.net.pooler is not None)
    missing, unexpected = net.load_state_dict(bert.net.state_dict(), strict=False)
    assert not unexpected, unexpected
    embeddings, drawn = net.embeddings, set(missing)
    for part in ("token_type_embeddings", "position_embeddings"):
        source, target = getattr(embeddings, part), getattr(embeddings, f"visual_{part}")
        target.load_state_dict(source.state_dict())
        drawn.remove(f"embeddings.visual_{part}.weight")
    return VisualBertBackbone(bert.card, net, drawn)


def load_vilt(textual: str, data: DataSpec, folder: Path | None) -> MultimodalBackbone:
    """ViLT for the images and texts of `data`; errors as of `mi2p.models.weights`.

    `textual` is a published ViLT, or a BERT to begin with: then all but the embeddings of words
    is drawn from torch's global random state. A text may be longer than the 40 word pieces of the
    published one: its positions are stretched (`stretch_positions`).
    """
    if textual_card(textual).family == "vilt":
        backbone = pretrained_multimodal(textual, folder)
    else:
        backbone = _new_vilt(load_textual(textual, folder), data.image_size)
    stretch_positions(backbone.net, data.max_tokens)
    return backbone


def build_vilt(textual: str, data: DataSpec) -> MultimodalBackbone:
    """The same with random weights alone."""
    card = textual_card(textual)
    if card.family == "vilt":
        backbone: MultimodalBackbone = ViltBackbone(card, ViltModel(ViltConfig()))  # as published
    else:
        backbone = _new_vilt(build_textual(textual), data.image_size)
    stretch_positions(backbone.net, data.max_tokens)
    return backbone


def stretch_positions(net: Any, max_tokens: int) -> None:
    """Give a ViltModel as many positions of words as that, if it has fewer.

    Each new one is read off between the two nearest old ones; the first and the last stay. This
    is how Lee et al. (CVPR 2023) use ViLT for longer texts.
    """
    texts = net.embeddings.text_embeddings
    old = texts.position_embeddings.weight.detach()  # (l, d)
    if max_tokens <= len(old):
        return
    longer = F.interpolate(old.T[None], max_tokens, mode="linear", align_corners=True)[0].T
    texts.position_embeddings = nn.Embedding.from_pretrained(longer.contiguous(), freeze=False)
    texts.position_ids = torch.arange(max_tokens)[None]
    texts.token_type_ids = torch.zeros(1, max_tokens, dtype=torch.int64)
    net.config.max_position_embeddings = max_tokens


def _new_vilt(bert: TextualBackbone, image_size: int) -> MultimodalBackbone:
    assert isinstance(bert, Bert), bert.card.title
    config = ViltConfig(**_shared(bert, SHARED), image_size=image_size, patch_size=PATCH)
    net = ViltModel(config)
    net.embeddings.text_embeddings.load_state_dict(bert.net.embeddings.state_dict())
    for parameter in (net.embeddings.cls_token, net.embeddings.position_embeddings):
        nn.init.trunc_normal_(parameter, std=POSITION_STD)  # the library leaves them at zero
    drawn = {k for k in net.state_dict() if not k.startswith("embeddings.text_embeddings.")}
    return ViltBackbone(bert.card, net, drawn)


def _shared(bert: Bert, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(bert.net.config, name) for name in names}
