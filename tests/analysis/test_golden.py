"""A real small sweep gives the same tables, byte for byte, and all of them compile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.tables import write_all
from mi2p.store import load
from tests.golden import TABLES, unpack

pytestmark = pytest.mark.slow

KEPT = sorted(path.name for path in TABLES.iterdir())
LATEX = [name for name in KEPT if name.endswith(".tex")]
PAGES = {"letter": r"\documentclass{article}\usepackage[margin=1in]{geometry}"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = unpack(tmp_path_factory.mktemp("golden") / "results")
    assert [one.reason for one in write_all(made) if one.reason] == []
    return made


def test_the_sweep_is_a_whole_one() -> None:
    assert {re.split("[-.]", name)[0] for name in LATEX} >= {f"table{n}" for n in range(1, 7)}


def test_every_trial_is_there(results: Path) -> None:
    trials = load(results)
    assert set(trials["status"]) == {"done"} and len(trials) > 100
    assert trials["code"].nunique() == 1


def test_no_table_is_new_or_gone(results: Path) -> None:
    assert sorted(path.name for path in (results / "tables").iterdir()) == KEPT


@pytest.mark.parametrize("name", KEPT)
def test_table_is_the_same(results: Path, name: str) -> None:
    made, kept = (results / "tables" / name).read_bytes(), (TABLES / name).read_bytes()
    if name.endswith(".json"):
        # Digests of parquet files change with the version of what wrote them here.
        assert _without_digests(made) == _without_digests(kept)
    else:
        assert made == kept


@pytest.mark.parametrize("name", LATEX)
def test_table_compiles(compiles: Callable[[Path, str], None], name: str) -> None:
    compiles(TABLES / name, PAGES["letter"])


def _without_digests(text: bytes) -> Any:
    plain = json.loads(text)
    for trial in plain["trials"].values():
        for name in [name for name in trial if name.endswith("_digest")]:
            assert len(trial.pop(name)) == 16
    return plain
