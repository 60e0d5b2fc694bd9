"""Training parameters beside those that the paper prints."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import table2
from mi2p.data.protocols import PROTOCOLS, protocol
from mi2p.plan import Plan, PlanRow
from tests.analysis.conftest import CNN


# As the paper prints them, from its text.
@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("crisismmd_task1", ("128", "50", "3.5e-5")),
        ("crisismmd_task2", ("128", "40", "2.5e-5")),
        ("crisismmd_task3", ("128", "40", "5e-5")),
        ("food101", ("256", "100", "7.5e-5")),
        ("mmimdb", ("128", "80", "5e-5")),
    ],
)
def test_the_papers_numbers_stand_beside_equal_ones(name: str, cells: tuple[str, ...]) -> None:
    told, _ = table2.table(protocol(name)).groups
    assert [row.cells[0] for row in told] == ["Batch size", "Epochs", "Learning rate"]
    for row, cell in zip(told, cells, strict=True):
        assert row.cells[1:] == (cell, cell, cell)


def test_a_deviation_from_the_paper_is_seen_in_its_modality() -> None:
    ours = protocol("food101")
    small = replace(ours, visual_train=replace(ours.visual_train, batch_size=32, lr=0.002))
    told, _ = table2.table(small).groups
    assert told[0].cells == ("Batch size", "256", "32", "256")
    assert told[2].cells == ("Learning rate", "7.5e-5", "0.002", "7.5e-5")


def test_what_the_paper_leaves_open() -> None:
    _, left = table2.table(protocol("crisismmd_task2")).groups
    cells = {row.cells[0]: row.cells[1:] for row in left}
    assert cells["Backbone"] == ("DenseNet, BERT", "DenseNet-121", "BERT")
    assert cells["Longest text (tokens)"] == ("--", "64", "64")
    assert cells["Image view"] == ("--", "crop", "crop")


def test_other_data_sets_have_no_paper() -> None:
    table = table2.table(protocol("openclipart"))
    assert table.rows[0].cells == ("Batch size", "--", "32", "32")
    assert table.rows[2].cells == ("Learning rate", "--", "0.0003", "0.0001")
    assert table.rows[3].cells == ("Backbone", "--", "EfficientNet-Lite0", "MiniLM")
    assert "no such data set" in table.caption


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_makes_a_table(name: str) -> None:
    assert table2.table(protocol(name)).label == f"tab:table2-{name}"


def used(lab: Any) -> list[Path]:
    """Trials of two data sets; one row with other rates in another plan, one that failed."""
    for dataset, name in (("crisismmd_task2", "table5-a"), ("openclipart", "table5-b")):
        on = lab.on(dataset)
        plan = on.plan(seeds=(0, 1), name=name)
        plan.write(lab.results)
        for row in plan.rows:
            on.fill(row, [0.5, 0.5])
    other = lab.on("crisismmd_task2")
    specs = [
        replace(other.spec(CNN, 0), train=replace(other.spec(CNN, 0).train, lr=lr, epochs=40))
        for lr in (2.5e-5, 1e-3, 1e-2)
    ]
    rows = tuple(
        PlanRow(key=f"cnn{i}", label=f"{i}", paper="", specs=(spec,))
        for i, spec in enumerate(specs)
    )
    Plan(name="table5-c", table=5, rows=rows).write(lab.results)
    for spec in specs[:2]:
        other.trial(spec, {"accuracy": 0.5})
    other.trial(specs[2], {}, status="error")
    other.trial(replace(specs[0], seed=7), {"accuracy": 0.5})  # of no plan
    return table2.write(lab.results)


def test_what_the_trials_of_all_plans_used(lab: Any) -> None:
    paths = used(lab)
    assert [path.name for path in paths] == [
        f"table2.{end}" for end in ("tex", "md", "html", "csv")
    ]
    markdown = paths[1].read_text(encoding="utf-8")
    titles = [line for line in markdown.splitlines() if line.startswith("**")]
    assert titles == ["**CrisisMMD (Task 2)**", "**openclipart**"]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("| ")
    ]
    assert rows[0] == ["Trained", "Batch size", "Epochs", "Learning rate"]
    assert rows[2:5] == [
        ["paper", "128", "40", "2.5e-5"],
        ["visual", "128", "3, 40", "2.5e-5, 0.0001, 0.001"],
        ["textual", "128", "3", "0.0001"],
    ]
    assert [row[0] for row in rows[7:]] == ["visual", "textual"]
    records = list(csv.DictReader(paths[3].read_text(encoding="utf-8").splitlines()))
    told = [
        (one["dataset"], one["trained"], one["epochs"], one["learning_rate"], one["trials"])
        for one in records
    ]
    assert told == [
        ("crisismmd_task2", "textual", "3", "0.0001", "4"),
        ("crisismmd_task2", "visual", "3", "0.0001", "4"),
        ("crisismmd_task2", "visual", "40", "2.5e-05", "1"),
        ("crisismmd_task2", "visual", "40", "0.001", "1"),
        ("openclipart", "textual", "3", "0.0001", "4"),
        ("openclipart", "visual", "3", "0.0001", "4"),
    ]
    assert records[0]["epochs_paper"] == "40.0" and records[-1]["epochs_paper"] == ""


def test_a_plan_that_cannot_be_read_is_named_and_hides_no_other(lab: Any) -> None:
    (lab.results / "plans").mkdir(parents=True)
    (lab.results / "plans" / "torn.json").write_text('{"name"')
    text = used(lab)[1].read_text(encoding="utf-8")
    assert "- Left out, as it cannot be read: plans/torn.json.\n" in text
    assert "**openclipart**" in text


def test_of_many_values_the_range_is_told(lab: Any) -> None:
    spec = lab.spec(CNN, 0)
    specs = [replace(spec, train=replace(spec.train, lr=lr)) for lr in (1e-4, 3e-4, 2e-3, 1e-5)]
    (row,) = table2.of_trials(specs).rows
    assert row.cells == ("visual", "128", "3", "1e-5 to 0.002 (4 values)")


def test_trials_that_were_not_trained_used_nothing(lab: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no trials in"):
        table2.write(tmp_path)
    plan = lab.plan(seeds=(0,))
    plan.write(lab.results)
    lab.trial(plan.rows[0].specs[0], {}, status="error")
    with pytest.raises(FileNotFoundError, match="Table 2 needs finished trials of plans"):
        table2.write(lab.results)
