"""Importances of planted studies, against Optuna's own and against what was planted."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from analysis.evaluators import EVALUATORS, LEAST, importances, num_best

Direction = Literal["maximize", "minimize"]
SWITCH = CategoricalDistribution((False, True))
RATE = FloatDistribution(1e-5, 1e-3, log=True)


def make(
    directions: Sequence[Direction] = ("maximize",), names: Sequence[str] = ("val/accuracy",)
) -> Study:
    study = optuna.create_study(directions=list(directions), study_name="planted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.set_metric_names(list(names))
    return study


def add(
    study: Study,
    drawn: Mapping[str, tuple[Any, BaseDistribution]],
    *values: float,
    state: TrialState = TrialState.COMPLETE,
    trial_id: str | None = None,
) -> None:
    study.add_trial(
        create_trial(
            state=state,
            values=list(values) or None,
            params={name: value for name, (value, _) in drawn.items()},
            distributions={name: of for name, (_, of) in drawn.items()},
            user_attrs={"trial_id": trial_id or f"trial{len(study.trials)}"},
        )
    )


def planted(count: int = 100) -> Study:
    """`train.lr` decides, `train.batch_size` says a little, the others nothing."""
    study, rng = make(), np.random.default_rng(0)
    for _ in range(count):
        lr, batch = 10 ** rng.uniform(-5, -3), int(rng.choice([16, 32, 64]))
        add(
            study,
            {
                "train.lr": (lr, RATE),
                "train.batch_size": (batch, CategoricalDistribution((16, 32, 64))),
                "model.units.attach.1": (bool(rng.integers(2)), SWITCH),
                "train.noise": (rng.uniform(), FloatDistribution(0, 1)),
            },
            0.8 - 0.1 * (math.log10(lr) + 4) ** 2 + 0.02 * (batch == 32),
        )
    return study


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_what_decides_is_first(evaluator: str) -> None:
    found = importances(planted(), evaluator)
    shares = found.shares["val/accuracy"]
    assert next(iter(shares)) == "train.lr"
    assert shares["train.lr"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares == importances(planted(), evaluator).shares["val/accuracy"]
    assert (found.study, found.evaluator, found.used, found.left_out) == (
        "planted", evaluator, 100, {}
    )  # fmt: skip


def test_ped_anova_of_many_trials_is_optunas_own() -> None:
    # Its default compares the best tenth, which is more than five of 100.
    study = planted()
    shares = importances(study).shares["val/accuracy"]
    assert shares == pytest.approx(get_param_importances(study))


@pytest.mark.parametrize(("used", "best"), [(10, 5), (20, 5), (50, 5), (51, 6), (100, 10)])
def test_ped_anova_compares_at_least_five(used: int, best: int) -> None:
    assert num_best(used) == best
    study = planted(used)
    shares = importances(study).shares["val/accuracy"]

    def of_best(number: int) -> dict[str, float]:
        quantile = number / used - 1e-9  # Optuna rounds up
        evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
        return get_param_importances(study, evaluator=evaluator)

    assert shares == pytest.approx(of_best(best))
    assert shares != pytest.approx(of_best(best - 1))
    assert shares != pytest.approx(of_best(best + 1))


@pytest.mark.parametrize(("direction", "first"), [("maximize", "of_high"), ("minimize", "of_low")])
def test_the_best_are_those_of_the_direction(direction: Direction, first: str) -> None:
    study = make([direction])
    for rank in range(20):
        switches = {"of_low": (rank < 5, SWITCH), "of_high": (rank >= 15, SWITCH)}
        add(study, switches, rank / 20)
    shares = importances(study).shares["val/accuracy"]
    assert next(iter(shares)) == first
    assert shares[first] > 0.8


def test_each_objective_has_its_own() -> None:
    study = make(["maximize", "minimize"], ["val/accuracy", "added_parameters"])
    for a, b in itertools.product(range(5), repeat=2):
        axis = CategoricalDistribution(tuple(range(5)))
        add(study, {"a": (a, axis), "b": (b, axis)}, 0.1 * a, 1000.0 * b)
    for evaluator in EVALUATORS:
        shares = importances(study, evaluator).shares
        assert list(shares) == ["val/accuracy", "added_parameters"]
        assert shares["val/accuracy"]["a"] > 0.9, evaluator
        assert shares["added_parameters"]["b"] > 0.9, evaluator


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_rate_is_seen_by_its_logarithm(evaluator: str) -> None:
    # Both add as much over their ranges, as they are drawn: neither is more important.
    study = make()
    for one, other in itertools.product(np.linspace(0, 1, 15), repeat=2):
        drawn = {"rate": (10 ** (2 * one - 5), RATE), "even": (other, FloatDistribution(0, 1))}
        add(study, drawn, float(one + other))
    shares = importances(study, evaluator).shares["val/accuracy"]
    assert shares["rate"] == pytest.approx(0.5, abs=0.05)


def heads(study: Study) -> None:
    """Heads decide; of how many, a tap that is not always asked does."""
    for number in range(40):
        some = CategoricalDistribution((1, 2, 4) if number % 2 else (1, 2, 4, 8))
        value = some.choices[number // 2 % 3]
        name = f"model.units.heads in {' '.join(map(str, some.choices))}"
        drawn: dict[str, tuple[Any, BaseDistribution]] = {
            name: (value, some),
            "train.init": (("a", "b")[number // 3 % 2], CategoricalDistribution(("a", "b"))),
        }
        if number % 2:
            drawn["model.units.attach.4"] = (number % 4 == 1, SWITCH)
        add(study, drawn, 0.5 + 0.1 * (value == 4) + 0.001 * (number % 7))


def test_heads_are_one_parameter_whatever_the_choices() -> None:
    study = make()
    heads(study)
    found = importances(study)
    assert found.drawn == {"model.units.heads": 40, "train.init": 40, "model.units.attach.4": 20}
    shares = found.shares["val/accuracy"]
    assert shares.keys() == found.drawn.keys()
    assert next(iter(shares)) == "model.units.heads"


@pytest.mark.parametrize("evaluator", ["fanova", "mdi"])
def test_forests_take_only_what_all_have_alike(evaluator: str) -> None:
    study = make()
    heads(study)
    found = importances(study, evaluator)
    assert found.shares["val/accuracy"].keys() == {"train.init"}
    assert "model.units.heads" in found.drawn


def test_only_finished_configurations_count_and_each_once() -> None:
    study, clean = make(), planted(20)
    for trial in clean.trials:
        study.add_trial(trial)
    drawn = {name: (value, clean.trials[0].distributions[name]) for name, value in
             clean.trials[0].params.items()}  # fmt: skip
    for _ in range(9):
        add(study, drawn, clean.trials[0].value or 0, trial_id="trial0")
    add(study, drawn, state=TrialState.PRUNED)
    add(study, drawn, state=TrialState.PRUNED)
    add(study, drawn, state=TrialState.FAIL)
    add(study, drawn, state=TrialState.RUNNING)
    add(study, drawn, state=TrialState.WAITING)
    add(study, drawn, math.inf)
    found, alone = importances(study), importances(clean)
    assert found.used == 20
    assert found.left_out == {
        "pruned": 2,
        "failed": 1,
        "not over": 2,
        "not finite": 1,
        "suggested again": 9,
    }
    assert found.shares == alone.shares


def test_too_few_are_refused() -> None:
    assert importances(planted(LEAST)).used == LEAST
    with pytest.raises(ValueError, match=r"at least 10 finished configurations.*'planted' has 9"):
        importances(planted(LEAST - 1))


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_values_that_are_all_alike_are_refused(evaluator: str) -> None:
    study = make()
    for number in range(20):
        add(study, {"a": (number % 2 == 0, SWITCH)}, 0.25)
    with pytest.raises(ValueError, match=r"must differ in val/accuracy"):
        importances(study, evaluator)


def test_best_that_are_as_good_as_the_worst_are_refused() -> None:
    # Optuna alone would say that all parameters are equally important.
    study = make()
    for number in range(20):
        add(study, {"a": (number % 2 == 0, SWITCH), "b": (number < 9, SWITCH)}, 0.5 + (number < 3))
    with pytest.raises(ValueError, match=r"the best from the others"):
        importances(study)
    assert importances(study, "mdi").used == 20


def test_an_unknown_evaluator_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of ped_anova, fanova, mdi, but got 'anova'"):
        importances(planted(), "anova")
