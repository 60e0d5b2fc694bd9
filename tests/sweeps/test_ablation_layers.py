"""Table 5's plan: the paper's twelve rows, shared trials, what --smoke changes."""

from __future__ import annotations

import csv
from pathlib import Path

import analysis
from sweeps.ablation_layers import Options, plan

PAPER = Path(analysis.__file__).parent / "paper" / "table5.csv"


def test_twelve_rows_with_the_papers_backbones() -> None:
    table = plan(Options(visual="densenet121", textual="bert-base-uncased", image_size=256))
    with PAPER.open() as file:
        printed = list(dict.fromkeys(row["method"] for row in csv.DictReader(file)))
    assert [row.paper for row in table.rows] == printed
    units = [row.specs[0].model.units for row in table.rows]
    assert [unit and unit.heads for unit in units] == [None] + [8] * 5 + [None] + [12] * 5


def test_eleven_rows_with_the_packaged_backbones() -> None:
    table = plan(Options())
    assert [row.key for row in table.rows] == [
        *("cnn", "me_cnn-1", "me_cnn-2", "me_cnn-3", "me_cnn-4", "me_cnn-1-4"),
        *("bert", "me_bert-1-2", "me_bert-3-4", "me_bert-5-6", "me_bert-1-6"),
    ]
    assert all([spec.seed for spec in row.specs] == [0, 1, 2] for row in table.rows)


def test_rows_of_a_backbone_share_all_but_the_units() -> None:
    # Otherwise a difference between rows would not be the units' doing.
    for reads in ("visual", "textual"):
        specs = [row.specs[0] for row in plan(Options()).rows]
        of_backbone = [spec for spec in specs if spec.model.reads == reads]
        assert len({spec.train for spec in of_backbone}) == 1
        assert len({spec.data for spec in of_backbone}) == 1
        units = [spec.model.units for spec in of_backbone if spec.model.units]
        alike = [{**unit.to_dict(), "attach": None} for unit in units]
        assert all(unit == alike[0] for unit in alike)


def test_a_unimodal_trial_does_not_depend_on_the_other_backbone() -> None:
    # Tables share trials: the CNN row is the same trial whatever BERT stands beside it.
    packaged = plan(Options()).rows[0]
    other = plan(Options(textual="bert-base-uncased")).rows[0]
    assert [s.trial_id for s in packaged.specs] == [s.trial_id for s in other.specs]


def test_a_smoke_run_has_trials_and_a_table_of_its_own() -> None:
    table, smoke = plan(Options()), plan(Options(smoke=True))
    assert smoke.name == "table5-openclipart-smoke"
    assert not {s.trial_id for s in smoke.specs()} & {s.trial_id for s in table.specs()}
    assert {(s.seed, s.train.epochs, s.data.limit) for s in smoke.specs()} == {(0, 1, 48)}
