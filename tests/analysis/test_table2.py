"""Training parameters beside those that the paper prints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis import table2
from mi2p.data.protocols import PROTOCOLS, protocol


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
