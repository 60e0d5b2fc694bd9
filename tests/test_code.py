"""A fingerprint of the code that changes with what it computes, and with nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mi2p
from mi2p.code import LENGTH, SOURCES, files, fingerprint

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
    (copied / "data" / "summary.py").write_text("x = 1\n", encoding="utf-8")
    assert again(copied) == before
    (copied / "models" / "new.py").write_text("x = 1\n", encoding="utf-8")
    assert again(copied) != before


def test_all_sources_are_there() -> None:
    assert [name for name in SOURCES if not (OWN / name).exists()] == []


EXCEPT = {
    "code.py": "itself",
    "data/places.py": "finds data",
    "failures.py": "says what failed",
    "faults.py": "says what befell",
    "fields.py": "checks specs",
    "files.py": "writes files",
    "legality.py": "refuses specs",
    "placement.py": "says what a trial asks of a node",
    "plan.py": "names trials",
    "spec.py": "is in ids",
    "store.py": "keeps rows",
    "loading.py": "reads rows",
}
"""Modules that trials import and that compute no number of theirs."""


def test_whatever_a_trial_imports_is_in_it_or_left_out_on_purpose() -> None:
    root = OWN.parent
    code = (
        "import sys, mi2p.train, mi2p.averages\n"
        "print(*sorted(m.__file__ for n, m in sys.modules.items() if n.startswith('mi2p.')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    loaded = {Path(name).relative_to(OWN).as_posix() for name in ran.stdout.split()}
    hashed = {path.relative_to(OWN).as_posix() for path in files(OWN)}
    assert loaded - hashed == EXCEPT.keys()
