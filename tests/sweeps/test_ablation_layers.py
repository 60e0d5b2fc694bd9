"""Table 5's plan: the paper's rows, the trials that were published, what --smoke changes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import analysis
from mi2p.data.protocols import PROTOCOLS, protocol
from sweeps.ablation_layers import Options, plan

PAPER = Path(analysis.__file__).parent / "paper" / "table5.csv"
PUBLISHED = {
    "cnn": "57e3545dc02b ac0c3f01d4ec d7485fc50ec3",
    "me_cnn-1": "230d7a2196af fcb6bcb70e13 5e5d5196e6ba",
    "me_cnn-2": "8fafb98e56a3 18d7f0fad351 d782be8a7569",
    "me_cnn-3": "edb7cace783b 80b00278aeeb 09978f59b3cd",
    "me_cnn-4": "c6ba81f0feb7 a5dbb8a9f07a 71515fbb2987",
    "me_cnn-1-4": "294b54239733 53931f8c31c7 adf0d5e83756",
    "bert": "3f177cc5bafa e6b473bfa552 7475e8bc4143",
    "me_bert-1-2": "8c7ab9bcff26 11f1aaddd0df ec40c8cc770b",
    "me_bert-3-4": "8c4036540b55 f500d3af7e36 bae14a103bf4",
    "me_bert-5-6": "2bfc043beaa8 1fc1bb0a68f1 fac6f966f20e",
    "me_bert-1-6": "ed1f12a50f3a 50500f1df878 8690808c8b70",
}
"""Row to the ids of its seeds, as the first release of the sweep declared them."""


def test_the_published_trials_on_openclipart_keep_their_ids() -> None:
    # A results folder of the first release is still whole: nothing in it runs again.
    rows = plan(Options()).rows
    assert {row.key: " ".join(spec.trial_id for spec in row.specs) for row in rows} == PUBLISHED
    assert [row.key for row in rows] == list(PUBLISHED)


def test_twelve_rows_with_the_papers_backbones() -> None:
    table = plan(Options(dataset="crisismmd_task2"))
    assert table.name == "table5-crisismmd_task2"
    with PAPER.open() as file:
        printed = list(dict.fromkeys(row["method"] for row in csv.DictReader(file)))
    assert [row.paper for row in table.rows] == printed
    units = [row.specs[0].model.units for row in table.rows]
    assert [unit and unit.heads for unit in units] == [None] + [8] * 5 + [None] + [12] * 5
    assert {unit.lr_multiplier for unit in units if unit} == {1}


@pytest.mark.parametrize("dataset", PROTOCOLS)
def test_every_data_set_has_a_legal_plan_by_its_own_protocol(dataset: str) -> None:
    own = protocol(dataset)
    for row in plan(Options(dataset=dataset)).rows:
        visual = row.specs[0].model.trains == ("visual",)
        assert {spec.data for spec in row.specs} == {own.data}
        assert {s.train for s in row.specs} == {own.visual_train if visual else own.textual_train}


@pytest.mark.parametrize("dataset", ["openclipart", "mmimdb"])
def test_rows_of_a_backbone_share_all_but_the_units(dataset: str) -> None:
    # Otherwise a difference between rows would not be the units' doing.
    for modality in ("visual", "textual"):
        specs = [row.specs[0] for row in plan(Options(dataset=dataset)).rows]
        of_backbone = [spec for spec in specs if spec.model.trains == (modality,)]
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


def test_other_backbones_make_a_table_of_their_own() -> None:
    name = "table5-openclipart-densenet121-minilm"
    assert plan(Options(visual="densenet121")).name == name
    # Naming the data set's own is no other table.
    assert plan(Options(visual="efficientnet_lite0")).name == "table5-openclipart"
    assert (
        plan(Options(dataset="food101", visual="densenet121", textual="bert-base-uncased")).name
        == "table5-food101"
    )


def test_a_smoke_run_has_trials_and_a_table_of_its_own() -> None:
    table, smoke = plan(Options()), plan(Options(smoke=True))
    assert smoke.name == "table5-openclipart-smoke"
    assert not {s.trial_id for s in smoke.specs()} & {s.trial_id for s in table.specs()}
    assert {(s.seed, s.train.epochs, s.data.limit) for s in smoke.specs()} == {(0, 1, 48)}
