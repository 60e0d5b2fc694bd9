"""The files that describe a data set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from analysis.describing.describe import describe
from mi2p.data.example import Dataset
from mi2p.data.protocols import protocol
from tests.described import made_up

ROOT = Path(__file__).resolve().parents[3]
ENDS = ("txt", "tex", "json", "png")


def tweets(folder: Path, name: str = "crisismmd_task2") -> Dataset:
    rows = [("train", f"tweet {i} & 100 %", (i % 5,)) for i in range(20)]
    rows += [("val", "$x_1$ \u4e2d\U0001f600", (0,)), ("test", "Tweet 3 & 100 %", (3,))]
    classes = ("infrastructure_damage", "vehicle_damage", "rescue_efforts", "affected", "others")
    return made_up(folder, rows, classes=classes, name=name)


def written(dataset: Dataset, folder: Path, why: str = "") -> Sequence[Path]:
    return describe(dataset, protocol(dataset.name), why, folder)


def test_four_files_the_text_first(tmp_path: Path) -> None:
    made, out = tweets(tmp_path / "data"), tmp_path / "new" / "out"
    paths = written(made, out, "They are the official files.")
    assert paths == [out / f"crisismmd_task2-description.{end}" for end in ENDS]
    assert sorted(out.iterdir()) == sorted(paths)
    assert "They are the official files." in paths[0].read_text(encoding="utf-8")
    latex = paths[1].read_text(encoding="utf-8")
    assert latex.count(r"\begin{table*}") == latex.count(r"\end{table*}") == 3
    assert r"vehicle\_damage & 4 & 0 & 0 & 20.0 \% \\" in latex
    record = json.loads(paths[2].read_text(encoding="utf-8"))
    assert record["description"]["fingerprint"] == made.fingerprint
    assert record["description"]["classes"][3] == {
        "name": "affected", "train": 4, "val": 0, "test": 1
    }  # fmt: skip
    assert record["leaks"]["overlaps"][1]["same_text"] == ["test21"]
    assert record["protocol"]["visual_train"]["lr"] == 2.5e-5
    assert record["why"] == "They are the official files."
    assert paths[3].read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_equal_data_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    first = written(tweets(tmp_path / "a"), tmp_path / "out")
    before = [path.read_bytes() for path in first]
    assert not any(str(tmp_path).encode() in content for content in before)
    again = written(tweets(tmp_path / "a"), tmp_path / "out")
    assert [path.read_bytes() for path in again] == before
    moved = written(tweets(tmp_path / "b" / "c"), tmp_path / "other")
    assert [path.read_bytes() for path in moved] == before


def test_unusable_images_are_told_and_not_fatal(tmp_path: Path) -> None:
    made = tweets(tmp_path / "data")
    made.examples[0].image.unlink()
    made.examples[1].image.write_bytes(b"GIF89a")
    paths = written(made, tmp_path / "out")
    text = paths[0].read_text(encoding="utf-8")
    assert "Images that cannot be used: 2." in text
    assert "- train0: the file does not exist" in text
    assert "- Images left out as unusable: 2 of train, 0 of val, 0 of test." in text


def test_no_image_at_all_is_not_fatal(tmp_path: Path) -> None:
    made = tweets(tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    assert len(written(made, tmp_path / "out")) == 4


@pytest.mark.slow
def test_a_cap_compares_fewer_images_and_opens_all(tmp_path: Path) -> None:
    made = tweets(tmp_path / "data")
    seen: list[int] = []
    paths = describe(
        made,
        protocol(made.name),
        "",
        tmp_path / "out",
        progress=seen.append,
        max_images=3,
    )
    assert seen == list(range(1, 23))
    text = paths[0].read_text(encoding="utf-8")
    assert "- Image files compared: 3 of train, 1 of val, 1 of test." in text
    assert "Formats: 22 PNG." in text


def test_the_protocol_of_another_data_set_is_refused(tmp_path: Path) -> None:
    made = tweets(tmp_path / "data")
    with pytest.raises(ValueError, match=r"of the data set 'crisismmd_task2', but .* 'mmimdb'"):
        describe(made, protocol("mmimdb"), "", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_importing_it_loads_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys, analysis.describing.describe; "
        "print([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openclipart", "crisismmd_task3", "food101"])
def test_the_latex_compiles_with_booktabs_alone_and_fits(
    tmp_path: Path, compiles: Callable[[Path, str], None], name: str
) -> None:
    names = [f"a_rather_long_class_name_{i}" for i in range(101)]
    rows = [("train", "", (i,)) for i in range(101)]
    made = made_up(tmp_path / "data", rows, classes=names, name=name)
    compiles(written(made, tmp_path / "out")[1], r"\documentclass{article}")
