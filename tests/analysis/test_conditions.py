"""Every kind of condition that rows may not share is refused (`test_cells.py`) or told here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.cells import select
from analysis.conditions import OPTIONS, notes
from mi2p.plan import Plan, PlanRow, Searched
from mi2p.store import load

CNN, ME_CNN, BERT, ME_BERT = range(4)


def told(lab: Any, plan: Plan) -> list[str]:
    return notes(select(plan, load(lab.results)))


def changed(row: PlanRow, part: str, **values: Any) -> PlanRow:
    specs = (replace(spec, **{part: replace(getattr(spec, part), **values)}) for spec in row.specs)
    return replace(row, specs=tuple(specs))


def with_row(plan: Plan, at: int, row: PlanRow) -> Plan:
    return replace(plan, rows=(*plan.rows[:at], row, *plan.rows[at + 1 :]))


def filled(lab: Any, plan: Plan) -> Plan:
    for row in plan.rows:
        lab.fill(row, [0.6] * len(row.specs))
    return plan


def test_rows_that_share_all_are_told_nothing(lab: Any) -> None:
    assert told(lab, filled(lab, lab.plan())) == []


@pytest.mark.parametrize(
    ("part", "values", "note"),
    [
        ("data", {"image_size": 256}, "Image side in pixels: 128, but 256 in"),
        ("data", {"view": "crop"}, "Image view: fit, but crop in"),
        ("data", {"augment": "crop_flip"}, "Image augmentation: none, but crop_flip in"),
        ("data", {"on_bad_image": "skip"}, "Images that cannot be used: fail, but skip in"),
        ("train", {"batch_size": 64}, "Batch size: 128, but 64 in"),
        ("train", {"epochs": 9}, "Epochs: 3, but 9 in"),
        ("train", {"micro_batch": 8}, "Most examples of a forward pass: the batch, but 8 in"),
    ],
)
def test_a_row_that_is_not_like_the_others_is_named(
    lab: Any, part: str, values: dict[str, Any], note: str
) -> None:
    plan = lab.plan(seeds=(0,))
    odd = changed(plan.rows[ME_CNN], part, **values)
    found = told(lab, filled(lab, with_row(plan, ME_CNN, odd)))
    assert found == [f"{note} DenseNet-121 + MI2P{{1-4}}."]


@pytest.mark.parametrize(
    ("part", "values", "note"),
    [
        ("train", {"lr": 1e-3}, "Learning rate (visual): 0.0001, but 0.001"),
        (
            "train",
            {"head_lr_multiplier": 2.0},
            "Learning rate of classifiers (times) (visual): 1.0, but 2.0",
        ),
        ("train", {"weight_decay": 0.01}, "Weight decay (visual): 0.0, but 0.01"),
        ("model", {"head_dropout": 0.5}, "Dropout before the classifier (visual): 0.1, but 0.5"),
    ],
)
def test_rows_that_train_the_same_backbone_should_be_trained_alike(
    lab: Any, part: str, values: dict[str, Any], note: str
) -> None:
    plan = lab.plan(seeds=(0,))
    odd = with_row(plan, ME_CNN, changed(plan.rows[ME_CNN], part, **values))
    assert told(lab, filled(lab, odd)) == [f"{note} in DenseNet-121 + MI2P{{1-4}}."]
    # Not like those that train the other backbone, which is by design.
    both = with_row(odd, CNN, changed(odd.rows[CNN], part, **values))
    assert told(lab, filled(lab, both)) == []


def test_what_a_search_chose_is_not_told_again(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    searched = Searched(
        study="s",
        sampler="tpe",
        scheduler="none",
        against=None,
        wanted=1,
        tried=1,
        pruned=0,
        failed=0,
        metric="val/accuracy",
        best=0.6,
        first=None,
        trials=(),
    )
    odd = replace(changed(plan.rows[ME_CNN], "train", lr=1e-3), searched=searched)
    assert told(lab, filled(lab, with_row(plan, ME_CNN, odd))) == []


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"heads": 4}, "heads of units in densenet121: 8, but 4"),
        ({"d_k": 32}, "d_k of units in densenet121: 64, but 32"),
        ({"out_projection": True}, "out_projection of units in densenet121: False, but True"),
    ],
)
def test_units_in_one_backbone_should_be_alike(
    lab: Any, values: dict[str, Any], note: str
) -> None:
    plan = lab.plan(seeds=(0,))
    row = plan.rows[ME_CNN]
    assert row.specs[0].model.units is not None
    other = replace(row.specs[0].model.units, attach=(1,), **values)
    odd = replace(changed(row, "model", units=other), key="odd", label="odd")
    # Where units are attached is no condition, and those of the other backbone have other heads.
    assert told(lab, filled(lab, replace(plan, rows=(*plan.rows, odd)))) == [f"{note} in odd."]


def test_what_a_row_does_not_read_is_no_condition(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    # BERT alone sees no image and no frozen features.
    for values in ({"image_size": 256}, {"view": "crop"}, {"features": "float16"}):
        odd = changed(plan.rows[BERT], "data", **values)
        assert told(lab, filled(lab, with_row(plan, BERT, odd))) == []


def test_what_depends_on_the_trained_backbone_is_told_in_short(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for at in (CNN, ME_CNN):
        plan = with_row(plan, at, changed(plan.rows[at], "train", epochs=2))
    assert told(lab, filled(lab, plan)) == [
        "Epochs, by the backbones that are trained: 2 (visual), 3 (textual)."
    ]


def test_the_type_of_frozen_features_is_of_rows_that_have_some(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    odd = changed(plan.rows[ME_CNN], "data", features="float16")
    assert told(lab, filled(lab, with_row(plan, ME_CNN, odd))) == [
        "Type of frozen features, by the backbones that are trained: float16 (visual), float32 "
        "(textual)."
    ]


def test_rows_without_a_number_are_not_compared(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    lab.fill(plan.rows[BERT], [0.6])
    odd = with_row(plan, CNN, changed(plan.rows[CNN], "train", epochs=9))
    assert told(lab, odd) == []


def test_the_first_of_several_usual_values_is_named_first(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for at, size in ((BERT, 64), (ME_BERT, 256), (ME_CNN, 384)):
        plan = with_row(plan, at, changed(plan.rows[at], "data", image_size=size))
    first, *_ = told(lab, filled(lab, plan))
    # BERT alone sees none: 128, 384 and 256 are of one row each.
    assert first == (
        "Image side in pixels: 128, but 384 in DenseNet-121 + MI2P{1-4}; 256 in MiniLM + "
        "MI2P{1-3}."
    )


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("device", "devices"),
        ("torch_version", "torch versions"),
        ("code_version", "code versions"),
    ],
)
def test_surroundings_of_rows_are_told(lab: Any, column: str, title: str) -> None:
    plan = filled(lab, lab.plan(seeds=(0, 1)))
    lab.fill(plan.rows[CNN], [0.6, 0.6], **{column: "9"})
    usual = load(lab.results)[column].iloc[0]
    (note,) = told(lab, plan)
    others = sorted({"9", *load(lab.results)[column]})
    assert note == f"Trials ran on several {title}: {', '.join(others)}."
    assert usual in note


def test_other_sources_are_counted_within_rows_and_between_them(lab: Any) -> None:
    plan = filled(lab, lab.plan(seeds=(0, 1)))
    for row in plan.rows:
        lab.fill(row, [0.6, 0.6], code="aaa")
    lab.fill(plan.rows[BERT], [0.6, 0.6], code="bbb")
    assert told(lab, plan) == [
        "Trials were made by different sources (hashes: aaa of 6 trials, bbb of 2 trials)."
    ]
    lab.trial(plan.rows[ME_CNN].specs[1], {"accuracy": 0.6}, code=None)
    assert told(lab, plan) == [
        "Trials were made by different sources (hashes: aaa of 5 trials, bbb of 2 trials, unknown "
        "of 1 trials; within a row: DenseNet-121 + MI2P{1-4})."
    ]


def test_rows_from_before_there_were_hashes_are_alike(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for row in plan.rows:
        lab.fill(row, [0.6], code=None)
    assert told(lab, plan) == []


def test_a_backbone_that_starts_from_other_weights_is_told(lab: Any) -> None:
    plan = lab.plan(seeds=(0, 1))
    for row, weights in zip(plan.rows, ("v", "v t", "t", "t v"), strict=True):
        lab.fill(row, [0.6, 0.6], weights=weights)
    assert told(lab, plan) == []
    # The trained CNN of the row with units is another one, its frozen MiniLM is not.
    lab.fill(plan.rows[ME_CNN], [0.6, 0.6], weights="w t")
    assert told(lab, plan) == [
        "Rows start from different pretrained weights of densenet121: DenseNet-121, "
        "MiniLM + MI2P{1-3}; DenseNet-121 + MI2P{1-4}."
    ]


def test_every_option_has_a_case_above() -> None:
    assert len(OPTIONS) == 8
