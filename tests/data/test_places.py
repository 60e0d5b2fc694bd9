"""Finding a data set, and saying where it was looked for."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mi2p.data.places import VARIABLE, DataUnavailable, find_folder


def recognise(folder: Path) -> Path | None:
    """A data set is a folder `here` with a file in it."""
    return folder / "here" if (folder / "here" / "file").exists() else None


def find(root: Path | None, *usual: Path) -> Path:
    return find_folder(root, recognise, usual=usual, expected="No set found.", how="Buy one.")


def made(folder: Path) -> Path:
    (folder / "here").mkdir(parents=True)
    (folder / "here" / "file").touch()
    return folder


def test_the_folder_given_comes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = made(tmp_path / "usual")
    monkeypatch.setenv(VARIABLE, str(usual))
    given = made(tmp_path / "given")
    assert find(given, usual) == given / "here"
    with pytest.raises(DataUnavailable, match=r"No set found\. Looked at: [^,]*none\.\nBuy one"):
        find(tmp_path / "none", usual)


def test_the_variable_comes_before_the_usual_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, configured = made(tmp_path / "usual"), made(tmp_path / "configured")
    monkeypatch.setenv(VARIABLE, str(configured))
    assert find(None, usual) == configured / "here"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "empty"))
    assert find(None, usual) == usual / "here"
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(DataUnavailable, match=r"one, .*two \(MI2P_DATA is not set\)\."):
        find(None, tmp_path / "one", tmp_path / "two")


def test_a_relative_folder_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "given")
    monkeypatch.chdir(tmp_path)
    assert find(Path("given")) == tmp_path / "given" / "here"


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(DataUnavailable("Nowhere.", "Buy one.")))
    assert (error.reason, error.how, str(error)) == ("Nowhere.", "Buy one.", "Nowhere.\nBuy one.")
