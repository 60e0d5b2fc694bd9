"""Importances of the hyper-parameters of a study, by evaluators of Optuna's.

- `ped_anova`: how much a parameter tells the best trials from all. It takes parameters that only
  some trials have.
- `fanova`, `mdi`: what a random forest of the trials owes to a parameter. They leave out those
  that some trials do not have, or choose from other values.

Counts of heads are one parameter here, though in a study the choices are part of its name.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.importance import BaseImportanceEvaluator
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial

EVALUATORS: Mapping[str, str] = MappingProxyType(
    {"ped_anova": "PED-ANOVA", "fanova": "fANOVA", "mdi": "MDI"}
)
"""What `--evaluator` takes, and what is printed."""

LEAST = 10
"""Finished configurations of which there are importances at all."""
BEST, BEST_SHARE = 5, 0.1
"""PED-ANOVA compares at least so many of the best, and this share, with all."""
FOREST_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Importances:
    """Of the hyper-parameters of one study."""

    study: str
    evaluator: str
    used: int
    """Finished configurations, each once."""
    left_out: Mapping[str, int]
    """Why to how many configurations, or repeated suggestions."""
    shares: Mapping[str, Mapping[str, float]]
    """Objective to parameter to its part of all importances; these sum to 1."""
    drawn: Mapping[str, int]
    """Parameter to the number of configurations used that have it."""


def importances(study: Study, evaluator: str = "ped_anova") -> Importances:
    """The importances for each objective of a study.

    `ValueError` for an unknown evaluator, too few finished configurations, and values that
    are all alike.
    """
    from optuna.trial import TrialState

    from mi2p.search.tally import Tally

    if evaluator not in EVALUATORS:
        raise ValueError(f"an evaluator is one of {', '.join(EVALUATORS)}, but got {evaluator!r}")
    every = study.get_trials(deepcopy=False)
    tally = Tally(every, len(every))
    used = [trial for trial in tally.complete() if all(map(math.isfinite, trial.values))]
    if len(used) < LEAST:
        raise ValueError(
            f"importances need at least {LEAST} finished configurations, but the study "
            f"{study.study_name!r} has {len(used)}"
        )
    left_out = {
        "pruned": len(tally.ended(TrialState.PRUNED)),
        "failed": len(tally.ended(TrialState.FAIL)),
        "not over": len(tally.ids) - tally.over(),
        "not finite": len(tally.complete()) - len(used),
        "suggested again": tally.repeats,
    }
    drawn: dict[str, int] = {}
    for trial in used:
        for name in trial.params:
            drawn[_path(name)] = drawn.get(_path(name), 0) + 1
    names = study.metric_names or [f"objective {i}" for i in range(len(study.directions))]
    return Importances(
        study=study.study_name,
        evaluator=evaluator,
        used=len(used),
        left_out={why: count for why, count in left_out.items() if count},
        shares={
            name: _shares(study, used, number, evaluator, name)
            for number, name in enumerate(names)
        },
        drawn=drawn,
    )


def _shares(
    study: Study, used: Sequence[FrozenTrial], number: int, evaluator: str, name: str
) -> dict[str, float]:
    """Parameter to its share of the importances for one objective, the largest first."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import get_param_importances

    found: dict[str, float] = {}
    if len({trial.values[number] for trial in used}) > 1:
        copied = _of_one_objective(used, number, study.directions[number])
        with warnings.catch_warnings():
            # Optuna's own normalisation gives equal shares of nothing as if they were found.
            warnings.simplefilter("ignore", ExperimentalWarning)
            # Said in the column of trials and, where nothing is left, by the error below.
            warnings.filterwarnings("ignore", "Some regimes for parameter|Target and region")
            found = get_param_importances(
                copied, evaluator=_evaluator(evaluator, len(used)), normalize=False
            )
    total = sum(found.values())
    if total == 0:
        raise ValueError(
            f"configurations must differ in {name}, also the best from the others, and in "
            f"parameters that all of them have; those of the study {study.study_name!r} do not "
            f"as far as {EVALUATORS[evaluator]} can tell"
        )
    ordered = sorted(found, key=lambda parameter: (-found[parameter], parameter))
    return {parameter: float(found[parameter] / total) for parameter in ordered}


def _of_one_objective(
    used: Sequence[FrozenTrial], number: int, direction: StudyDirection
) -> Study:
    """The trials in a study in memory, with paths of a spec as parameters."""
    from optuna import create_study
    from optuna.trial import create_trial

    study = create_study(direction=direction)
    for trial in used:
        drawn = {
            _path(name): _even(trial.params[name], of) for name, of in trial.distributions.items()
        }
        study.add_trial(
            create_trial(
                value=trial.values[number],
                params={path: value for path, (value, _) in drawn.items()},
                distributions={path: of for path, (_, of) in drawn.items()},
            )
        )
    return study


def _even(value: Any, drawn_from: BaseDistribution) -> tuple[Any, BaseDistribution]:
    """A number that is drawn by its logarithm as that logarithm.

    fANOVA weighs a range evenly: of 1e-5 ... 1e-3 it would see almost only what is above 1e-4.
    """
    from optuna.distributions import FloatDistribution

    if not isinstance(drawn_from, FloatDistribution) or not drawn_from.log:
        return value, drawn_from
    low, high = math.log(drawn_from.low), math.log(drawn_from.high)
    return min(max(math.log(value), low), high), FloatDistribution(low, high)


def _path(parameter: str) -> str:
    """`model.units.heads in 1 2 4` as `model.units.heads`."""
    return parameter.partition(" in ")[0]


def num_best(used: int) -> int:
    """How many of the best PED-ANOVA compares with all."""
    return max(BEST, math.ceil(BEST_SHARE * used))


def _evaluator(name: str, used: int) -> BaseImportanceEvaluator:
    from optuna import importance

    if name == "fanova":
        return importance.FanovaImportanceEvaluator(seed=FOREST_SEED)
    if name == "mdi":
        return importance.MeanDecreaseImpurityImportanceEvaluator(seed=FOREST_SEED)
    # Optuna rounds up what a quantile is of the trials; the half keeps it from one more.
    return importance.PedAnovaImportanceEvaluator(target_quantile=(num_best(used) - 0.5) / used)
