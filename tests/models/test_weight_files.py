"""Files of weights: which one is taken, what can be read, and what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mi2p.models.weight_files import (
    WeightsUnavailable,
    fit,
    in_folder,
    named,
    read_state,
    where_to_put,
)


def test_a_file_is_found_by_its_name_before_a_dash(tmp_path: Path) -> None:
    for name in ("net.txt", "net2.pth", "net_mine.pth", "net-b.pth", "net-c.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert in_folder(tmp_path, named("net")) == tmp_path / "net-b.pth"  # the first by name
    assert in_folder(tmp_path, named("net2")) == tmp_path / "net2.pth"
    assert in_folder(tmp_path, named("ne")) is None
    assert in_folder(None, named("net")) is None
    (tmp_path / "a.b_in1k.pth").write_bytes(b"")
    assert in_folder(tmp_path, named("a.b_in1k")) == tmp_path / "a.b_in1k.pth"


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"must be a folder, but .*nowhere is not one"):
        in_folder(tmp_path / "nowhere", named("net"))


def test_a_place_is_the_users_or_says_how_to_name_one(tmp_path: Path) -> None:
    assert where_to_put(tmp_path) == str(tmp_path)
    assert where_to_put(None) == "a folder named by --weights or MI2P_WEIGHTS"


class Held(nn.Module):
    """One tensor that is trained and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(3.0))
        self.register_buffer("count", torch.tensor(7))

    def forward(self, x: Tensor) -> Tensor:
        return x


STATE = Held().state_dict()
FILES: dict[str, Callable[[Path], object]] = {
    "plain.pth": lambda path: torch.save(STATE, path),
    "plain.pt": lambda path: torch.save(STATE, path),
    "nested.pth": lambda path: torch.save({"state_dict": STATE, "epoch": 3}, path),
    "old.pth": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "tensors.safetensors": lambda path: save_file(STATE, path),
    "archive.pt": lambda path: torch.jit.script(Held()).save(path),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_file_in_any_of_the_usual_formats(tmp_path: Path, file: str) -> None:
    FILES[file](tmp_path / file)
    found = read_state(tmp_path / file)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html"])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_damaged_file_is_named(
    tmp_path: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / file
    FILES[file](path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: not a readable"):
        read_state(path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(1), "text", {"a": 1}])
def test_a_file_that_holds_no_state_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}/net.pth: not a PyTorch"):
        read_state(tmp_path / "net.pth")


def fitted(values: dict[str, Tensor]) -> nn.Module:
    net = nn.BatchNorm1d(3)
    fit(net, values, source="a.pth", title="Toy", ignored=lambda key: key.startswith("head."))
    return net


WHOLE = {k: v + 2 for k, v in nn.BatchNorm1d(3).state_dict().items()}


def test_what_fits_is_loaded_in_the_networks_own_precision() -> None:
    values = {k: v.half() for k, v in WHOLE.items()} | {"head.weight": torch.zeros(1)}
    found = fitted(values).state_dict()
    assert all(torch.equal(found[key], WHOLE[key]) for key in WHOLE)
    assert found["weight"].dtype == torch.float32


def test_a_counter_of_batches_may_lack() -> None:
    found = fitted({k: v for k, v in WHOLE.items() if k != "num_batches_tracked"})
    assert found.state_dict()["num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({k: v for k, v in WHOLE.items() if k != "bias"}, r"missing \['bias'\], unexpected \[\]"),
        ({**WHOLE, "more": torch.zeros(1)}, r"missing \[\], unexpected \['more'\]"),
        ({**WHOLE, "bias": torch.zeros(4)}, "size mismatch for bias"),
        ({}, "missing"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Tensor], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^a.pth: not Toy weights(.|\n)*{wrong}"):
        fitted(values)
