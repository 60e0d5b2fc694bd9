"""`python -m mi2p.models describe`: what it says of methods, and of what is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mi2p.methods import METHODS
from mi2p.models.__main__ import main

TINY = ("--visual", "tiny_densenet", "--textual", "tiny_bert")


class Terminal:
    """A user without data, weights or network."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> str:
        main(["describe", *arguments])
        return self.capsys.readouterr().out

    def fails(self, *arguments: str, status: int = 1) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == status
        return " ".join(self.capsys.readouterr().out.split())


@pytest.fixture
def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal(capsys)


def numbers(said: str, of: str) -> list[float]:
    """In the line that begins with `of`, behind it."""
    line = next(line for line in said.splitlines() if line.strip().startswith(of))
    return [float(n) for n in re.findall(r"[\d.]+", line.split(of, 1)[1])]


@pytest.mark.slow  # takes ten seconds
def test_an_expanded_method(terminal: Terminal) -> None:
    said = terminal("me_cnn", *TINY)
    words = " ".join(said.split())
    assert "me_cnn (ME tiny random DenseNet): tiny random DenseNet and tiny random BERT" in words
    assert "128 px, 16 tokens, 11 classes" in words
    parts = [numbers(said, of)[0] for of in ("parameters", "trained", "of these added", "frozen")]
    total, trained, added, frozen = parts
    assert total == pytest.approx(trained + frozen, abs=0.011) and 0 < added < trained
    assert "T' from a store" in said
    forward = numbers(said, "FLOPs per sample, forward")[0]
    assert numbers(said, "FLOPs per sample, training step")[0] > 2 * forward > 0
    full, half = (
        numbers(said, f"kept per sample for backward, {p}")[0] for p in ("float32", "bfloat16")
    )
    assert 0 < half < full
    for precision in ("float32", "bfloat16"):
        *fitting, needed = numbers(said, f"{precision} ")
        assert len(fitting) == 4 and fitting == sorted(fitting) and needed < 1
    assert "batch 32 needs" in said and "two per multiply-add" in said
    assert "10% of each GPU is left free" in words
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.slow  # takes half a minute
def test_options_change_what_is_described(terminal: Terminal) -> None:
    plain = terminal("me_bert", *TINY, "--dataset", "crisismmd_task1")
    assert "batch 128 needs" in plain and "Z' computed in every step" in plain
    assert "256 px, 64 tokens, 2 classes" in " ".join(plain.split())
    kept = "kept per sample for backward, float32"
    less = terminal("me_bert", *TINY, "--dataset", "crisismmd_task1", "--checkpoint-activations")
    assert numbers(less, kept) < numbers(plain, kept)
    assert "part of the former twice" in less and "twice" not in plain
    small = terminal(
        *("me_bert", *TINY, "--dataset", "crisismmd_task1"),
        *("--image-size", "64", "--max-tokens", "8"),
    )
    assert "64 px, 8 tokens" in " ".join(small.split())
    assert numbers(small, kept) < numbers(plain, kept)


def test_a_method_that_averages_is_two_trials(terminal: Terminal) -> None:
    said = " ".join(terminal("score_fusion", *TINY).split())
    assert "cnn (Unimodal tiny random DenseNet), averaged by score_fusion" in said
    assert "bert (Unimodal tiny random BERT), averaged by score_fusion" in said
    assert said.count("of these added") == 2


@pytest.mark.slow  # takes half a minute
def test_what_does_not_fit_is_told(terminal: Terminal) -> None:
    said = terminal("cnn", *TINY, "--image-size", "16384")
    assert numbers(said, "float32 ")[0] > 10  # the first that is told is for a larger GPU
    assert "none" in said


def test_errors_say_what_is_legal(terminal: Terminal) -> None:
    every = ", ".join(METHODS)
    assert f"name at least one method; the methods are {every}" in terminal.fails("describe")
    assert f"no method 'x'; the methods are {every}" in terminal.fails("describe", "cnn", "x")
    said = terminal.fails("describe", "cnn", "--dataset", "x")
    assert "A protocol must be one of openclipart, " in said and "'x'" in said
    said = terminal.fails("describe", "cnn", "--visual", "x")
    assert "unknown visual backbone 'x'; known: densenet121" in said
    said = terminal.fails("describe", "me_cnn", *TINY, "--image-size", "96")
    assert "heads must divide h*w at every attached block" in said
    said = terminal.fails("describe", "bert", "--textual", "clip_text", "--max-tokens", "78")
    assert "max_tokens <= 77 for clip_text" in said
    assert terminal.fails("no-command", status=2) == ""


@pytest.mark.slow
def test_every_method_is_described(terminal: Terminal) -> None:
    said = terminal(*METHODS, "--dataset", "crisismmd_task1")
    for key in METHODS:
        assert f"{key} (" in said or key == "score_fusion"
    assert said.count("largest batch, or micro-batch, on") == len(METHODS) + 1
    assert numbers(said, "trained")[0] == 6.96  # DenseNet-121: 7.98 M with 1000 classes
    bert = said[said.index("bert (Unimodal BERT)") :]
    assert numbers(bert, "trained")[0] == 109.48
