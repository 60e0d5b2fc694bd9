"""Where and how a trial runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mi2p.placement import CONTEXT_BYTES
from mi2p.runtime import Runtime, bfloat16, device_name

CPU = torch.device("cpu")


def test_variables_in_the_cache_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(cache=Path("$MI2P_TEST_SCRATCH/stores"))
    for scratch in ("/one", "/two"):
        monkeypatch.setenv("MI2P_TEST_SCRATCH", scratch)
        assert runtime.stores == Path(scratch, "stores")
    assert Runtime(cache=Path("cache")).stores == Path("cache")


def test_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert Runtime(cache=Path()).torch_device() == torch.device(expected)
        assert Runtime(cache=Path(), device="cpu").torch_device() == CPU


def test_a_part_of_a_gpu_is_a_part_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls that are made: that a process is held to it, only a GPU can prove."""
    whole = 16 << 30
    parts: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    properties = SimpleNamespace(total_memory=whole)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", parts.append)
    for share in (0.25, 1.0):
        Runtime(cache=Path(), device="cuda", gpu_share=share).make_deterministic()
    assert parts == [0.25 - CONTEXT_BYTES / whole, 1.0]


def test_switches_are_set_for_every_trial_anew() -> None:
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    assert Runtime(cache=Path(), device="cpu").make_deterministic() == CPU
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_a_cpu_trains_in_float32() -> None:
    assert not bfloat16(CPU)
    assert device_name(CPU) == "cpu"
