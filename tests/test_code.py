"""A fingerprint of the code that changes with what it computes, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mi2p
from mi2p.code import LENGTH, SOURCES, fingerprint

OWN = Path(mi2p.__file__).parent


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    root = tmp_path / "mi2p"
    shutil.copytree(OWN, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def again(root: Path) -> str:
    fingerprint.cache_clear()
    return fingerprint(root)


def test_a_copy_elsewhere_has_the_same(copied: Path) -> None:
    assert fingerprint(copied) == fingerprint() and len(fingerprint()) == LENGTH


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("EVALUATION_BATCH = 64", "EVALUATION_BATCH = 32", True),
        ("int(np.argmax(", "int(np.argmin(", True),
        ('"""The state of one training run', '"""A state of one training run', False),
        ("# Whole batches", "# All batches", False),
        ("EVALUATION_BATCH = 64", "EVALUATION_BATCH  =  64  # examples", False),
        ("EVALUATION_BATCH = 64", 'EVALUATION_BATCH = 64\n"""Examples."""', False),
    ],
)
def test_what_is_computed_changes_it_and_words_do_not(
    copied: Path, old: str, new: str, changes: bool
) -> None:
    path = copied / "train.py"
    before, text = again(copied), path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert (again(copied) != before) == changes


def test_what_only_runs_trials_is_not_in_it(copied: Path) -> None:
    before = again(copied)
    (copied / "progress.py").write_text("x = 1\n", encoding="utf-8")
    assert again(copied) == before
    (copied / "models" / "new.py").write_text("x = 1\n", encoding="utf-8")
    assert again(copied) != before


def test_all_sources_are_there() -> None:
    assert [name for name in SOURCES if not (OWN / name).exists()] == []
