"""The shared command line: values that cannot be meant, and rows by key."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mi2p.options import SweepOptions, chosen_rows
from sweeps.ablation_layers import Options, plan


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": ()}, "at least one"),
        ({"seeds": (1, 1)}, "distinct"),
        ({"seeds": (-1,)}, "from 0 up"),
        ({"gpus_per_trial": -0.5}, r"--gpus-per-trial must be in 0 \.\.\. 1, but got -0\.5"),
        ({"max_concurrent": -1}, "--max-concurrent must be >= 0, but got -1"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SweepOptions(**wrong)


def test_rows_are_chosen_by_key_in_the_tables_order() -> None:
    table = plan(Options())
    chosen = chosen_rows(table, ("me_bert-1-6", "cnn"))
    assert [row.key for row in chosen] == ["cnn", "me_bert-1-6"]
    assert chosen_rows(table, ()) == table.rows


def test_an_unknown_row_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no row 'me_cnn-5'; the rows are cnn, me_cnn-1, "):
        chosen_rows(plan(Options()), ("me_cnn-5",))


def test_every_option_has_a_help_text() -> None:
    # tyro reads the text under each field; a field without one has an empty --help line.
    import inspect

    source = inspect.getsource(SweepOptions)
    for field in dataclasses.fields(SweepOptions):
        after = source.split(f"\n    {field.name}:", 1)[1].split("\n")[1].strip()
        assert after.startswith('"""'), field.name
