"""Weights of finished trials: whole, named by their trial, and told when they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mi2p.kept_weights import keep, kept
from mi2p.store import Store

WEIGHTS = {"head.linear.weight": torch.arange(6.0).view(2, 3)}


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert kept(store, "a") is None
    assert keep(store, "a", WEIGHTS) == tmp_path / "weights" / "a.pt"
    found = kept(store, "a")
    assert found is not None and found.keys() == WEIGHTS.keys()
    assert torch.equal(found["head.linear.weight"], WEIGHTS["head.linear.weight"])


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    one, other = (keep(Store(tmp_path / name), "a", WEIGHTS) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_damaged_file_is_named(tmp_path: Path, size: int) -> None:
    path = keep(Store(tmp_path), "a", WEIGHTS)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"a.pt is not readable as weights .*delete it"):
        kept(Store(tmp_path), "a")


def test_weights_of_another_trial_are_refused(tmp_path: Path) -> None:
    path = keep(Store(tmp_path), "a", WEIGHTS)
    path.rename(path.with_name("b.pt"))
    with pytest.raises(ValueError, match="has the weights of trial a, not b"):
        kept(Store(tmp_path), "b")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.weights("a").parent.mkdir()
    torch.save([1, 2], store.weights("a"))
    with pytest.raises(ValueError, match="not readable as weights"):
        kept(store, "a")
