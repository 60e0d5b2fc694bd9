"""Storages of studies: what is opened, what is refused, and what a kill leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage

from mi2p.search.storage import JOURNAL, alone, open_storage
from mi2p.store import Store
from tests.toy_search import open_row, params_of, run_study


def test_the_default_is_a_journal_in_the_results_folder(tmp_path: Path) -> None:
    study = open_row(open_storage(None, tmp_path))
    study.next(Store(tmp_path), ())
    # What optuna-dashboard does with a file: a plain backend, while the search is open.
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL))
    seen = optuna.load_study(study_name=study.name, storage=JournalStorage(backend))
    assert [trial.state.name for trial in seen.trials] == ["RUNNING"]


@pytest.mark.parametrize("uri", ["own.journal", "sqlite:///own.db"])
def test_a_path_is_a_journal_and_a_url_a_database(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage(uri, tmp_path)
    assert isinstance(storage, RDBStorage if ":" in uri else JournalStorage)
    study = open_row(storage, budget=3)
    run_study(study, Store(tmp_path))
    assert params_of(open_row(open_storage(uri, tmp_path), budget=3)) == params_of(study)
    assert Path(uri.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize(
    "uri", ["nosuch://studies", "sqlite:////no/such/folder/studies.db", "/proc/no/journal"]
)
def test_what_cannot_be_opened_says_what_is_legal(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--storage is a journal file.*sqlite:///studies\.db"):
        open_storage(uri, tmp_path)


def test_every_place_where_a_kill_cuts_the_journal_can_be_opened(tmp_path: Path) -> None:
    open_row(open_storage(None, tmp_path)).next(Store(tmp_path), ())
    content = (tmp_path / JOURNAL).read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    cut = tmp_path / "cut.journal"
    for length in (1, 5, last // 2, last, last + 1, (last + len(content)) // 2, len(content) - 1):
        cut.write_bytes(content[:length])
        found = open_row(open_storage(str(cut), tmp_path)).next(Store(tmp_path), ())
        assert found is not None
        # It can be written, and read once more.
        assert params_of(open_row(open_storage(str(cut), tmp_path)))


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    open_row(open_storage(None, tmp_path))
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:9] + b"\n"
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=r"line 2 of .*delete the line"):
        open_storage(None, tmp_path)


@pytest.mark.parametrize("content", [b"no end of line", b"notes\nof mine\n", b"SQLite format 3\0"])
def test_a_file_that_is_no_journal_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="--storage"):
        open_storage(str(path), tmp_path)
    assert path.read_bytes() == content


def test_a_second_search_in_the_folder_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mi2p.search.storage import alone\n"
        "with alone(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with alone(tmp_path):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "RuntimeError: another search runs in" in refused.stderr
    with alone(tmp_path):  # given back
        pass
