"""What data is here is told by its fingerprint, and nothing is told of what is not here."""

from __future__ import annotations

from pathlib import Path

from analysis.tracing.seen import Seen, present_in
from mi2p.data import read
from mi2p.spec import DataSpec
from tests.food101_layout import write_food101

DATA = DataSpec(name="food101")


def test_the_fingerprint_of_data_that_is_here(tmp_path: Path) -> None:
    root = write_food101(tmp_path / "food", form="kaggle")
    present = present_in(root)
    now = read(DATA, root).fingerprint
    assert present(DATA) == now
    assert present(DataSpec(name="food101", limit=3)) not in (None, now)
    # Which images are left out is known only after all are decoded.
    assert present(DataSpec(name="food101", on_bad_image="skip")) is None
    seen = Seen(tmp_path, present)
    assert list(seen.against(DATA, now)) == []
    assert list(seen.against(DATA, "f00d")) == [f"data changed since, it is {now} here"]


def test_data_that_is_elsewhere_or_damaged_has_none(tmp_path: Path) -> None:
    assert present_in(tmp_path)(DATA) is None
    assert present_in(tmp_path)(DataSpec(name="no such")) is None
    root = write_food101(tmp_path / "food", form="kaggle")
    (root / "texts/train_titles.csv").write_bytes(b"\xff")
    assert present_in(root)(DATA) is None
