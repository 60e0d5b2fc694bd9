from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.tables import COMPARISONS, OF_ALL, main, write_all
from mi2p.data.summary import Counts, Summary
from tests.analysis.test_studied import answered


def folder(lab: Any) -> Path:
    """Two plans with trials, one without, one that is none, and what a sweep keeps of the data."""
    plan = answered(lab)
    plan.write(lab.results)
    replace(plan, name="models-lab", table=0).write(lab.results)
    replace(plan, name="table3-lab", table=3).write(lab.results)
    replace(lab.on("mmimdb").plan(), name="table5-empty").write(lab.results)
    (lab.results / "plans" / "torn.json").write_text('{"name": "torn"')
    counts = {split: Counts(examples=60, classes=(30, 30)) for split in ("train", "val", "test")}
    Summary(
        name="openclipart", fingerprint="f00d", multilabel=False, classes=("a", "b"), counts=counts
    ).write(lab.results)
    results: Path = lab.results
    return results


def test_every_table_and_why_others_are_none(lab: Any) -> None:
    results = folder(lab)
    made = {one.name: one for one in write_all(results)}
    assert list(made) == [
        *OF_ALL,
        "models-lab",
        "table3-lab",
        "table5-empty",
        "table5-lab",
        "torn",
    ]
    names = {name: [path.name for path in one.paths] for name, one in made.items()}
    ends = ("tex", "md", "html", "csv")
    assert names["table1"] == [f"table1.{end}" for end in ends]
    assert names["table2"] == [f"table2.{end}" for end in ends]
    for name in ("models-lab", "table5-lab"):
        assert names[name] == [f"{name}.{end}" for end in (*ends, "json")]
        assert made[name].reason == ""
    written = sorted(path for one in made.values() for path in one.paths)
    assert sorted((results / "tables").iterdir()) == written
    assert "a row of tables 3 and 4 must have the key of a method" in made["table3-lab"].reason
    assert "none of 12" in made["table5-empty"].reason
    assert made["torn"].reason.startswith("JSONDecodeError: ")
    assert not made["torn"].paths


def test_the_same_results_give_the_same_bytes(lab: Any) -> None:
    results = folder(lab)
    first = {path: path.read_bytes() for one in write_all(results) for path in one.paths}
    again = {path: path.read_bytes() for one in write_all(results) for path in one.paths}
    assert again == first


@pytest.mark.slow
def test_the_latex_of_every_table_compiles_and_fits(
    lab: Any, compiles: Callable[[Path, str], None]
) -> None:
    results = folder(lab.on("crisismmd_task2"))
    page = r"\documentclass[twocolumn]{article}\textwidth 6.875in"
    written = [path for one in write_all(results) for path in one.paths if path.suffix == ".tex"]
    assert len(written) == 4
    for path in written:
        compiles(path, page)


def test_a_folder_without_plans_has_no_tables(tmp_path: Path) -> None:
    assert [bool(one.paths) for one in write_all(tmp_path)] == [False, False]
    with pytest.raises(FileNotFoundError, match="a results folder is needed"):
        write_all(tmp_path / "none")
    with pytest.raises(SystemExit, match="error: a results folder is needed"):
        main([str(tmp_path / "none")])


def test_the_command_line(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    results = folder(lab)
    main([str(results)])
    shown = capsys.readouterr()
    listed = shown.out.split()
    assert listed == [str(path) for one in write_all(results) for path in one.paths]
    assert "no table5-empty: ValueError: a table needs at least one finished trial" in shown.err
    assert [line.split(":")[0] for line in shown.err.splitlines()] == [
        "no table3-lab",
        "no table5-empty",
        "no torn",
    ]


def test_a_folder_without_any_table_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    assert "no table1: FileNotFoundError: Table 1 needs" in capsys.readouterr().err


def test_comparisons_are_by_their_number() -> None:
    assert {number: one.number for number, one in COMPARISONS.items()} == {
        3: 3, 4: 4, 5: 5, 6: 6, 0: 0
    }  # fmt: skip
