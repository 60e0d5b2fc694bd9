"""Units, rows and names that tables have in common."""

from __future__ import annotations

import pytest

from mi2p.options import SweepOptions, data_spec
from mi2p.spec import FusionSpec, ModelSpec, UnitSpec
from mi2p.table_rows import make_row, me_bert, me_cnn, path_safe, table_name

BACKBONES = {"visual": "densenet121", "textual": "bert-base-uncased"}


@pytest.mark.parametrize("dataset", ["crisismmd_task1", "food101", "mmimdb"])
def test_units_on_the_papers_data_are_what_a_unit_is_by_default(dataset: str) -> None:
    cnn = me_cnn(dataset, **BACKBONES, attach=(1, 4))
    assert cnn.units == UnitSpec(attach=(1, 4))
    assert (cnn.name, cnn.visual, cnn.textual) == ("me_cnn", "densenet121", "bert-base-uncased")
    # The paper's 12 heads of BERT, which are its own.
    bert = me_bert(dataset, **BACKBONES, attach=(1, 12))
    assert bert.units == UnitSpec(attach=(1, 12), heads=12)
    assert (bert.name, bert.visual, bert.textual) == (
        "me_bert",
        "densenet121",
        BACKBONES["textual"],
    )


@pytest.mark.parametrize("dataset", ["openclipart", "openclipart-tags"])
def test_units_on_openclipart_are_what_validation_chose(dataset: str) -> None:
    cnn = me_cnn(dataset, **BACKBONES, attach=(2,))
    assert cnn.units == UnitSpec(attach=(2,), heads=8, init="zero_value", lr_multiplier=10)
    bert = me_bert(dataset, visual="densenet121", textual="tiny_bert", attach=(1, 2, 3))
    assert bert.units == UnitSpec(attach=(1, 2, 3), heads=4, lr_multiplier=10)


def test_a_row_has_a_trial_per_seed_trained_by_its_modality() -> None:
    options = SweepOptions(seeds=(4, 2))
    data = data_spec(options)
    visual = make_row(
        options, data, ModelSpec(name="cnn", visual="densenet121"), key="k", label="l"
    )
    textual = make_row(options, data, ModelSpec(name="bert", textual="minilm"), key="k", label="l")
    assert [spec.seed for spec in visual.specs] == [4, 2]
    # Measured on OpenClipart: 3e-4 for its CNN, 1e-4 for its transformer.
    assert {spec.train.lr for spec in visual.specs} == {3e-4}
    assert {spec.train.lr for spec in textual.specs} == {1e-4}
    assert visual.paper == ""


def test_a_row_of_averages_takes_the_trials_of_its_parts_seed_by_seed() -> None:
    options = SweepOptions(seeds=(4, 2))
    data = data_spec(options)
    cnn, bert = (
        make_row(options, data, model, key=model.name, label="l")
        for model in (
            ModelSpec(name="cnn", visual="densenet121"),
            ModelSpec(name="bert", textual="minilm"),
        )
    )
    fusion = FusionSpec(kind="score", joint_loss="branches")
    both = ModelSpec(name="fusion", visual="densenet121", textual="minilm", fusion=fusion)
    row = make_row(options, data, both, key="k", label="l", averages=(cnn, bert))
    assert [spec.seed for spec in row.specs] == [4, 2]
    assert [spec.averages for spec in row.specs] == [
        (cnn.specs[0].trial_id, bert.specs[0].trial_id),
        (cnn.specs[1].trial_id, bert.specs[1].trial_id),
    ]
    trained = make_row(options, data, both, key="k", label="l")
    assert all(not spec.averages for spec in trained.specs)
    # A model of the same kind that is trained jointly is another trial.
    assert not {s.trial_id for s in trained.specs} & {s.trial_id for s in row.specs}


def test_names_of_tables() -> None:
    assert table_name(6, SweepOptions()) == "table6-openclipart"
    smoke = SweepOptions(dataset="food101", smoke=True)
    assert table_name(5, smoke, ("a", "timm:b")) == "table5-food101-a-timm-b-smoke"


def test_a_name_with_a_slash_makes_no_folder() -> None:
    assert path_safe("timm:hf-hub:x/resnet18.a1_in1k") == "timm-hf-hub-x-resnet18.a1_in1k"
