"""Where and how a trial runs: folders, device, threads, and the global switches of torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from mi2p.data.cache import expanded
from mi2p.placement import usable_bytes


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Nothing here may change what a trial computes on a CPU."""

    cache: Path
    """Folder of the stores; environment $VARIABLES in it are expanded on each machine."""
    data: Path | None = None
    weights: Path | None = None
    checkpoints: Path | None = None
    """Folder of this trial's checkpoints; None keeps none and cannot resume."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    """CPU threads; they change the order of sums, so a sweep keeps one number for all."""
    gpu_share: float = 1.0
    """Part of a GPU's memory that this process may take: one that wants more fails alone, and not
    the trials beside it."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more
    time; on a CPU the same bits."""
    prepared: dict[str, str] = field(default_factory=dict)
    """Names of stores that are made, by `Recipe.label`: `prepare_stores` adds what it makes.

    A trial opens them by name. It need not load a frozen encoder to know the key of its features,
    and its machine's copy of the data may have other times. Other stores are found by their key.
    """

    @property
    def stores(self) -> Path:
        """The folder of the stores on this machine."""
        return expanded(self.cache)

    def torch_device(self) -> torch.device:
        """The device that "auto" means here."""
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def make_deterministic(self) -> torch.device:
        """Set torch's global switches, the same for every trial, and return the device.

        Every trial sets them, so that a process that runs several is as good as a new one.
        """
        device = self.torch_device()
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if device.type == "cuda":
            whole = torch.cuda.get_device_properties(device).total_memory
            # Also for a whole one: the process may have run trials with a part of it.
            torch.cuda.set_per_process_memory_fraction(usable_bytes(whole, self.gpu_share) / whole)
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = False
        # Some CUDA kernels (the attention's backward among them) have no deterministic form.
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
        # No operation here reads what it did not write; filling it costs 13 % of a CNN's step.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        return device


def bfloat16(device: torch.device) -> bool:
    """Whether training autocasts to bfloat16: where the device computes in it."""
    # Older GPUs emulate it, slower than float32.
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
