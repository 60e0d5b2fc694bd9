"""What a results folder keeps of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from mi2p.data.example import Dataset, Example
from mi2p.data.summary import Counts, read_summaries, summarised


def dataset(tmp_path: Path, *, multilabel: bool) -> Dataset:
    splits = ("train", "train", "val", "test", "test", "test")
    labels = [(0,), (2,), (1,), (0,), (0, 1) if multilabel else (0,), (2,)]
    return Dataset(
        name="lab",
        classes=("a", "b", "ç"),
        multilabel=multilabel,
        examples=tuple(
            Example(id=str(i), text="", image=tmp_path / "no.png", labels=of, split=split)
            for i, (of, split) in enumerate(zip(labels, splits, strict=True))
        ),
    )


@pytest.mark.parametrize(("multilabel", "of_test"), [(False, (2, 0, 1)), (True, (2, 1, 1))])
def test_counts_are_read_back(tmp_path: Path, multilabel: bool, of_test: tuple[int, ...]) -> None:
    found = summarised(dataset(tmp_path, multilabel=multilabel))
    assert found.counts["train"] == Counts(examples=2, classes=(1, 0, 1))
    assert found.counts["test"] == Counts(examples=3, classes=of_test)
    path = found.write(tmp_path)
    assert path.stem == found.fingerprint
    assert read_summaries(tmp_path) == {found.fingerprint: found}


def test_folder_without_any(tmp_path: Path) -> None:
    assert read_summaries(tmp_path) == {}


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = summarised(dataset(tmp_path, multilabel=False)).write(tmp_path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{path.name} is no summary of a data set"):
        read_summaries(tmp_path)
