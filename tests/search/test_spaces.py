"""Spaces of rows: whatever is drawn is legal, builds, and is found again by its parameters."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import optuna
import pytest

from mi2p.data.protocols import protocol
from mi2p.methods import Backbones
from mi2p.model_spec import FusionSpec
from mi2p.models.blueprint import Untrained
from mi2p.models.describing import architecture
from mi2p.options import data_spec
from mi2p.paths import replaced, value_at
from mi2p.plan import PlanRow
from mi2p.search.domains import Choice, Domain, Heads, Layers, Rate
from mi2p.search.spaces import Space, space_of
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.table_rows import make_row
from sweeps import ablation_backbones, ablation_layers, compare_crisismmd
from tests.tiny_models import spec_of


class Draw:
    """Asked as a trial of Optuna's is."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.random.uniform(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)


def trials(number: int) -> Iterator[optuna.Trial]:
    """Of one study, which refuses a parameter that changes what it may be."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return (study.ask() for _ in range(number))


def packaged_rows() -> Iterator[tuple[str, TrialSpec]]:
    """The rows of Tables 3, 5 and 6 on OpenClipart that are trained, each once."""
    plans = (
        compare_crisismmd.plan(compare_crisismmd.Options(dataset="openclipart")),
        ablation_layers.plan(ablation_layers.Options()),
        ablation_backbones.plan(ablation_backbones.Options()),
    )
    rows = {row.specs[0]: f"{plan.table}-{row.key}" for plan in plans for row in plan.rows}
    return ((name, spec) for spec, name in rows.items() if not spec.averages)


def densenet(*, image_size: int, **units: Any) -> TrialSpec:
    """ME-DenseNet-121."""
    model = ModelSpec(
        name="me_cnn", visual="densenet121", textual="minilm", units=UnitSpec(**units)
    )
    return TrialSpec(
        data=DataSpec(image_size=image_size), model=model, train=TrainSpec(lr=1e-4, epochs=3)
    )


def fusion_at_224() -> TrialSpec:
    base = compare_crisismmd.plan(compare_crisismmd.Options(dataset="crisismmd_task2")).rows[-1]
    return replaced(base.specs[0], {"data.image_size": 224, "model.units.heads": 7})


ROWS = {
    **dict(packaged_rows()),
    "224-me_cnn": densenet(image_size=224, attach=(1, 2, 3, 4), heads=7),
    "224-me_cnn-1-2": densenet(image_size=224, attach=(1, 2)),
    "224-me_cross_attention": fusion_at_224(),
}


def test_the_rows_are_those_of_the_tables() -> None:
    # 17 of 18 methods are trained; a layer's row is another one only where units are; 8 more.
    assert len(ROWS) == 3 + 17 + 7 + 8


@pytest.mark.parametrize("samples", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ROWS)
def test_what_optuna_draws_is_legal_and_is_found_again(name: str, samples: int) -> None:
    base, seen = ROWS[name], set()
    space = space_of(base)
    for trial in trials(samples):
        spec = space.sample(trial)  # an illegal one raises
        # By another way than the space: a spec from plain data is checked anew.
        assert TrialSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
        assert space.params_of(spec) == trial.params
        assert space.spec_of(trial.params) == spec
        assert (spec.data, spec.seed, spec.stage) == (base.data, base.seed, base.stage)
        assert spec.train.epochs == base.train.epochs
        seen.add(spec)
    assert len(seen) == samples  # learning rates never repeat
    for path in space.paths:
        assert len({value_at(spec, path) for spec in seen}) > 1, path


@pytest.mark.parametrize("name", ROWS)
def test_the_row_itself_is_in_its_space(name: str) -> None:
    space = space_of(ROWS[name])
    trial = optuna.trial.FixedTrial(space.first())
    assert space.sample(trial) == ROWS[name] == space.spec_of(space.first())


UNIT = ("attach", "heads", "d_k", "query_kernel", "init", "lr_multiplier")
TRAIN = ("train.lr", "train.head_lr_multiplier", "train.batch_size", "train.weight_decay")
JOINT = (TRAIN[0], "train.visual_lr_multiplier", *TRAIN[1:])


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        ("cnn", TRAIN),
        ("vilt", TRAIN),
        ("mmbt", JOINT),
        ("fusion-gmu", (*JOINT, "model.fusion.kind")),
        ("me_bert", (*TRAIN, *(f"model.units.{name}" for name in UNIT))),
        (
            "me_fusion-concat",
            (
                *JOINT,
                *(f"model.{part}.{name}" for part in ("units", "textual_units") for name in UNIT),
                "model.fusion.kind",
            ),
        ),
    ],
)
def test_what_is_searched_is_what_the_model_has(name: str, searched: tuple[str, ...]) -> None:
    assert space_of(spec_of(name)).paths == searched


def domain(space: Space, path: str) -> Domain:
    return next(domain for domain in space.domains if domain.path == path)


def test_domains_are_around_the_base_and_contain_it() -> None:
    odd = {"train.batch_size": 20, "train.weight_decay": 0.5, "model.units.d_k": 24}
    space = space_of(replaced(spec_of("me_cnn"), {**odd, "model.units.lr_multiplier": 10.0}))
    assert domain(space, "train.batch_size") == Choice(
        path="train.batch_size", values=(10, 20, 40)
    )
    assert domain(space, "train.weight_decay") == Choice(
        path="train.weight_decay", values=(0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.5)
    )
    assert domain(space, "model.units.d_k") == Choice(
        path="model.units.d_k", values=(16, 32, 64, 128, 24)
    )
    assert domain(space, "model.units.lr_multiplier") == Rate(
        path="model.units.lr_multiplier", low=1.0, high=100.0
    )
    assert domain(space, "model.units.attach") == Layers(
        path="model.units.attach", of=(1, 2, 3, 4)
    )


@pytest.mark.parametrize(
    ("batch", "micro", "largest", "sizes"),
    [
        (32, 0, None, (16, 32, 64)),
        (32, 0, 63, (16, 32)),
        (32, 0, 8, (32,)),  # what does not fit is not widened, but is refused elsewhere
        (32, 16, None, (32, 64)),
        (32, 31, None, (32, 64)),
        (7, 0, None, (7, 14)),
        (8, 0, None, (4, 8, 16)),
        (3, 0, 0, (3,)),
    ],
)
def test_batches_are_legal_and_fit(
    batch: int, micro: int, largest: int | None, sizes: tuple[int, ...]
) -> None:
    train = TrainSpec(lr=1e-3, epochs=1, batch_size=batch, micro_batch=micro)
    space = space_of(replace(spec_of("cnn"), train=train), largest_batch=largest)
    if len(sizes) == 1:
        assert "train.batch_size" not in space.paths
    else:
        assert domain(space, "train.batch_size") == Choice(path="train.batch_size", values=sizes)


def test_a_fusion_is_one_of_the_papers_or_the_rows_own() -> None:
    score = FusionSpec(kind="score", joint_loss="fused+branches")
    concat, cross = FusionSpec(kind="concat"), FusionSpec(kind="cross_attention")

    def kinds(fusion: FusionSpec) -> tuple[Any, ...]:
        base = spec_of("fusion-concat")
        base = replace(base, model=replace(base.model, fusion=fusion))
        found = domain(space_of(base), "model.fusion.kind")
        assert isinstance(found, Choice)
        return found.values

    assert kinds(concat) == (concat, cross, score)
    gmu = FusionSpec(kind="gmu")
    assert kinds(gmu) == (concat, cross, score, gmu)
    # A row of a kind with other options keeps them.
    own = replace(cross, gates="own")
    assert kinds(own) == (concat, own, score)


def test_fixed_paths_keep_their_values() -> None:
    base = spec_of("me_fusion-concat")
    fixed = ("model.units.attach", "train.lr", "model.fusion.kind", "model.textual_units.d_k")
    space = space_of(base, fixed=fixed)
    assert set(space.paths) == set(space_of(base).paths) - set(fixed)
    drawn = [space.sample(Draw(seed)) for seed in range(20)]
    for path in fixed:
        assert {value_at(spec, path) for spec in drawn} == {value_at(base, path)}
    # A fusion is one choice: an option of it cannot stay while its kind changes.
    assert "model.fusion.kind" not in space_of(base, fixed=("model.fusion.joint_loss",)).paths


def test_a_fixed_path_that_the_row_has_not_is_ignored_and_an_unknown_one_refused() -> None:
    cnn = spec_of("cnn")
    assert space_of(cnn, fixed=("model.units.attach", "data.limit")) == space_of(cnn)
    with pytest.raises(ValueError, match=r"unknown path 'model\.units\.taps'"):
        space_of(cnn, fixed=("model.units.taps",))


def test_with_fixed_heads_only_taps_are_drawn_that_take_them() -> None:
    # 224 px: 56^2, 28^2, 14^2 and 7^2 cells; 8 divides the first two.
    base = densenet(image_size=224, attach=(1,))
    space = space_of(base, fixed=("model.units.heads",))
    assert domain(space, "model.units.attach") == Layers(path="model.units.attach", of=(1, 2))
    drawn = {space.sample(Draw(seed)).model.units for seed in range(50)}
    assert {units.attach for units in drawn if units} == {(1,), (2,), (1, 2)}
    # Of one tap there is nothing to choose.
    at_32 = densenet(image_size=32, attach=(1,), heads=64)
    assert "model.units.attach" not in space_of(at_32, fixed=("model.units.heads",)).paths
    assert domain(space_of(at_32), "model.units.heads") == Heads(path="model.units.heads", most=64)


def test_averages_and_spaces_of_nothing_are_refused() -> None:
    plan = compare_crisismmd.plan(compare_crisismmd.Options(dataset="openclipart"))
    average = next(row.specs[0] for row in plan.rows if row.specs[0].averages)
    with pytest.raises(ValueError, match="`a row is trained` must hold, but got averages"):
        space_of(average)
    with pytest.raises(ValueError, match="`a search varies something` must hold"):
        space_of(spec_of("cnn"), fixed=TRAIN)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((Rate(path="train.rate", low=1, high=2),), "unknown path 'train.rate'"),
        ((Rate(path="model.fusion.sketch", low=2, high=3),), "has no model.fusion"),
        ((Rate(path="train.lr", low=-1e-3, high=1),), "`lr > 0` must hold"),
        (
            (Rate(path="train.lr", low=0.1, high=1),),
            "train.lr must be from 0.1 to 1, but got 0.001",
        ),
        ((Choice(path="model.units.d_k", values=(8, "wide")),), "UnitSpec.d_k must be"),
        (
            (Choice(path="model.units.d_k", values=(16, 32)),),
            "d_k must be one of 16, 32, but got 8",
        ),
        ((Choice(path="model.units.query_kernel", values=(3, 4)),), "must be one of 1, 3, 5, 7"),
        ((Layers(path="model.units.attach", of=(1, 2, 3, 4, 5)),), "attach <= 4 for tiny_dense"),
        ((Layers(path="model.units.attach", of=(2, 1)),), "attach is increasing"),
        (
            (Heads(path="model.units.heads", most=2),),
            "heads in 1 2 must be one of 1, 2, but got 4",
        ),
        ((Rate(path="train.lr", low=1e-4, high=1),) * 2, "`a path is once` must hold"),
        (
            (Heads(path="model.units.heads"), Layers(path="model.units.attach", of=(1, 2, 3, 4))),
            "`heads come after the taps that they depend on` must hold",
        ),
    ],
)
def test_a_space_is_checked_when_it_is_made(wrong: tuple[Domain, ...], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Space(base=spec_of("me_cnn"), domains=wrong)


def test_taps_need_heads_that_fit_all_of_them() -> None:
    base = densenet(image_size=224, attach=(1,))
    taps = Layers(path="model.units.attach", of=(1, 2, 3))
    with pytest.raises(ValueError, match=r"8 does not divide 196 \(block 3 at 224 px\)"):
        Space(base=base, domains=(taps,))
    Space(base=base, domains=(taps, Heads(path="model.units.heads")))


def test_params_outside_the_space_are_refused() -> None:
    space = space_of(spec_of("me_cnn"))
    first = space.first()
    for change, message in (
        ({"train.lr": 1.0}, r"train\.lr must be from 0\.0001 to 0\.01, but got 1\.0"),
        ({"train.lr": True}, r"train\.lr must be from"),
        ({"train.batch_size": 100}, r"train\.batch_size must be one of 64, 128, 256, but got 100"),
        ({"model.units.attach.1": 1}, r"model\.units\.attach\.1 must be one of False, True"),
        ({"model.units.attach": 1}, r"model\.units\.attach is not asked for beside train\.lr, "),
    ):
        with pytest.raises(ValueError, match=message):
            space.spec_of({**first, **change})
    missing = {name: value for name, value in first.items() if name != "model.units.d_k"}
    with pytest.raises(ValueError, match=r"'model\.units\.d_k' must be given, but got train\.lr"):
        space.spec_of(missing)
    # Only the third block: 4^2 cells allow 16 heads, under another name than 2^2 cells.
    third = {**first, **{f"model.units.attach.{tap}": tap == 3 for tap in (1, 2, 3, 4)}}
    with pytest.raises(ValueError, match=r"'model\.units\.heads in 1 2 4 8 16' must be given"):
        space.spec_of(third)


def test_a_spec_outside_the_space_is_refused() -> None:
    base = spec_of("me_cnn")
    space = space_of(base)
    other_seed = replace(base, seed=1000, stage="search")
    assert space.params_of(other_seed) == space.first()
    for values, message in (
        ({"train.epochs": 9}, r"may differ from the row, but got train\.epochs=9$"),
        ({"train.lr": 1.0}, r"train\.lr must be from"),
        (
            {"model.units.d_k": 9},
            r"model\.units\.d_k must be one of 16, 32, 64, 128, 8, but got 9",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            space.params_of(replaced(base, values))
    with pytest.raises(ValueError, match=r"model 'cnn' has no model\.units"):
        space.params_of(spec_of("cnn"))
    with pytest.raises(ValueError, match=r"from the row, but got model\.fusion\.gates='own'$"):
        fusions = space_of(spec_of("fusion-concat"))
        own = {"model.fusion.kind": "cross_attention", "model.fusion.gates": "own"}
        fusions.params_of(replaced(fusions.base, own))


def test_spaces_are_plain_data_and_do_not_know_seeds() -> None:
    space = space_of(spec_of("me_fusion-score"))
    plain = space.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert [entry["path"] for entry in plain["domains"]] == list(space.paths)
    other = replace(space, base=replace(space.base, seed=7, stage="search"))
    assert other.to_dict() == plain
    assert space_of(spec_of("me_fusion-score"), fixed=("train.lr",)).to_dict() != plain
    assert space_of(replaced(space.base, {"train.epochs": 2})).to_dict() != plain


def build(spec: TrialSpec, num_classes: int = 3) -> None:
    """On the meta device, with the frozen encoders."""
    architecture(
        Untrained(spec=spec, num_classes=num_classes, multilabel=False, stored=frozenset())
    )


TINY = [
    "me_cnn",
    "me_bert",
    "me_cnn/resnet-xlnet",
    "me_bert/clip",
    "me_fusion-score",
    "me_fusion-gmu",
]


@pytest.mark.parametrize("name", TINY)
def test_what_is_drawn_builds(name: str) -> None:
    space, draw = space_of(spec_of(name)), Draw()
    for _ in range(10):
        build(space.sample(draw))


def papers_cell(image_size: int | None) -> PlanRow:
    """Table 5's DenseNet-121 with 8 heads on its four blocks, which look at BERT's words."""
    options = ablation_layers.Options(dataset="crisismmd_task1", image_size=image_size)
    of = Backbones(dataset="crisismmd_task1", visual="densenet121", textual="bert-base-uncased")
    cells = [model for *_, model in ablation_layers.models(of) if model.name == "me_cnn"]
    assert cells[-1].units and (cells[-1].units.attach, cells[-1].units.heads) == ((1, 2, 3, 4), 8)
    return make_row(options, data_spec(options), cells[-1], key="me_cnn-1-4", label="")


MESSAGE = (
    "heads must divide h*w at every attached block: 8 does not divide 49 (block 4 at 224 px); "
    "legal at 224 px: 1, 7; 8 is legal at 256 px"
)


def test_the_papers_own_cell_is_refused_at_224_pixels() -> None:
    with pytest.raises(ValueError) as refused:
        papers_cell(224)
    assert str(refused.value) == MESSAGE
    # Table 3 has it as its first row with units. Table 5 has one on the third block alone before.
    with pytest.raises(ValueError) as refused:
        compare_crisismmd.plan(
            compare_crisismmd.Options(dataset="crisismmd_task1", image_size=224)
        )
    assert str(refused.value) == MESSAGE
    with pytest.raises(
        ValueError, match=r"8 does not divide 196 \(block 3 at 224 px\); .* 256 px"
    ):
        ablation_layers.plan(ablation_layers.Options(dataset="crisismmd_task1", image_size=224))


def test_the_papers_own_cell_is_planned_and_builds_at_256_pixels() -> None:
    plan = ablation_layers.plan(ablation_layers.Options(dataset="crisismmd_task1"))
    rows = {row.key: row.specs[0] for row in plan.rows}
    spec = rows["me_cnn-1-4"]
    assert spec == papers_cell(None).specs[0] and spec.data.image_size == 256
    build(spec, protocol("crisismmd_task1").num_classes)
