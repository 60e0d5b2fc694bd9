"""The file of an example: all of it comes back, the same content is the same bytes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mi2p.attention_file import Attention, read, stem
from tests.an_attention import an_attention


def test_all_comes_back(tmp_path: Path) -> None:
    written = an_attention(taps=(1, 3), difference=1e-7)
    path = written.write(tmp_path)
    assert path == tmp_path / "attention" / "0123456789ab" / f"{stem(written.example)}.npz"
    found = read(path)
    for field in dataclasses.fields(Attention):
        mine, theirs = getattr(written, field.name), getattr(found, field.name)
        if field.name == "units":
            assert [(u.modality, u.tap) for u in theirs] == [(u.modality, u.tap) for u in mine]
            for unit, other in zip(mine, theirs, strict=True):
                assert np.array_equal(unit.weights, other.weights)
                assert np.array_equal(unit.maps, other.maps)
        elif isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
        else:
            assert mine == theirs


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    one, other = (an_attention().write(tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_arrays_have_the_documented_names(tmp_path: Path) -> None:
    with np.load(an_attention().write(tmp_path)) as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files if "." in name}
    assert shapes == {
        "weights.visual.4": (2, 3, 5),
        "maps.visual.4": (3, 2, 2),
        "weights.textual.1": (2, 5, 4),
        "weights.textual.3": (2, 5, 4),
        "maps.textual": (4, 2, 2),  # Z' is the same for all layers
    }


def test_a_text_without_words(tmp_path: Path) -> None:
    written = an_attention(words=())
    assert read(written.write(tmp_path)).sentence == written.sentence


def test_examples_have_files_of_their_own() -> None:
    assert stem("904206758830370816_0") == "904206758830370816_0"
    ids = ("animals/birds/a", "animals-birds-a", "animals/birds.a", "a.png", "../a")
    stems = [stem(example) for example in ids]
    assert len(set(stems)) == len(ids)
    assert not any(sign in name for name in stems for sign in "/.% ")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a file of numpy"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    path = an_attention().write(tmp_path)
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=r"a-7-.*npz is not readable as attention.*delete it"):
        read(path)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, picture=np.zeros(3))
    with pytest.raises(ValueError, match="not readable as attention"):
        read(path)
