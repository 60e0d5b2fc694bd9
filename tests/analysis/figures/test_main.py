from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from analysis.figures import catalogue
from analysis.figures.__main__ import main, write
from tests.analysis.conftest import Lab
from tests.analysis.figures.conftest import answered

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def results(lab: Lab) -> Path:
    plan = lab.plan(seeds=(0, 1))
    plan.write(lab.results)
    for row in plan.rows[:3]:
        answered(lab, row, [[1, 1, 0, 1] * 5, [1, 0, 0, 1] * 5])
    lab.plan(seeds=(7,), name="table5-nothing").write(lab.results)
    return lab.results


def files(results: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((results / "figures").iterdir())}


def test_the_command_writes_both_formats_the_same_each_time(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(results), "--only", "dots"])
    paths = [results / "figures" / f"table5-lab-dots.{kind}" for kind in ("pdf", "png")]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
    first = files(results)  # nothing of what is not asked for, nor of the plan without trials
    assert list(first) == [path.name for path in paths]
    shutil.rmtree(results / "figures")
    main([str(results), "--plan", "table5-lab", "--only", "dots"])
    assert files(results) == first
    with Image.open(results / "figures" / "table5-lab-dots.png") as image:
        assert image.size[0] == 1380  # 6.9 inches


def test_a_figure_that_fails_does_not_take_the_others_with_it(
    results: Path, lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(results: Path, plan: object) -> list[object]:
        raise ValueError("trials are mixed")

    monkeypatch.setattr(
        "analysis.figures.__main__.FIGURES", {"broken": fails, "dots": catalogue.FIGURES["dots"]}
    )
    with pytest.raises(SystemExit) as ended:
        main([str(results), "--plan", "table5-lab"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: broken of table5-lab: trials are mixed\n"
    assert len(files(results)) == 2
    assert write(results, lab.plan(seeds=(7,)))[0] == []


def test_what_cannot_be_drawn_is_said(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"no plan in .*; run a sweep first"):
        main([str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"no plan 'other' in .*; there: table5-lab"):
        main([str(results), "--plan", "other"])
    with pytest.raises(SystemExit) as ended:
        main([str(results), "--plan", "table5-nothing"])
    assert ended.value.code == 1
    assert "no trial to draw is finished yet" in capsys.readouterr().err


def test_the_catalogue_has_a_module_for_each_name() -> None:
    for name, draw in catalogue.FIGURES.items():
        assert draw.__module__ == f"analysis.figures.{name}"


@pytest.mark.slow
def test_the_command_line_chooses_no_backend(results: Path) -> None:
    code = (
        "import sys; from analysis.figures.__main__ import main\n"
        f"main([{str(results)!r}])\n"
        "print(*(name in sys.modules for name in ('matplotlib.pyplot', 'torch', 'ray')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "tkagg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "False False False"
