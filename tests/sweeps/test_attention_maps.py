"""The command line of Figure 3."""

from __future__ import annotations

from pathlib import Path

import pytest
import tyro

from sweeps.attention_maps import Options


def parsed(*words: str) -> Options:
    return tyro.cli(Options, args=words, config=(tyro.conf.FlagCreatePairsOff,))


def test_a_row_is_all_that_must_be_named() -> None:
    found = parsed("--row", "me_bert-1-6")
    assert (found.results, found.plan, found.seed) == (Path("results"), None, None)
    assert (found.split, found.number, found.channels, found.heads) == ("test", 3, 1, "mean")
    with pytest.raises(SystemExit):
        parsed()


def test_all_that_can_be_said() -> None:
    line = (
        "elsewhere --plan table5-openclipart --row me_bert-1-6 --seed 2 --layers 5 6 "
        "--examples 904206758830370816_0 paper --words rescue flooded --heads 3 --channels 4"
    )
    found = parsed(*line.split())
    assert (found.results, found.layers, found.seed) == (Path("elsewhere"), (5, 6), 2)
    assert found.examples == ("904206758830370816_0", "paper")
    assert (found.words, found.heads, found.channels) == (("rescue", "flooded"), "3", 4)
