"""Files of weights: found in the user's folder, read with suspicion, held to the network."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mi2p.checkpoint import UNREADABLE

SUFFIXES = (".pth", ".pt", ".safetensors")


class WeightsUnavailable(RuntimeError):
    """Pretrained weights that are neither here nor to be had; says what to put where."""


def where_to_put(folder: Path | None) -> str:
    """The folder to name in a message."""
    return str(folder or "a folder named by --weights or MI2P_WEIGHTS")


def in_folder(folder: Path | None, is_it: Callable[[Path], bool]) -> Path | None:
    """The first file of weights in the folder, in the order of names, that `is_it`.

    `WeightsUnavailable` if the folder is none.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise WeightsUnavailable(f"--weights must be a folder, but {folder} is not one")
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return next((path for path in files if is_it(path)), None)


def named(stem: str) -> Callable[[Path], bool]:
    """Whether a file is `stem`.pth or `stem`-anything.pth, or one of the other suffixes."""
    return lambda path: path.stem.split("-")[0] == stem


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, a safetensors file or a TorchScript archive by name.

    `ValueError` names a file that is damaged or holds anything else.
    """
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    try:
        state: Any = _load(path)
    except UNREADABLE as error:
        raise ValueError(f"{path}: not a readable PyTorch state dict ({error})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path}: not a PyTorch state dict")
    return dict(state)


def _load(path: Path) -> Any:
    if _is_torchscript(path):  # OpenAI's own CLIP; nothing else reads these archives
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.load.* is deprecated", FutureWarning)
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def fit(
    module: nn.Module,
    values: Mapping[str, Tensor],
    *,
    source: str,
    title: str,
    ignored: Callable[[str], bool],
) -> None:
    """Load `values` into `module`, all of it and from nothing else but `ignored` names.

    `ValueError` says that `source` has no `title` weights, and the first names that are wrong.
    """
    own = module.state_dict()
    # Counters of batches are younger than the files that torchvision publishes.
    missing = [k for k in own if k not in values and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in values if k not in own and not ignored(k)]
    if missing or unexpected:
        raise ValueError(
            f"{source}: not {title} weights; missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    try:
        module.load_state_dict({k: v for k, v in values.items() if k in own}, strict=False)
    except RuntimeError as error:  # a tensor of another shape
        raise ValueError(f"{source}: not {title} weights ({error})") from error
