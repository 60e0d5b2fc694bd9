"""Example and Dataset: what is refused, splits, and what the fingerprint covers."""

from dataclasses import replace
from pathlib import Path

import pytest

from mi2p.data.example import Dataset, Example


def example(id: str, image: Path, *labels: int, split: str = "train", text: str = "a") -> Example:
    return Example(id=id, image=image, text=text, labels=labels, split=split)


def dataset(*examples: Example, multilabel: bool = False) -> Dataset:
    return Dataset(name="toy", classes=("x", "y"), multilabel=multilabel, examples=examples)


NOWHERE = Path("nowhere.png")


def test_split_keeps_order_and_refuses_unknown_names() -> None:
    first = example("b", NOWHERE, 0, split="val")
    second = example("a", NOWHERE, 0, split="test")
    third = example("c", NOWHERE, 0, split="val")
    data = dataset(first, second, third)
    assert data.split("val") == (first, third)
    assert data.split("train") == ()
    with pytest.raises(
        ValueError, match="one of train, val, test, but the one asked for is 'dev'"
    ):
        data.split("dev")


@pytest.mark.parametrize(
    ("examples", "multilabel", "message"),
    [
        ([("a", (0,), "train"), ("a", (1,), "val")], False, "unique, but 1 repeat: 'a'"),
        ([("a", (0,), "dev")], False, "of example 'a' is 'dev'"),
        ([("a", (2,), "train")], False, r"indices 0 to 1, but example 'a' has \(2,\)"),
        ([("a", (-1,), "train")], False, "indices 0 to 1"),
        ([("a", (), "train")], False, "exactly one label, but example 'a' has 0"),
        ([("a", (0, 1), "train")], False, "exactly one label, but example 'a' has 2"),
        ([("a", (1, 0), "train")], True, "increasing"),
        ([("a", (1, 1), "train")], True, "increasing"),
    ],
)
def test_illegal_examples_are_refused(
    examples: list[tuple[str, tuple[int, ...], str]], multilabel: bool, message: str
) -> None:
    made = [example(id, NOWHERE, *labels, split=split) for id, labels, split in examples]
    with pytest.raises(ValueError, match=message):
        dataset(*made, multilabel=multilabel)


def test_multilabel_examples_may_have_any_number_of_labels() -> None:
    data = dataset(example("a", NOWHERE), example("b", NOWHERE, 0, 1), multilabel=True)
    assert [item.labels for item in data.examples] == [(), (0, 1)]


def test_repeated_class_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"class names .* 'x'"):
        Dataset(name="toy", classes=("x", "x"), multilabel=False, examples=())


def test_fingerprint_follows_content_and_not_paths(tmp_path: Path) -> None:
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    here.write_bytes(b"123")
    there.write_bytes(b"456")
    first = example("a", here, 0)
    base = dataset(first).fingerprint
    assert len(base) == 16 and int(base, 16) >= 0
    assert dataset(replace(first, image=there)).fingerprint == base

    changes = [
        replace(first, id="b"),
        replace(first, text="b"),
        replace(first, labels=(1,)),
        replace(first, split="val"),
    ]
    prints = {dataset(changed).fingerprint for changed in changes}
    prints.add(replace(dataset(first), name="other").fingerprint)
    prints.add(replace(dataset(first), classes=("x", "z")).fingerprint)
    there.write_bytes(b"4567")
    prints.add(dataset(replace(first, image=there)).fingerprint)
    assert len(prints) == 7 and base not in prints
