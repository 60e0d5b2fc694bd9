"""Suggestions of configurations as pure functions, and what ends hopeless trials early.

Optuna's samplers draw from a generator that goes on from one suggestion to the next. Here each
suggestion has its own sampler, seeded by its number, and sees a study in memory that is made of
its history alone: a search that was killed suggests the same again.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from mi2p.legality import require
from mi2p.spec import TrialSpec

SAMPLERS = ("tpe", "gp", "random", "nsga2")
SCHEDULERS = ("none", "asha", "median")

STARTUP = 8
"""Finished trials before TPE and GP suggest by them; until then they draw at random. It does not
depend on the budget, so that a search with a larger one begins alike."""
POPULATION = 10
"""Trials of a generation of NSGA-II: Optuna's 50 would draw a search of 40 at random."""
REDUCTION = 3
"""ASHA keeps the best third at each rung."""
MEDIAN_STARTUP = 4
"""Finished trials before median stopping compares with them."""
GENERATION = ":generation"
"""Ends the system attribute in which NSGA-II keeps the generation of a trial."""


class Samples(Protocol):
    """What a suggestion needs of a `mi2p.search.spaces.Space`."""

    def first(self) -> dict[str, Any]:
        """The parameters of the row as it is declared."""

    def sample(self, ask: Any) -> TrialSpec:
        """The configuration that this trial of Optuna's suggests."""


def seed_of(name: str, number: int) -> int:
    """A 32-bit seed for suggestion `number` of the study `name`; the same in every process."""
    digest = hashlib.sha256(f"{name} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def make_sampler(kind: str, seed: int) -> BaseSampler:
    """A sampler of `SAMPLERS`.

    TPE models parameters together that occur together (`group`), and takes what is not over for
    bad (`constant_liar`). GP (SciPy, PyTorch) and NSGA-II's crossover know only parameters that
    all finished trials have; they draw conditional ones at random.
    """
    require(kind in SAMPLERS, f"sampler is one of {', '.join(SAMPLERS)}", sampler=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if kind == "tpe":
            return TPESampler(
                seed=seed,
                n_startup_trials=STARTUP,
                multivariate=True,
                group=True,
                constant_liar=True,
            )
        if kind == "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False)
        if kind == "nsga2":
            return NSGAIISampler(seed=seed, population_size=POPULATION)
        return RandomSampler(seed=seed)


def make_pruner(kind: str, epochs: int) -> BasePruner:
    """A pruner of `SCHEDULERS` for trials of so many epochs; with one epoch it prunes none.

    ASHA's rungs are at the epochs m, 3m, 9m, ... with m about a 27th of all, at least 1 (Li et
    al., 2020). Median stopping (Golovin et al., 2017) compares from a quarter of the epochs on.
    """
    require(kind in SCHEDULERS, f"scheduler is one of {', '.join(SCHEDULERS)}", scheduler=kind)
    if kind == "asha" and epochs > 1:
        return SuccessiveHalvingPruner(
            min_resource=max(1, round(epochs / REDUCTION**3)), reduction_factor=REDUCTION
        )
    if kind == "median" and epochs > 1:
        return MedianPruner(n_startup_trials=MEDIAN_STARTUP, n_warmup_steps=max(1, epochs // 4))
    return NopPruner()


def suggest(
    space: Samples,
    history: Sequence[FrozenTrial],
    *,
    known: int,
    sampler: BaseSampler,
    directions: Sequence[StudyDirection],
) -> tuple[TrialSpec, FrozenTrial]:
    """The configuration that follows `history`, and the trial of it.

    Of the first `known` trials, which are over, the sampler knows everything. Of those after
    them it knows the parameters, whatever became of them meanwhile: which of them end first is
    chance. The first of all is the row as it is declared.
    """
    study = optuna.create_study(sampler=sampler, directions=directions)
    study.add_trials(history[:known])
    study.add_trials(alike(trial, TrialState.RUNNING) for trial in history[known:])
    if not history:
        study.enqueue_trial(space.first())
    ask = study.ask()
    _ = ask.relative_params  # else NSGA-II gives an enqueued trial no generation
    spec = space.sample(ask)
    return spec, study.get_trials(deepcopy=False)[-1]


def alike(trial: FrozenTrial, state: TrialState, **more: Any) -> FrozenTrial:
    """A trial with the same parameters, and what a sampler keeps of it beside them."""
    kept = {name: v for name, v in trial.system_attrs.items() if name.endswith(GENERATION)}
    return create_trial(
        state=state,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=kept,
        **more,
    )
