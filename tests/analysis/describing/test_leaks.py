"""Examples that splits have in common; distances are worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from analysis.describing import leaks
from analysis.describing.leaks import Alike, find_leaks, is_flat, nearest, normalised
from analysis.describing.pictures import Picture
from mi2p.data.example import Dataset, Example

# 32 bits set, so far from flat; flipping n low bits gives a hash n bits away.
BASE = 0xFFFF_FFFF_0000_0000


def dataset_of(rows: Sequence[tuple[str, str, str, int]]) -> Dataset:
    """Of id, split, text and label."""
    examples = [
        Example(id=id, image=Path("none.png"), text=text, labels=(label,), split=split)
        for id, split, text, label in rows
    ]
    return Dataset(name="toy", classes=("x", "y"), multilabel=False, examples=tuple(examples))


def picture(look: int, digest: str) -> Picture:
    return Picture(size=(1, 1), format="PNG", digest=digest, hash=look)


def test_texts_are_compared_without_case_and_white_space_and_never_when_empty() -> None:
    made = dataset_of(
        [
            ("a", "train", "Help  the\nFlooded", 0),
            ("b", "train", "", 0),
            ("c", "val", " ", 0),
            ("d", "test", "help the flooded ", 1),
            ("e", "test", "help the flooded!", 1),
            ("f", "test", "", 1),
            ("g", "val", "HELP the flooded!", 1),
        ]
    )
    found = find_leaks(made, [Picture(problem="the file does not exist")] * 7)
    shared = {(o.of, o.other): o.same_text for o in found.overlaps}
    assert shared == {("val", "train"): (), ("test", "train"): ("d",), ("test", "val"): ("e",)}
    assert [(c.split, c.texts, c.unusable) for c in found.compared] == [
        ("train", 1, 2), ("val", 1, 2), ("test", 2, 3)
    ]  # fmt: skip
    assert all(o.same_file == () and o.alike == () for o in found.overlaps)


def test_images_are_the_same_file_or_look_alike_up_to_four_bits() -> None:
    rows = [
        ("a", "train", "", 0),
        ("b", "train", "", 1),
        ("c", "test", "", 0),
        ("d", "test", "", 0),
        ("e", "test", "", 1),
        ("f", "test", "", 1),
    ]
    pictures = [
        picture(BASE, "1"),
        picture(BASE ^ 0b11_1111, "2"),
        picture(BASE, "1"),  # the file of a
        picture(BASE ^ (0b1111 << 60), "3"),  # 4 bits from a
        picture(BASE ^ (0b1_1111 << 59), "4"),  # 5 bits from a
        picture(BASE ^ 0b111, "5"),  # 3 bits from both a and b: the first is told
    ]
    _, overlap, _ = find_leaks(dataset_of(rows), pictures).overlaps
    assert (overlap.of, overlap.other) == ("test", "train")
    assert overlap.same_file == ("c",)
    assert overlap.alike == (
        Alike(example="c", other="a", distance=0, same_label=True),
        Alike(example="d", other="a", distance=4, same_label=True),
        Alike(example="f", other="a", distance=3, same_label=False),
    )


@pytest.mark.parametrize(
    ("look", "flat"),
    [(0, True), (0b1111, True), (0b11111, False), (2**64 - 1, True), (2**64 - 1 - 0b11111, False)],
)
def test_hashes_within_reach_of_a_blank_page_are_flat(look: int, flat: bool) -> None:
    assert is_flat(look) == flat


def test_flat_images_are_counted_and_not_compared() -> None:
    rows = [("a", "train", "", 0), ("b", "val", "", 0), ("c", "val", "", 0)]
    pictures = [picture(1, "1"), picture(1, "1"), picture(BASE, "2")]
    found = find_leaks(dataset_of(rows), pictures)
    assert [(c.images, c.flat) for c in found.compared] == [(0, 1), (1, 1), (0, 0)]
    assert found.overlaps[0].alike == ()
    assert found.overlaps[0].same_file == ("b",)


def test_the_nearest_is_that_of_all_pairs_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    queries = random.integers(0, 2**64, 50, np.uint64)
    references = random.integers(0, 2**64, 70, np.uint64)
    pairs = [[(int(q) ^ int(r)).bit_count() for r in references] for q in queries]
    for block_bytes in (1, 9 * 70 * 7, 10**9):
        monkeypatch.setattr(leaks, "BLOCK_BYTES", block_bytes)
        distances, indices = nearest(queries, references)
        assert distances.tolist() == [min(row) for row in pairs]
        assert indices.tolist() == [row.index(min(row)) for row in pairs]


def test_normalised() -> None:
    assert normalised("  A\tb \n C") == "a b c"
    assert normalised(" \n") == ""
