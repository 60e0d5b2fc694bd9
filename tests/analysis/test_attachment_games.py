from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from analysis.attachment_effects import EMPTY
from analysis.attachment_games import estimate, games
from analysis.inference.pairs import measured
from analysis.inference.resampling import answers
from mi2p.model_spec import LATE_FUSIONS
from mi2p.spec import ModelSpec, TrialSpec, UnitSpec
from tests.analysis.conftest import CNN, ME_BERT, ME_CNN, Lab

SETS = [(1,), (2,), (1, 2)]


def with_units(model: ModelSpec, attach: Sequence[int]) -> ModelSpec:
    assert model.units is not None
    return replace(model, units=replace(model.units, attach=tuple(attach)))


@pytest.fixture
def models(lab: Lab) -> list[tuple[str, TrialSpec]]:
    """A CNN without units and with units at 1, at 2 and at both; a transformer with units."""
    found = [("cnn", lab.spec(CNN, 0))]
    found += [
        (f"me_cnn-{n}", lab.spec(with_units(ME_CNN, attach), 0)) for n, attach in enumerate(SETS)
    ]
    return [*found, ("me_bert", lab.spec(ME_BERT, 0))]


VALUES = {"cnn": 0.5, "me_cnn-0": 0.6, "me_cnn-1": 0.55, "me_cnn-2": 0.7, "me_bert": 0.9}


def test_models_that_differ_in_layers_alone_are_a_game(
    models: list[tuple[str, TrialSpec]],
) -> None:
    (game,) = games(models, VALUES, plain=True)
    assert (game.modality, game.players, game.effects.kind) == ("visual", ((1,), (2,)), "exact")
    first, second = frozenset([0]), frozenset([1])
    assert game.keys == {
        EMPTY: "cnn", first: "me_cnn-0", second: "me_cnn-1", first | second: "me_cnn-2"
    }  # fmt: skip
    assert game.values[first] == 0.6
    assert game.missing == ()
    # (0.6 - 0.5 + 0.7 - 0.55) / 2
    told = estimate(game, game.effects.shapley[0], None)
    assert told.mean == pytest.approx(0.125)
    assert told.half_width is None


def test_what_is_not_finished_is_missing_but_stays_a_player(
    models: list[tuple[str, TrialSpec]],
) -> None:
    values = {key: value for key, value in VALUES.items() if key != "me_cnn-1"}
    (game,) = games(models, values, plain=True)
    assert game.players == ((1,), (2,))
    assert game.missing == ("me_cnn-1",)
    assert (game.effects.kind, list(game.effects.alone)) == ("alone", [0])
    assert game.effects.whole is not None and game.effects.interaction is None
    assert games(models, {"cnn": 0.5}, plain=True) == []


@pytest.mark.parametrize("changed", ["train", "data", "dropout", "none"])
def test_only_what_is_trained_alike_is_the_model_without_units(
    changed: str, models: list[tuple[str, TrialSpec]]
) -> None:
    plain = models[0][1]
    other = {
        "train": lambda: replace(plain, train=replace(plain.train, lr=3e-3)),
        "data": lambda: replace(plain, data=replace(plain.data, limit=9)),
        "dropout": lambda: replace(plain, model=replace(plain.model, head_dropout=0.5)),
        "none": lambda: replace(plain, seed=5),
    }[changed]()
    found = games([("cnn", other), *models[1:]], VALUES, plain=True)
    assert len(found) == (changed == "none")
    assert games(models, VALUES, plain=False) == []


def test_units_that_differ_otherwise_are_another_game(
    models: list[tuple[str, TrialSpec]],
) -> None:
    key, spec = models[1]
    assert spec.model.units is not None
    gated = replace(spec.model, units=replace(spec.model.units, init="gate"))
    given = [models[0], (key, replace(spec, model=gated)), *models[2:]]
    (game,) = games(given, VALUES, plain=True)
    assert sorted(game.keys.values()) == ["cnn", "me_cnn-1", "me_cnn-2"]


def test_of_two_backbones_with_units_one_varies_at_a_time(lab: Lab) -> None:
    both = replace(
        ME_CNN,
        name="me_fusion",
        textual_units=UnitSpec(attach=(1,)),
        fusion=LATE_FUSIONS["concat"],
    )
    sets = [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3)]
    models = [(str(n), lab.spec(with_units(both, attach), 0)) for n, attach in enumerate(sets)]
    values = {str(n): 0.5 + 0.1 * (1 in attach) for n, attach in enumerate(sets)}
    (game,) = games(models, values, plain=True)
    # Without the model without units, what an additive model can tell.
    assert (game.modality, game.effects.kind, game.effects.shapley) == ("visual", "fitted", {})
    assert estimate(game, game.effects.main[0], None).mean == pytest.approx(0.1)


def test_the_interval_of_a_gain_is_that_of_the_test_of_differences(
    models: list[tuple[str, TrialSpec]],
) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    methods = {
        key: answers(
            (0, 1, 2),
            [generator.random((60, 3)) for _ in range(3)],
            labels,
            multilabel=False,
        )
        for key in VALUES
    }
    of = measured(methods, ["accuracy"])["accuracy"]
    values = {key: of.mean(key) for key in VALUES}
    (game,) = games(models, values, plain=True)
    told = estimate(game, game.effects.alone[0], of)
    literal = of.difference("me_cnn-0", "cnn")
    assert literal is not None
    assert told.mean == pytest.approx(literal.mean)
    assert told.half_width == pytest.approx(literal.half_width)
    # Weights of a half: the variance of seeds is a quarter of each, that of examples of the sum.
    main = estimate(game, game.effects.main[0], of)
    assert main.half_width is not None and told.half_width is not None
    assert main.half_width < told.half_width
    without = {key: method for key, method in methods.items() if key != "me_cnn-0"}
    known = measured(without, ["accuracy"])["accuracy"]
    assert estimate(game, game.effects.alone[0], known).half_width is None
