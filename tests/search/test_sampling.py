"""Samplers and pruners: suggestions repeat, learn, and do not see too much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from mi2p.search.sampling import (
    POPULATION,
    SAMPLERS,
    alike,
    make_pruner,
    make_sampler,
    seed_of,
    suggest,
)
from tests.toy_search import DECLARED, ToySpace, score

UP = [StudyDirection.MAXIMIZE]


def over(trial: FrozenTrial, value: float) -> FrozenTrial:
    """As a study keeps a finished trial."""
    done = alike(trial, TrialState.RUNNING)
    done.state, done.values, done.datetime_complete = (
        TrialState.COMPLETE,
        [value],
        trial.datetime_start,
    )
    return done


def searched(sampler: str, count: int, name: str = "a") -> list[FrozenTrial]:
    """A search of one trial at a time."""
    history: list[FrozenTrial] = []
    for number in range(count):
        made = make_sampler(sampler, seed_of(name, number))
        spec, trial = suggest(ToySpace(), history, known=number, sampler=made, directions=UP)
        history.append(over(trial, score(spec)))
    return history


def best(history: Sequence[FrozenTrial]) -> float:
    return max(float(trial.values[0]) for trial in history)


def test_seeds_are_the_same_in_every_process() -> None:
    # The first four bytes of sha256(b"a 1"), by sha256sum.
    assert seed_of("a", 1) == 0x042A5F2E
    assert len({seed_of(name, n) for name in "ab" for n in range(50)}) == 100


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_declared_row_comes_first_and_the_rest_repeats(sampler: str) -> None:
    count = 11 if sampler == "gp" else 30
    one, other = searched(sampler, count), searched(sampler, count)
    assert one[0].params == ToySpace().first()
    assert [t.params for t in one] == [t.params for t in other]
    assert len({str(t.params) for t in one}) > count / 2


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_sampler_that_learns_beats_random(sampler: str) -> None:
    names = "abcde"
    learnt = [best(searched(sampler, 60, name)) for name in names]
    drawn = [best(searched("random", 60, name)) for name in names]
    assert sum(learnt) > sum(drawn)


def test_generations_of_nsga2_follow_each_other_and_improve() -> None:
    history = searched("nsga2", 6 * POPULATION)
    of = [trial.system_attrs["NSGAIISampler:generation"] for trial in history]
    assert of == [number // POPULATION for number in range(6 * POPULATION)]
    values = [trial.values[0] for trial in history]
    first, last = values[:POPULATION], values[-POPULATION:]
    assert sum(last) > sum(first)
    # A child has what its parents have: of those before it, but for mutations.
    known = {trial.params["dropout"] for trial in history[:-POPULATION]}
    inherited = [trial.params["dropout"] in known for trial in history[-POPULATION:]]
    assert sum(inherited) > POPULATION / 2


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_what_became_of_trials_in_flight_changes_nothing(sampler: str) -> None:
    history = searched(sampler, 25)
    running = [*history[:22], *(alike(trial, TrialState.RUNNING) for trial in history[22:])]
    drawn = [
        suggest(ToySpace(), h, known=22, sampler=make_sampler(sampler, 3), directions=UP)[1].params
        for h in (history, running)
    ]
    assert drawn[0] == drawn[1]


def test_unknown_names_say_what_is_legal() -> None:
    with pytest.raises(ValueError, match=r"tpe, gp, random, nsga2.*sampler='grid'"):
        make_sampler("grid", 0)
    with pytest.raises(ValueError, match=r"none, asha, median.*scheduler='pbt'"):
        make_pruner("pbt", 9)


def pruned_at(scheduler: str, epochs: int, values: Sequence[float]) -> list[int | None]:
    """At which epoch each is pruned of trials that stay at these values, one after another."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner(scheduler, epochs))
    found: list[int | None] = []
    for value in values:
        trial, at = study.ask(), None
        for epoch in range(1, epochs):
            trial.report(value, epoch)
            if trial.should_prune():
                at = epoch
                break
        study.tell(trial, None if at else value, state=TrialState.PRUNED if at else None)
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("scheduler", "epochs", "last"),
    [("none", 9, None), ("asha", 1, None), ("median", 1, None), ("asha", 2, 1), ("asha", 9, 1),
     ("asha", 100, 4), ("median", 2, 1), ("median", 9, 2), ("median", 100, 25)],
)  # fmt: skip
def test_the_worst_is_pruned_early_and_the_best_never(
    scheduler: str, epochs: int, last: int | None
) -> None:
    assert pruned_at(scheduler, epochs, [0.5, 0.6, 0.7, 0.8, 0.1, 0.9]) == [
        None, None, None, None, last, None
    ]  # fmt: skip


def test_a_likeness_keeps_the_generation_and_no_rung() -> None:
    attrs: dict[str, Any] = {"NSGAIISampler:generation": 2, "completed_rung_0": 0.3}
    trial = create_trial(state=TrialState.RUNNING, system_attrs=attrs)
    assert alike(trial, TrialState.WAITING).system_attrs == {"NSGAIISampler:generation": 2}
    assert DECLARED.train.epochs == 9  # what these tests' spaces are of
