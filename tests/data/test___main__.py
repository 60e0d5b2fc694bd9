"""`python -m mi2p.data`: stores and descriptions by hand, on a generated copy of CrisisMMD."""

from __future__ import annotations

from pathlib import Path

import pytest

from mi2p.data import DATASETS
from mi2p.data.__main__ import main
from mi2p.data.cache import SUFFIX
from tests.crisismmd_layout import write_crisismmd


class Terminal:
    """A user in a folder with a copy of CrisisMMD."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.data = write_crisismmd(folder / "copy")

    def __call__(self, *arguments: str) -> str:
        main(list(arguments))
        return self.said()

    def fails(self, *arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == 1
        return self.said()

    def said(self) -> str:
        return " ".join(self.capsys.readouterr().out.split())  # whatever the lines are broken at

    def stores(self) -> list[Path]:
        return sorted((self.folder / "cache").glob(f"*{SUFFIX}"))


@pytest.fixture
def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal(tmp_path, capsys)


OF_TASK = ("crisismmd_task2", "--image-size", "64", "--data", "copy")
TINY = ("--visual", "tiny_densenet", "--textual", "tiny_bert")


def test_prepare_makes_everything_and_lists_it(terminal: Terminal) -> None:
    said = terminal("prepare", *OF_TASK, *TINY, "--augment", "none")
    assert "crisismmd_task2: 28 / 14 / 14 (train / val / test)" in said
    assert "Table 1: 2874 / 477 / 451" in said
    kinds = [path.name.partition("-")[0] for path in terminal.stores()]
    assert kinds == ["images", "maps", "tokens", "words"]
    for path in terminal.stores():
        assert path.stem in said
    assert "56 x 3 x 64 x 64" in said and "56 x 32 x 2 x 2" in said and "tiny_bert" in said
    before = [path.stat().st_mtime_ns for path in terminal.stores()]
    terminal("prepare", *OF_TASK, *TINY, "--augment", "none")
    assert [path.stat().st_mtime_ns for path in terminal.stores()] == before


def test_prepare_as_the_protocol_says_keeps_no_maps(terminal: Terminal) -> None:
    said = terminal("prepare", *OF_TASK, *TINY)
    assert "augmentation is on: Z' is computed in every step and not cached" in said
    kinds = [path.name.partition("-")[0] for path in terminal.stores()]
    assert kinds == ["images", "tokens", "words"]


def test_check_finds_bad_images_and_damaged_stores(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "data set and stores are good" in terminal("check", *OF_TASK)
    other = terminal.folder / "cache" / f"words-00{SUFFIX}"
    other.write_bytes(b"not a store")
    said = terminal.fails("check", *OF_TASK)
    assert f"damaged: cache/{other.name}" in said and "1 stores are damaged" in said
    monkeypatch.setenv("MI2P_TEST_FOLDER", "cache")
    assert "1 stores are damaged" in terminal.fails(
        "check", *OF_TASK, "--cache", "$MI2P_TEST_FOLDER"
    )
    other.unlink()
    dataset = DATASETS["crisismmd_task2"]
    picture = next((terminal.data / "data_image").rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:100])
    for task in ("crisismmd_task1", "crisismmd_task2"):
        said = terminal.fails("check", task, *OF_TASK[1:])
        if "images cannot be used" in said:
            break
    assert f"{picture}:" in said and "bad_images" in said and "--on-bad-image skip" in said
    assert dataset.paper_sizes == (2874, 477, 451)


def test_info_of_an_empty_folder(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--cache must be a folder, but cache is not one" in terminal.fails("info")
    (terminal.folder / "cache").mkdir()
    assert "0.0 MB of stores in cache; safe to delete" in terminal("info")
    monkeypatch.setenv("MI2P_TEST_FOLDER", "cache")
    assert "stores in cache;" in terminal("info", "--cache", "$MI2P_TEST_FOLDER")


def test_info_tells_a_file_of_another_version(terminal: Terminal) -> None:
    (terminal.folder / "cache").mkdir()
    (terminal.folder / "cache" / f"images-1{SUFFIX}").write_bytes(b"x" * 1_500_000)
    said = terminal("info")
    assert "damaged, or of another version" in said and "1.5 MB of stores in cache" in said


def test_describe_writes_text_latex_and_picture(terminal: Terminal) -> None:
    said = terminal("describe", *OF_TASK)
    assert "Table 1" in said and "Table 2" in said
    written = sorted(p.suffix for p in (terminal.folder / "results" / "tables").iterdir())
    assert written == [".json", ".png", ".tex", ".txt"]


def test_what_does_not_exist_is_named(terminal: Terminal) -> None:
    assert "x" in terminal.fails("prepare", "x")
    said = terminal.fails("check", "mmimdb", "--data", "nowhere")
    assert "Looked at" in said and "nowhere" in said and "split.json" in said


def test_texts_that_are_too_long_for_the_transformer_are_refused_first(terminal: Terminal) -> None:
    said = terminal.fails("prepare", *OF_TASK, *TINY, "--max-tokens", "65")
    assert "`max_tokens <= 64 for tiny_bert` must hold, but got max_tokens=65" in said
    assert not (terminal.folder / "cache").exists()


def test_options_of_the_data_are_those_of_sweeps(terminal: Terminal) -> None:
    said = terminal("describe", *OF_TASK, "--clean", "none", "--max-tokens", "32", "--view", "fit")
    assert "Longest text (tokens)" in said and "32" in said
    assert "--max-images >= 0" in terminal.fails("describe", *OF_TASK, "--max-images", "-1")
    assert "image_size is a positive multiple of 32" in terminal.fails(
        "check", "crisismmd_task2", "--image-size", "0", "--data", "copy"
    )


@pytest.mark.parametrize("command", ["prepare", "check", "describe"])
def test_the_data_set_must_be_named(command: str, terminal: Terminal) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
