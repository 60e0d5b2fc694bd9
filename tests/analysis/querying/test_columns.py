"""Every column has a meaning, and a name that SQL takes without quotes."""

from __future__ import annotations

import pytest

from analysis.querying.columns import meanings, sql_name
from analysis.querying.database import SOURCES


@pytest.mark.parametrize("table", SOURCES)
def test_every_column_has_one_line_and_a_name_of_its_own(table: str) -> None:
    source = SOURCES[table]
    names = [name for name, _, _ in source.columns]
    assert len(set(names)) == len(names) == len(source.schema)
    assert all(name.isidentifier() for name in names)
    for name, _, meaning in source.columns:
        assert meaning.endswith("."), name
        assert "\n" not in meaning
    # A meaning of a column that is no more would not be noticed.
    assert source.own.keys() <= set(source.schema.names)


def test_meanings_are_those_of_the_source() -> None:
    columns = ("data.limit", "units.heads", "textual_units.heads", "test/macro_f1_tuned", "mine")
    told = meanings(columns, {"mine": "My own."})
    assert told["data.limit"].startswith("Use at most this many examples of each split")
    assert told["units.heads"] == told["textual_units.heads"] != ""
    assert told["test/macro_f1_tuned"] == "Macro F1 on the test split, at the tuned threshold."
    assert told["mine"] == "My own."
    assert meanings(["train.micro_batch"], {}) == {
        "train.micro_batch": (
            "Most examples of a training step's forward pass; gradients of a batch's parts are "
            "summed."
        )
    }


def test_names() -> None:
    assert sql_name("test/accuracy") == "test_accuracy"
    assert sql_name("textual_units.lr_multiplier") == "textual_units_lr_multiplier"
