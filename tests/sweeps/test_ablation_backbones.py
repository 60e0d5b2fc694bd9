"""Table 6's plan: the paper's eight rows, which trials it shares with Table 5, other backbones."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import analysis
from mi2p.data.protocols import PROTOCOLS, protocol
from mi2p.plan import Plan
from sweeps import ablation_layers
from sweeps.ablation_backbones import Options, plan

PAPER = Path(analysis.__file__).parent / "paper" / "table6.csv"
KEYS = [
    *("resnet50", "me-resnet50", "xlnet-base-cased", "me-xlnet-base-cased"),
    *("clip_text", "me-clip_text", "resnet50_clip", "me-resnet50_clip"),
]


def ids(table: Plan) -> set[str]:
    return {spec.trial_id for spec in table.specs()}


def test_the_papers_eight_rows() -> None:
    table = plan(Options(dataset="crisismmd_task2"))
    assert (table.name, table.table) == ("table6-crisismmd_task2", 6)
    with PAPER.open(encoding="utf-8") as file:
        printed = list(dict.fromkeys(row["method"] for row in csv.DictReader(file)))
    assert [row.paper for row in table.rows] == printed
    assert [row.key for row in table.rows] == KEYS
    assert [row.label for row in table.rows[1::2]] == [f"ME {r.label}" for r in table.rows[::2]]


def test_units_are_the_papers_on_every_block_or_layer() -> None:
    models = [row.specs[0].model for row in plan(Options(dataset="crisismmd_task2")).rows]
    assert [m.name for m in models] == ["cnn", "me_cnn", *["bert", "me_bert"] * 2, "cnn", "me_cnn"]
    assert all(model.units is None for model in models[::2])
    units = [model.units for model in models[1::2]]
    four, twelve = tuple(range(1, 5)), tuple(range(1, 13))
    assert [unit and unit.attach for unit in units] == [four, twelve, twelve, four]
    # CLIP's text encoder is 512 wide, which 12 heads do not divide; it has 8 itself.
    assert [unit and unit.heads for unit in units] == [8, 12, 8, 8]
    assert {(u.init, u.lr_multiplier) for u in units if u} == {("default", 1.0)}


def test_what_units_look_at_is_as_in_the_main_model() -> None:
    models = [row.specs[0].model for row in plan(Options(dataset="crisismmd_task2")).rows]
    looked_at = [m.textual if m.name == "me_cnn" else m.visual for m in models[1::2]]
    assert looked_at == ["bert-base-uncased", "densenet121", "densenet121", "bert-base-uncased"]


@pytest.mark.parametrize("dataset", PROTOCOLS)
def test_every_data_set_has_a_legal_plan_by_its_own_protocol(dataset: str) -> None:
    own = protocol(dataset)
    for row in plan(Options(dataset=dataset)).rows:
        visual = row.specs[0].model.trains == ("visual",)
        assert {s.train for s in row.specs} == {own.visual_train if visual else own.textual_train}
        assert [spec.seed for spec in row.specs] == [0, 1, 2]


@pytest.mark.parametrize(("dataset", "most"), [("crisismmd_task1", 64), ("mmimdb", 512)])
def test_only_clip_reads_less_text_than_the_data_set_has(dataset: str, most: int) -> None:
    rows = {row.key: row for row in plan(Options(dataset=dataset)).rows}
    lengths = {key: {s.data.max_tokens for s in row.specs} for key, row in rows.items()}
    clip = min(77, most)
    expected = {key: {most} for key in KEYS} | {"clip_text": {clip}, "me-clip_text": {clip}}
    assert lengths == expected


def test_a_backbone_and_its_expanded_form_differ_in_the_units_alone() -> None:
    for dataset in ("food101", "openclipart"):
        rows = plan(Options(dataset=dataset)).rows
        for alone, expanded in zip(rows[::2], rows[1::2], strict=True):
            for one, other in zip(alone.specs, expanded.specs, strict=True):
                assert (one.data, one.train, one.seed) == (other.data, other.train, other.seed)
                (trained,) = one.model.trains
                assert getattr(one.model, trained) == getattr(other.model, trained)


@pytest.mark.parametrize("dataset", ["openclipart", "crisismmd_task2"])
def test_tables_5_and_6_share_the_trials_that_are_the_same_and_no_others(dataset: str) -> None:
    own = protocol(dataset)
    layers = {row.key: row for row in ablation_layers.plan(_layers(dataset)).rows}
    backbones = (own.visual, own.textual)
    mine = plan(Options(dataset=dataset, backbones=backbones))
    every = [key for key in layers if key.startswith("me_bert-1-")][-1]
    theirs = [layers[key].specs for key in ("cnn", "me_cnn-1-4", "bert", every)]
    assert [row.specs for row in mine.rows] == theirs

    table5 = ids(ablation_layers.plan(_layers(dataset)))
    assert not ids(plan(Options(dataset=dataset))) & table5
    assert not ids(plan(Options(dataset=dataset, smoke=True))) & table5


def _layers(dataset: str) -> ablation_layers.Options:
    return ablation_layers.Options(dataset=dataset)


def test_a_unimodal_trial_does_not_depend_on_the_frozen_encoders() -> None:
    one = plan(Options(dataset="crisismmd_task2"))
    other = plan(Options(dataset="crisismmd_task2", visual="densenet201", textual="minilm"))
    for number, (row, changed) in enumerate(zip(one.rows, other.rows, strict=True)):
        assert (row.specs == changed.specs) == (number % 2 == 0)


def test_any_backbones_of_both_kinds_make_a_table_of_their_own() -> None:
    table = plan(Options(dataset="crisismmd_task2", backbones=("resnet50", "timm:resnet18")))
    assert table.name == "table6-crisismmd_task2-resnet50-timm-resnet18"
    keys = ["resnet50", "me-resnet50", "timm-resnet18", "me-timm-resnet18"]
    assert [row.key for row in table.rows] == keys
    assert table.rows[2].specs[0].model.visual == "timm:resnet18"
    # A name is the paper's only for what the paper has.
    assert [row.paper for row in table.rows] == ["ResNet-50", "ME ResNet-50", "", ""]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "table6-openclipart"),
        ({"smoke": True}, "table6-openclipart-smoke"),
        ({"visual": "efficientnet_lite0"}, "table6-openclipart"),
        ({"visual": "densenet121"}, "table6-openclipart-with-densenet121-minilm"),
        (
            {"backbones": ("minilm",), "textual": "tiny_bert", "smoke": True},
            "table6-openclipart-minilm-with-efficientnet_lite0-tiny_bert-smoke",
        ),
    ],
)
def test_a_table_with_other_backbones_does_not_replace_the_default_one(
    options: dict[str, Any], name: str
) -> None:
    assert plan(Options(**options)).name == name


def test_unknown_and_repeated_backbones_are_refused() -> None:
    with pytest.raises(ValueError) as refused:
        plan(Options(backbones=("resnet5",)))
    # It may be meant as either kind: all are listed.
    assert str(refused.value).startswith("--backbones: unknown backbone 'resnet5'; known: dense")
    assert {"bert-base-uncased", "timm:NAME"} <= set(str(refused.value).split(", "))
    with pytest.raises(ValueError, match="--backbones must be distinct, but got minilm minilm"):
        Options(backbones=("minilm", "minilm"))


def test_a_smoke_run_trains_tiny_random_backbones_only() -> None:
    smoke = plan(Options(smoke=True))
    trained = [getattr(s.model, s.model.trains[0]) for s in smoke.specs()]
    assert all(name.startswith("tiny_") for name in trained)
    assert len(trained) == 8
    assert {(s.seed, s.train.epochs, s.data.limit) for s in smoke.specs()} == {(0, 1, 48)}
    # With what is looked at as in a real run: these are the packaged weights.
    looked_at = {s.model.visual for s in smoke.specs() if s.model.name == "me_bert"}
    assert looked_at == {"efficientnet_lite0"}
