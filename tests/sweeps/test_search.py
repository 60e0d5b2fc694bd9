"""The plan of the search of everything: where it begins, and what it leaves open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mi2p.data.protocols import PROTOCOLS
from mi2p.model_spec import LATE_FUSIONS
from mi2p.search.domains import Choice
from mi2p.search.spaces import space_of
from sweeps import ablation_layers, compare_crisismmd
from sweeps.search import Options, plan

ROOT = Path(__file__).resolve().parents[2]
KEYS = ["cnn", "me_cnn", "bert", "me_bert", "fusion", "me_fusion"]
OF_UNITS = {"attach", "heads", "d_k", "query_kernel", "init", "lr_multiplier"}


@pytest.mark.parametrize("dataset", PROTOCOLS)
def test_rows_of_every_data_set(dataset: str) -> None:
    table = plan(Options(dataset=dataset))
    assert (table.name, table.table) == (f"models-{dataset}", 0)
    assert [row.key for row in table.rows] == KEYS
    assert [row.specs[0].model.name for row in table.rows] == KEYS
    assert {row.paper for row in table.rows} == {""}
    assert {tuple(spec.seed for spec in row.specs) for row in table.rows} == {(0, 1, 2)}
    assert not any(spec.averages for spec in table.specs())
    assert len({row.label for row in table.rows}) == 6


def test_the_declared_trials_are_those_of_the_papers_tables() -> None:
    # What is stored of Tables 3 and 5 is not trained again without --search.
    ours = {row.key: [s.trial_id for s in row.specs] for row in plan(Options()).rows}
    table3 = compare_crisismmd.plan(compare_crisismmd.Options(dataset="openclipart"))
    theirs = {row.key: [spec.trial_id for spec in row.specs] for row in table3.rows}
    renamed = {"fusion": "cross_attention", "me_fusion": "me_cross_attention"}
    assert ours == {key: theirs[renamed.get(key, key)] for key in KEYS}
    table5 = {row.key: row for row in ablation_layers.plan(ablation_layers.Options()).rows}
    assert ours["me_cnn"] == [spec.trial_id for spec in table5["me_cnn-1-4"].specs]


@pytest.mark.parametrize("dataset", PROTOCOLS)
def test_rates_heads_layers_and_the_type_of_fusion_are_searched(dataset: str) -> None:
    for row in plan(Options(dataset=dataset)).rows:
        space = space_of(row.specs[0])
        assert "train.lr" in space.paths
        parts = [part for part in ("units", "textual_units") if getattr(row.specs[0].model, part)]
        assert len(parts) == {"me_cnn": 1, "me_bert": 1, "me_fusion": 2}.get(row.key, 0)
        units = {path for path in space.paths if "units." in path}
        assert units == {f"model.{part}.{name}" for part in parts for name in OF_UNITS}
        kinds = [
            domain.values
            for domain in space.domains
            if isinstance(domain, Choice) and domain.path == "model.fusion.kind"
        ]
        assert kinds == [tuple(LATE_FUSIONS.values())] * ("fusion" in row.key)


def test_a_search_is_what_the_script_does() -> None:
    assert Options().search == 20
    assert Options(search=0).search == 0
    # A path that is only tried, in two minutes, tries few.
    assert [Options(smoke=True, search=n).search for n in (0, 1, 2, 50)] == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="--search must be >= 0"):
        Options(search=-1)


def test_a_smoke_run_has_tiny_backbones_and_a_table_of_its_own() -> None:
    smoke = plan(Options(smoke=True))
    assert smoke.name == "models-openclipart-smoke"
    backbones = {(s.model.visual, s.model.textual) for s in smoke.specs()}
    assert backbones == {
        ("tiny_densenet", None),
        (None, "tiny_bert"),
        ("tiny_densenet", "tiny_bert"),
    }
    assert {(s.seed, s.train.epochs, s.data.limit) for s in smoke.specs()} == {(0, 1, 48)}


def test_other_backbones_make_a_table_of_their_own() -> None:
    assert plan(Options(visual="resnet50")).name == "models-openclipart-resnet50-minilm"


def test_an_unknown_data_set_is_told_with_the_known() -> None:
    with pytest.raises(ValueError, match=r"openclipart.*food101.*'nosuch'|'nosuch'.*openclipart"):
        plan(Options(dataset="nosuch"))


def test_the_command_line_shows_its_own_default() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "sweeps" / "search.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"COLUMNS": "200", "PATH": "", "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    assert "(default: 20)" in ran.stdout
