"""A row's study in a storage: its name, what a reader of it is told, and that it still fits."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from mi2p.options import SEARCH_SEED
from mi2p.search.sampling import make_pruner
from mi2p.spec import TrialSpec

if TYPE_CHECKING:
    from mi2p.search.spaces import Space


def search_spec(spec: TrialSpec) -> TrialSpec:
    """The trial of a search that trains this configuration."""
    return replace(spec, stage="search", seed=SEARCH_SEED)


def spec_of(space: Space, trial: FrozenTrial) -> TrialSpec:
    """What a trial of a study stands for."""
    return search_spec(space.spec_of(trial.params))


def open_study(
    storage: BaseStorage,
    space: Space,
    *,
    sampler: str,
    scheduler: str,
    metrics: Sequence[str],
    in_flight: int,
) -> Study:
    """The study of a space, made if it is not there; `metrics` as of `study_name`.

    `ValueError` if a trial in it no longer gives the id it was recorded with.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=study_name(space, sampler, scheduler, metrics, in_flight),
        directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][: len(metrics)],
        sampler=RandomSampler(),  # never asked
        pruner=make_pruner(scheduler, space.base.train.epochs),
        load_if_exists=True,
    )
    if study.metric_names != list(metrics):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(metrics))
    told = {
        "declared": space.base.to_dict(),
        "space": space.to_dict(),
        "sampler": sampler,
        "scheduler": scheduler,
        "in_flight": in_flight,
        "seed": SEARCH_SEED,
        "optuna": optuna.__version__,
    }
    known = study.user_attrs
    for key, value in told.items():
        if known.get(key) != value:
            study.set_user_attr(key, value)
    _check(study, space)
    return study


def study_name(
    space: Space, sampler: str, scheduler: str, metrics: Sequence[str], in_flight: int
) -> str:
    """Readable, and unique to all that suggestions depend on.

    The budget is not of it: a larger one goes on with the same study. `metrics` are what is
    maximised and, with two objectives, what is minimised.
    """
    base = space.base
    how = "-".join([sampler, *([scheduler] if scheduler != "none" else []), *metrics[1:]])
    backbones = "+".join(name for name in (base.model.visual, base.model.textual) if name)
    of = [space.to_dict(), sampler, scheduler, list(metrics), in_flight, SEARCH_SEED]
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:8]
    return f"{base.data.name} {base.model.name} {backbones} {how} {digest}"


def _check(study: Study, space: Space) -> None:
    for trial in study.get_trials(deepcopy=False):
        recorded, found = trial.user_attrs.get("trial_id"), spec_of(space, trial).trial_id
        if found != recorded:
            raise ValueError(
                f"trial {trial.number} of the study {study.study_name!r} was recorded as "
                f"{recorded} and now has the id {found}: its fields changed meaning, or it was "
                "added by hand. Search anew with another --storage"
            )
