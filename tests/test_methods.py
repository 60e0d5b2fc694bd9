"""The 18 methods: what each is a model of, and the rows they make on each data set."""

from __future__ import annotations

import pytest

from mi2p.data.protocols import PROTOCOLS
from mi2p.methods import METHODS, TINY, Backbones, compare
from mi2p.options import BackboneOptions, data_spec
from mi2p.spec import FusionSpec, ModelSpec

PAPERS = Backbones(dataset="mmimdb", visual="densenet121", textual="bert-base-uncased")
OURS = Backbones(dataset="openclipart", visual="efficientnet_lite0", textual="minilm")
GROUPS = {"two": ("food101", "mmimdb"), "packaged": ("openclipart",)}


def model(key: str, of: Backbones = PAPERS) -> ModelSpec:
    return METHODS[key].model(of)


def test_units_of_the_late_fusions_are_those_of_the_expanded_models() -> None:
    for key in ("me_score_fusion", "me_feature_concat", "me_cross_attention"):
        for of in (PAPERS, OURS):
            assert model(key, of).units == model("me_cnn", of).units
            assert model(key, of).textual_units == model("me_bert", of).units
    units, textual = model("me_score_fusion").units, model("me_score_fusion").textual_units
    assert units and units.attach == (1, 2, 3, 4) and units.heads == 8
    assert textual and textual.attach == tuple(range(1, 13)) and textual.heads == 12


def test_kinds_of_fusion() -> None:
    kinds = {key: m.fusion.kind for key in METHODS if (m := model(key)).fusion}
    assert kinds == {
        "score_fusion": "score",
        "feature_concat": "concat",
        "cross_attention": "cross_attention",
        "gmu": "gmu",
        "cbp": "cbp",
        "cbgp": "cbgp",
        "me_score_fusion": "score",
        "me_feature_concat": "concat",
        "me_cross_attention": "cross_attention",
    }
    # Only a score that is not trained has no loss of its own; a joint one supervises branches.
    assert model("me_score_fusion").fusion == FusionSpec(kind="score", joint_loss="fused+branches")


def test_multimodal_transformers_use_their_checkpoints_beside_the_papers_bert_alone() -> None:
    assert model("visualbert") == ModelSpec(
        name="visualbert", visual="resnet50", textual="visualbert-vqa-coco-pre"
    )
    assert model("vilt") == ModelSpec(name="vilt", textual="vilt-b32-mlm")
    assert model("visualbert", OURS) == ModelSpec(
        name="visualbert", visual="efficientnet_lite0", textual="minilm"
    )
    assert model("vilt", OURS) == ModelSpec(name="vilt", textual="minilm")


def test_labels_name_our_backbones() -> None:
    labels = {key: method.label(OURS) for key, method in METHODS.items()}
    assert labels["cnn"] == "Unimodal EfficientNet-Lite0"
    assert labels["me_bert"] == "ME MiniLM"
    assert labels["vilt"] == "ViLT" and METHODS["vilt"].paper == "ViT"
    assert (labels["me_score_fusion"], labels["gmu"]) == ("ME Score Fusion", "GMU")
    assert len(set(labels.values())) == 18


def test_rows_come_by_data_set_and_in_the_tables_order() -> None:
    plan = compare(BackboneOptions(dataset="two"), 4, GROUPS)
    assert (plan.name, plan.table, plan.datasets) == ("table4-two", 4, ("food101", "mmimdb"))
    assert [row.key for row in plan.rows] == [*METHODS, *METHODS]
    assert [row.dataset for row in plan.rows] == ["food101"] * 18 + ["mmimdb"] * 18
    for row in plan.rows:
        assert row.paper == METHODS[row.key].paper
        assert [spec.seed for spec in row.specs] == [0, 1, 2]


@pytest.mark.parametrize("dataset", PROTOCOLS)
def test_every_data_set_has_a_legal_plan_by_its_own_protocol(dataset: str) -> None:
    own = PROTOCOLS[dataset]
    trained = {
        ("visual",): own.visual_train,
        ("textual",): own.textual_train,
        ("visual", "textual"): own.joint_train,
    }
    plan = compare(BackboneOptions(dataset=dataset), 3, GROUPS)
    for spec in plan.specs():
        assert spec.data == own.data
        assert spec.train == trained[spec.model.trains]


def test_only_score_fusion_averages_and_what_it_averages_is_the_unimodal_rows() -> None:
    plan = compare(BackboneOptions(dataset="two"), 4, GROUPS)
    for name in plan.datasets:
        rows = {row.key: row for row in plan.rows if row.dataset == name}
        pairs = zip(rows["cnn"].specs, rows["bert"].specs, strict=True)
        expected = [(cnn.trial_id, bert.trial_id) for cnn, bert in pairs]
        assert [spec.averages for spec in rows.pop("score_fusion").specs] == expected
        assert not any(spec.averages for row in rows.values() for spec in row.specs)


def test_other_backbones_are_in_the_name_and_limit_the_words_of_all_rows() -> None:
    plan = compare(BackboneOptions(dataset="two", textual="tiny_bert"), 4, GROUPS)
    assert plan.name == "table4-two-densenet121-tiny_bert"
    assert {spec.data.max_tokens for spec in plan.specs()} == {64}
    named = BackboneOptions(dataset="two", visual="densenet121")
    assert compare(named, 4, GROUPS).name == "table4-two"
    # What was asked for is not cut silently.
    with pytest.raises(ValueError, match="max_tokens <= 64 for tiny_bert"):
        compare(BackboneOptions(dataset="two", textual="tiny_bert", max_tokens=100), 4, GROUPS)


def test_a_smoke_run_has_tiny_random_backbones_and_trials_of_its_own() -> None:
    smoke = compare(BackboneOptions(dataset="two", smoke=True), 4, GROUPS)
    assert smoke.name == "table4-two-smoke"
    used = {name for s in smoke.specs() for name in (s.model.visual, s.model.textual) if name}
    assert used == set(TINY)
    assert {(s.seed, s.train.epochs, s.data.limit) for s in smoke.specs()} == {(0, 1, 48)}
    asked = BackboneOptions(dataset="two", smoke=True, textual="minilm")
    assert compare(asked, 4, GROUPS).name == "table4-two-tiny_densenet-minilm-smoke"


def test_an_option_of_one_data_set_is_used_there() -> None:
    plan = compare(BackboneOptions(dataset="two", text_field="plot_first"), 4, GROUPS)
    fields = {row.dataset: {s.data.text_field for s in row.specs} for row in plan.rows}
    assert fields == {"food101": {"plot_longest"}, "mmimdb": {"plot_first"}}


def test_a_single_data_set_may_be_any_and_an_unknown_one_lists_what_is_legal() -> None:
    plan = compare(BackboneOptions(dataset="openclipart-tags"), 3, GROUPS)
    assert (plan.name, plan.datasets) == ("table3-openclipart-tags", ("openclipart-tags",))
    assert plan.rows[0].specs[0].data == data_spec(BackboneOptions(dataset="openclipart-tags"))
    with pytest.raises(ValueError) as refused:
        compare(BackboneOptions(dataset="imdb"), 3, GROUPS)
    assert str(refused.value).startswith(
        "--dataset must be two (food101, mmimdb), packaged (openclipart), or one of openclipart, "
    )
    assert str(refused.value).endswith("mmimdb, but got 'imdb'")
