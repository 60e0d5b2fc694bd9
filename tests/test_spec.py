"""Specs as values: identity, round trip, and every rule that makes one illegal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mi2p.model_spec import FUSION_TAKERS
from mi2p.spec import (
    OPTION_TAKERS,
    DataSpec,
    FusionSpec,
    ModelSpec,
    TrainSpec,
    TrialSpec,
    UnitSpec,
)

CNN = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="densenet121"),
    train=TrainSpec(lr=1e-4, epochs=3),
)
ME_CNN = TrialSpec(
    data=DataSpec(image_size=256, max_tokens=32),
    model=ModelSpec(
        name="me_cnn",
        visual="densenet121",
        textual="bert-base-uncased",
        units=UnitSpec(attach=(1, 2, 3, 4)),
    ),
    train=TrainSpec(lr=2.5e-5, epochs=20),
    seed=1,
)
ME_BERT = TrialSpec(
    data=DataSpec(name="openclipart-tags", limit=48),
    model=ModelSpec(
        name="me_bert",
        visual="efficientnet_lite0",
        textual="minilm",
        units=UnitSpec(attach=(1, 2, 3, 4, 5, 6), heads=12, init="zero_value", lr_multiplier=5),
    ),
    train=TrainSpec(lr=1e-4, batch_size=32, epochs=3, head_lr_multiplier=10),
    seed=2,
    stage="search",
)
ALL = {"cnn": CNN, "me_cnn": ME_CNN, "me_bert": ME_BERT}

# Changing one of these orphans every stored trial: it must be a reviewed decision.
PINNED = {"cnn": "fd11517eef7a", "me_cnn": "7091ab280ee1", "me_bert": "6939ef7461f9"}

# A spec in which each field can be changed alone, and what it is changed to.
BASE = TrialSpec(
    data=DataSpec(image_size=256),
    model=ModelSpec(
        name="me_cnn",
        visual="densenet121",
        textual="minilm",
        units=UnitSpec(attach=(1, 2), heads=4),
    ),
    train=TrainSpec(lr=1e-4, epochs=3),
)
JOINT = replace(
    BASE,
    model=replace(
        BASE.model,
        name="me_fusion",
        textual_units=UnitSpec(attach=(1, 2), heads=4),
        fusion=FusionSpec(kind="concat"),
    ),
)
"""Where both backbones are trained."""
OF_JOINT = ("model.textual_units.", "model.fusion.", "train.visual_lr_multiplier", "averages")
OTHER: Mapping[str, Any] = {
    "data.name": "openclipart-tags",
    "data.image_size": 128,
    "data.max_tokens": 17,
    "data.limit": 1,
    "data.view": "crop",
    "data.augment": "crop_flip",
    "data.clean": "abavisani",
    "data.fix_mojibake": True,
    "data.text_field": "plot_first",
    "data.splits": "mine",
    "data.on_bad_image": "skip",
    "data.features": "float16",
    "model.name": "me_bert",
    "model.visual": "densenet169",
    "model.textual": "bert-base-uncased",
    "model.units.attach": (1, 3),
    "model.units.heads": 8,
    "model.units.head_mode": "project",
    "model.units.d_k": 32,
    "model.units.query_kernel": 5,
    "model.units.query_sharing": "per_channel",
    "model.units.query_bias": False,
    "model.units.init": "gate",
    "model.units.out_projection": True,
    "model.units.lr_multiplier": 2.0,
    "model.head_dropout": 0.2,
    "model.textual_units.attach": (1, 3),
    "model.textual_units.heads": 6,
    "model.textual_units.head_mode": "project",
    "model.textual_units.d_k": 32,
    "model.textual_units.query_kernel": 5,
    "model.textual_units.query_sharing": "per_channel",
    "model.textual_units.query_bias": False,
    "model.textual_units.init": "gate",
    "model.textual_units.out_projection": True,
    "model.textual_units.lr_multiplier": 2.0,
    "model.fusion.kind": "gmu",
    "model.fusion.joint_loss": "fused+branches",
    "model.fusion.score_space": "logits",
    "model.fusion.gates": "own",
    "model.fusion.sketch": 4096,
    "model.fusion.gate_at": "visual",
    "train.lr": 2e-4,
    "train.batch_size": 64,
    "train.epochs": 4,
    "train.head_lr_multiplier": 3.0,
    "train.weight_decay": 0.01,
    "train.visual_lr_multiplier": 3.0,
    "train.micro_batch": 32,
    "seed": 1,
    "stage": "search",
    "averages": ("fd11517eef7a", "7091ab280ee1"),
}


def leaves(value: Any, prefix: str = "") -> Iterator[str]:
    """Paths of all fields that hold no further fields."""
    for item in dataclasses.fields(value):
        inner, path = getattr(value, item.name), prefix + item.name
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner, f"{path}.")
        else:
            yield path


def changed(value: Any, path: str, new: Any) -> Any:
    name, _, rest = path.partition(".")
    return replace(value, **{name: changed(getattr(value, name), rest, new) if rest else new})


@pytest.mark.parametrize("name", ALL)
def test_round_trip_through_json(name: str) -> None:
    plain = json.loads(json.dumps(ALL[name].to_dict()))
    assert TrialSpec.from_dict(plain) == ALL[name]
    assert TrialSpec.from_dict(plain).trial_id == ALL[name].trial_id


@pytest.mark.parametrize("name", ALL)
def test_ids_of_fixed_specs_never_change(name: str) -> None:
    assert ALL[name].trial_id == PINNED[name]


def test_every_field_has_an_alternative() -> None:
    # A field that is added must be added to OTHER, or nobody checks that it moves the id.
    absent = {"model.textual_units", "model.fusion"}  # parts that BASE has not
    assert {*leaves(BASE), *leaves(JOINT)} - absent == set(OTHER)


def base_for(path: str) -> TrialSpec:
    """A spec whose data set or fusion takes the option at `path`."""
    takers = OPTION_TAKERS.get(path.removeprefix("data."))
    if takers:
        return replace(BASE, data=replace(BASE.data, name=takers[0]))
    if not path.startswith(OF_JOINT):
        return BASE
    kinds = FUSION_TAKERS.get(path.removeprefix("model.fusion."))
    kind = "score" if path == "averages" else kinds[-1] if kinds else "concat"
    assert JOINT.model.fusion is not None
    fusion = replace(JOINT.model.fusion, kind=kind)  # type: ignore[arg-type]
    return replace(JOINT, model=replace(JOINT.model, fusion=fusion))


@pytest.mark.parametrize("path", sorted(OTHER))
def test_changing_any_field_changes_the_id(path: str) -> None:
    base = base_for(path)
    other = changed(base, path, OTHER[path])
    assert other != base
    assert other.trial_id != base.trial_id


def test_ids_differ_pairwise() -> None:
    ids = [changed(base_for(path), path, new).trial_id for path, new in OTHER.items()]
    assert len({*ids, BASE.trial_id}) == len(ids) + 1


@pytest.mark.parametrize("path", [f"data.{option}" for option in OPTION_TAKERS])
def test_an_option_of_another_data_set_is_refused(path: str) -> None:
    option = path.removeprefix("data.")
    with pytest.raises(ValueError, match=f"`{option}` is an option of .* is 'openclipart'"):
        changed(BASE, path, OTHER[path])


@dataclass(frozen=True, kw_only=True, slots=True)
class LaterTrainSpec(TrainSpec):
    """Two fields were added after the release; the default of one then moved off `absent`."""

    warmup: int = field(default=0, metadata={"absent": 0})
    clip: float = field(default=1.0, metadata={"absent": 0.0})


def later(**values: Any) -> str:
    train = LaterTrainSpec(lr=BASE.train.lr, epochs=BASE.train.epochs, **values)
    return replace(BASE, train=train).trial_id


def test_a_field_added_later_keeps_old_ids_while_absent() -> None:
    assert later(clip=0.0) == BASE.trial_id
    assert later(clip=0) == BASE.trial_id  # an int is the same value
    assert later(clip=0.0, warmup=1) != BASE.trial_id
    # The default is not the absent value: it is another experiment and has another id.
    assert later() == later(clip=1.0) != BASE.trial_id


def test_an_int_for_a_float_is_the_same_spec() -> None:
    one, other = (replace(BASE, train=TrainSpec(lr=lr, epochs=3)) for lr in (1, 1.0))
    assert type(one.train.lr) is float
    assert one.trial_id == other.trial_id


def test_a_list_for_a_tuple_is_the_same_spec() -> None:
    units: dict[str, Any] = {"attach": [1, 2], "heads": 4}
    other = changed(BASE, "model.units", UnitSpec(**units))
    assert other == BASE
    assert other.trial_id == BASE.trial_id


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("learning_rate", "data, model, train, seed, stage, averages"),
        ("train.learning_rate", "lr, batch_size, epochs, head_lr_multiplier, weight_decay"),
        ("model.units.blocks", "attach, heads, head_mode, d_k"),
    ],
)
def test_an_unknown_field_lists_the_known_ones(path: str, known: str) -> None:
    plain = BASE.to_dict()
    *parents, name = path.split(".")
    inner = plain
    for parent in parents:
        inner = inner[parent]
    inner[name] = 1
    with pytest.raises(ValueError, match=f"unknown field '{name}' in .*; known: {known}"):
        TrialSpec.from_dict(plain)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("seed", "0"),
        ("seed", 0.0),
        ("seed", True),  # an int to Python, a slip to us
        ("seed", None),
        ("train.lr", "1e-4"),
        ("train.lr", True),
        ("train.epochs", 3.0),
        ("data.name", 3),
        ("data", {"name": "openclipart"}),  # plain data goes through from_dict
        ("model.units.query_bias", 1),
        ("model.units.attach", 1),
        ("model.units.attach", ("1",)),
        ("model.units.attach", (1.0,)),
        ("model.units", "all"),
        ("model.visual", 121),
    ],
)
def test_a_wrong_type_names_the_field(path: str, wrong: object) -> None:
    field_name = path.rpartition(".")[2]
    with pytest.raises(TypeError, match=rf"Spec\.{field_name} must be .*, but got"):
        changed(BASE, path, wrong)


def test_a_wrong_choice_lists_the_legal_ones() -> None:
    with pytest.raises(ValueError, match="must be one of search, confirm, but got 'final'"):
        replace(BASE, stage="final")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "wrong", "rule"),
    [
        ("data.image_size", 0, "image_size is a positive multiple of 32"),
        ("data.image_size", -32, "image_size is a positive multiple of 32"),
        ("data.image_size", 100, "image_size is a positive multiple of 32"),
        ("data.max_tokens", 2, "max_tokens >= 3"),
        ("data.max_tokens", 513, "max_tokens <= 512 for minilm"),
        ("data.limit", -1, "limit >= 0"),
        ("seed", -1, "seed >= 0"),
        ("model.units.attach", (4, 5), "attach <= 4 for densenet121"),
        ("train.lr", 0.0, "lr > 0"),
        ("train.lr", float("nan"), "lr > 0"),
        ("train.lr", float("inf"), "lr > 0"),
        ("train.batch_size", 2, "batch_size >= 3"),
        ("train.epochs", 0, "epochs >= 1"),
        ("train.head_lr_multiplier", 0.0, "head_lr_multiplier > 0"),
        ("train.weight_decay", -0.1, "weight_decay >= 0"),
    ],
)
def test_an_illegal_value_states_the_rule(path: str, wrong: object, rule: str) -> None:
    with pytest.raises(ValueError, match=f"`{rule}.*` must hold, but got"):
        changed(BASE, path, wrong)


@pytest.mark.parametrize(
    ("path", "edge"),
    [
        ("data.image_size", 32),
        ("data.max_tokens", 3),
        ("data.max_tokens", 512),
        ("model.units.attach", (4,)),
        ("train.batch_size", 3),
        ("train.epochs", 1),
    ],
)
def test_values_at_the_edge_are_legal(path: str, edge: object) -> None:
    spec = changed(BASE, "model.units.heads", 1)  # legal at every size
    assert changed(spec, path, edge) != spec


@pytest.mark.parametrize(
    ("base", "path", "wrong", "rule"),
    [
        (JOINT, "train.visual_lr_multiplier", 0.0, "visual_lr_multiplier > 0"),
        (BASE, "train.visual_lr_multiplier", 2.0, "== 1 where not both backbones are trained"),
        (BASE, "train.micro_batch", 3, "micro_batch is 0, or from 4 to less than batch_size"),
        (BASE, "train.micro_batch", 128, "micro_batch is 0, or from 4 to less than batch_size"),
        (JOINT, "averages", ("a", "b"), "averages are two trials, and the fusion is of scores"),
        (BASE, "averages", ("a", "b"), "averages are two trials, and the fusion is of scores"),
        (JOINT, "model.textual_units.attach", (7,), "attach <= 6 for minilm"),
        (JOINT, "model.units.attach", (5,), "attach <= 4 for densenet121"),
    ],
)
def test_rules_of_joint_training(base: TrialSpec, path: str, wrong: object, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        changed(base, path, wrong)


def test_an_average_is_what_it_averages() -> None:
    spec = changed(base_for("averages"), "averages", OTHER["averages"])
    assert changed(spec, "train.lr", 1.0).trial_id == spec.trial_id  # nothing is trained
    assert changed(spec, "averages", ("a", "b")).trial_id != spec.trial_id
    with pytest.raises(ValueError, match="averages are two trials"):
        changed(spec, "averages", ("a", "a"))


def test_averages_are_of_probabilities() -> None:
    spec = changed(base_for("averages"), "averages", OTHER["averages"])
    with pytest.raises(ValueError, match="score_space == 'probabilities' of averages"):
        changed(spec, "model.fusion.score_space", "logits")


def test_one_way_to_write_where_splits_are() -> None:
    data = [DataSpec(name="food101", splits=path) for path in ("a/b", "./a/b", "a/b/", "a//b")]
    assert {spec.splits for spec in data} == {"a/b"}
    assert DataSpec(name="food101").splits == ""


def test_the_view_of_images_is_not_read_where_there_is_no_image() -> None:
    models = {
        "cnn": CNN.model,
        "bert": ModelSpec(name="bert", textual="minilm"),
        "vilt": ModelSpec(name="vilt", textual="minilm"),
        "mmbt": ModelSpec(name="mmbt", visual="densenet121", textual="minilm"),
        "visualbert": ModelSpec(name="visualbert", visual="densenet121", textual="minilm"),
        "me_bert": replace(ME_CNN.model, name="me_bert"),
        "me_cnn": ME_CNN.model,
        "me_fusion": JOINT.model,
    }
    found = {name: set(replace(ME_CNN, model=model).unread()) for name, model in models.items()}
    of_frozen = {"visualbert", "me_bert", "me_cnn", "me_fusion"}
    assert {name for name, unread in found.items() if "features" not in unread} == of_frozen
    assert {name for name, unread in found.items() if {"view", "augment"} & unread} == {"bert"}


@pytest.mark.parametrize(
    ("name", "unread"),
    [
        ("cnn", {"features": "float16"}),
        ("bert", {"features": "float16", "view": "crop", "augment": "crop_flip"}),
    ],
)
def test_what_a_unimodal_model_does_not_read_makes_no_other_trial(
    name: str, unread: dict[str, Any]
) -> None:
    bert = replace(CNN, model=ModelSpec(name="bert", textual="minilm"))
    spec, expanded = CNN if name == "cnn" else bert, ME_CNN
    for field_name, value in unread.items():
        change = {field_name: value}
        assert replace(spec, data=replace(spec.data, **change)).trial_id == spec.trial_id
        other = replace(expanded, data=replace(expanded.data, **change))
        assert other.trial_id != expanded.trial_id
    crop = replace(CNN, data=replace(CNN.data, view="crop"))
    assert crop.trial_id != CNN.trial_id
