"""Table 4's plan: the paper's 36 rows on data of one label and of several."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import analysis
from sweeps import compare_crisismmd
from sweeps.compare_food101_mmimdb import Options, plan

PAPER = Path(analysis.__file__).parent / "paper" / "table4.csv"


def test_the_papers_rows_on_both_data_sets() -> None:
    table = plan(Options())
    assert (table.name, table.table) == ("table4-food101_mmimdb", 4)
    assert table.datasets == ("food101", "mmimdb")
    with PAPER.open(encoding="utf-8") as file:
        printed = {(row["dataset"], row["method"]) for row in csv.DictReader(file)}
    assert {(row.dataset, row.paper) for row in table.rows} == printed
    assert len(table.rows) == len(printed) == 36


def test_the_packaged_data_are_one_of_each_kind() -> None:
    table = plan(Options(dataset="packaged"))
    assert table.name == "table4-packaged"
    assert table.datasets == ("openclipart", "openclipart-tags")


def test_the_methods_and_their_trials_are_those_of_table_3() -> None:
    for dataset in ("openclipart", "mmimdb"):
        theirs = compare_crisismmd.plan(compare_crisismmd.Options(dataset=dataset))
        assert plan(Options(dataset=dataset)).rows == theirs.rows


def test_table_names() -> None:
    assert plan(Options(dataset="packaged", smoke=True)).name == "table4-packaged-smoke"
    named = plan(Options(visual="resnet50"))
    assert named.name == "table4-food101_mmimdb-resnet50-bert-base-uncased"
    with pytest.raises(ValueError, match=r"must be food101_mmimdb \(food101, mmimdb\), packaged"):
        plan(Options(dataset="crisismmd"))
