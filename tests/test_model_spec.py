"""What is declared of the models, and every rule that makes one illegal by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest

from mi2p.model_spec import BOTH, FUSION_TAKERS, TRAITS, FusionSpec, ModelSpec, UnitSpec

UNITS, OTHER_UNITS = UnitSpec(attach=(1,)), UnitSpec(attach=(2,))
JOINT = ModelSpec(
    name="me_fusion",
    visual="densenet121",
    textual="minilm",
    units=UNITS,
    textual_units=OTHER_UNITS,
    fusion=FusionSpec(kind="concat"),
)
"""With every part that a model can have."""


def test_every_name_has_its_traits() -> None:
    assert set(get_args(get_type_hints(ModelSpec)["name"])) == set(TRAITS)


def test_units_are_in_backbones_that_are_trained() -> None:
    # The units of a CNN look at words, those of a transformer at maps.
    looks = {"visual": "words", "textual": "maps"}
    for traits in TRAITS.values():
        if traits.units:
            assert traits.frozen == tuple(looks[modality] for modality in traits.trains)
        if traits.fusion:
            assert traits.trains == BOTH


def test_options_of_fusions_are_taken_by_kinds_that_exist() -> None:
    kinds = set(get_args(get_type_hints(FusionSpec)["kind"]))
    assert {kind for takers in FUSION_TAKERS.values() for kind in takers} < kinds
    assert set(FUSION_TAKERS) | {"kind", "joint_loss"} == set(get_type_hints(FusionSpec))


@pytest.mark.parametrize(
    ("option", "value"),
    [("score_space", "logits"), ("gates", "own"), ("sketch", 4096), ("gate_at", "visual")],
)
def test_an_option_of_another_fusion_is_refused(option: str, value: Any) -> None:
    kind = FUSION_TAKERS[option][-1]
    assert getattr(FusionSpec(kind=kind, **{option: value}), option) == value  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"`{option}` is an option of .*{kind}, .* is 'concat'"):
        FusionSpec(kind="concat", **{option: value})


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"attach": ()}, "attach names at least one tap"),
        ({"attach": (2, 1)}, "attach is increasing"),
        ({"attach": (1, 1)}, "attach is increasing"),
        ({"attach": (0, 1)}, "attach is increasing and starts at 1"),
        ({"heads": 0}, "heads >= 1"),
        ({"d_k": 0}, "d_k >= 1"),
        ({"lr_multiplier": 0.0}, "lr_multiplier > 0"),
    ],
)
def test_illegal_units_state_the_rule(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=f"`{rule}.*` must hold, but got"):
        replace(UNITS, **values)


@pytest.mark.parametrize(
    ("option", "wrong", "legal"),
    [
        ("head_mode", "auto", "strict, project"),
        ("query_kernel", 2, "1, 3, 5, 7"),
        # 1 == True and 3 == 3.0, but their JSON differs: one computation would have two ids.
        ("query_kernel", True, "1, 3, 5, 7"),
        ("query_kernel", 3.0, "1, 3, 5, 7"),
        ("query_sharing", "none", "shared, per_channel"),
        ("init", "zero", "default, zero_value, gate"),
    ],
)
def test_a_wrong_choice_lists_the_legal_ones(option: str, wrong: Any, legal: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must be one of {legal}, but got {wrong!r}"):
        replace(UNITS, **{option: wrong})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_is_a_probability_below_one(dropout: float) -> None:
    assert replace(JOINT, head_dropout=0.0).head_dropout == 0
    with pytest.raises(ValueError, match="`0 <= head_dropout < 1` must hold, but got"):
        replace(JOINT, head_dropout=dropout)


def test_a_name_that_no_model_has() -> None:
    names = "cnn, bert, me_cnn, me_bert, .*, vilt"
    with pytest.raises(ValueError, match=f"must be one of {names}, but got 'resnet'"):
        replace(JOINT, name="resnet")  # type: ignore[arg-type]


def test_rules_of_fusions() -> None:
    with pytest.raises(ValueError, match="`joint_loss 'branches' is for kind 'score'` must hold"):
        FusionSpec(kind="concat", joint_loss="branches")
    with pytest.raises(ValueError, match="`sketch >= 2` must hold, but got sketch=1"):
        FusionSpec(kind="cbp", sketch=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "cnn"}, "model 'cnn' needs `visual`, got None"),
        ({"name": "bert"}, "model 'bert' needs `textual`, got None"),
        (
            {"name": "cnn", "visual": "densenet121", "textual": "minilm"},
            "model 'cnn' has no `textual`, got 'minilm'",
        ),
        (
            {"name": "bert", "visual": "densenet121", "textual": "minilm"},
            "model 'bert' has no `visual`, got 'densenet121'",
        ),
        (
            {"name": "cnn", "visual": "densenet121", "units": UNITS},
            "model 'cnn' has no `units`",
        ),
        ({"name": "bert", "textual": "minilm", "units": UNITS}, "model 'bert' has no `units`"),
        (
            {"name": "me_cnn", "visual": "densenet121", "textual": "minilm"},
            "model 'me_cnn' needs `units`",
        ),
        (
            {"name": "me_cnn", "visual": "densenet121", "units": UNITS},
            "model 'me_cnn' needs `textual`",
        ),
        ({"name": "me_bert", "textual": "minilm", "units": UNITS}, "'me_bert' needs `visual`"),
        (
            {"name": "cnn", "visual": "resnet18"},
            "unknown visual backbone 'resnet18'; known: densenet121, densenet161",
        ),
        (
            {"name": "bert", "textual": "roberta"},
            "unknown textual backbone 'roberta'; known: bert-base-uncased, minilm",
        ),
    ],
)
def test_a_model_has_exactly_its_parts(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSpec(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "me_fusion", "units": None}, "model 'me_fusion' needs `units`"),
        ({"name": "me_fusion", "textual_units": None}, "'me_fusion' needs `textual_units`"),
        ({"name": "me_fusion", "fusion": None}, "model 'me_fusion' needs `fusion`"),
        ({"name": "fusion"}, "model 'fusion' has no `units`"),
        ({"name": "fusion", "units": None}, "model 'fusion' has no `textual_units`"),
        ({"name": "me_cnn"}, "model 'me_cnn' has no `textual_units`"),
        ({"name": "mmbt", "units": None, "textual_units": None}, "'mmbt' has no `fusion`"),
        (
            {"name": "vilt", "units": None, "textual_units": None, "fusion": None},
            "model 'vilt' has no `visual`",
        ),
    ],
)
def test_a_joint_model_has_exactly_its_parts(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(JOINT, **values)


def test_units_belong_to_the_backbone_that_is_trained() -> None:
    me_cnn = ModelSpec(name="me_cnn", visual="densenet121", textual="minilm", units=UNITS)
    for model, visual, textual in (
        (me_cnn, UNITS, None),
        (replace(me_cnn, name="me_bert"), None, UNITS),
        (JOINT, UNITS, OTHER_UNITS),
        (ModelSpec(name="cnn", visual="densenet121"), None, None),
    ):
        assert (model.units_of("visual"), model.units_of("textual")) == (visual, textual)


@pytest.mark.parametrize(
    ("name", "reads_images", "frozen"),
    [
        ("cnn", True, ()),
        ("bert", False, ()),
        ("me_cnn", True, ("words",)),
        ("me_bert", False, ("maps",)),
        ("me_fusion", True, ("words", "maps")),
        ("visualbert", False, ("maps",)),
        ("vilt", True, ()),
    ],
)
def test_what_a_model_reads(name: str, reads_images: bool, frozen: tuple[str, ...]) -> None:
    parts: dict[str, Any] = {"visual": "densenet121", "textual": "minilm"}
    if name == "cnn":
        del parts["textual"]
    if name in ("bert", "vilt"):
        del parts["visual"]
    units = UNITS if name.startswith("me_") else None
    both = name == "me_fusion"
    model = ModelSpec(
        name=name,  # type: ignore[arg-type]
        units=units,
        textual_units=units if both else None,
        fusion=FusionSpec(kind="gmu") if both else None,
        **parts,
    )
    assert (model.reads_images, model.frozen) == (reads_images, frozen)
