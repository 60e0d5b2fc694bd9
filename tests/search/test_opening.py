"""A row's study in a storage: named by what suggestions depend on, and told of to a reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage

from mi2p.options import SEARCH_SEED
from mi2p.search.opening import search_spec
from mi2p.search.storage import open_storage
from mi2p.store import Store
from tests.toy_search import DECLARED, METRIC, ToySpace, few, open_row


def test_the_name_is_readable_and_the_same_for_a_row_of_another_table() -> None:
    name = open_row(InMemoryStorage(), sampler="tpe", scheduler="asha").name
    assert name.startswith("openclipart cnn tiny_densenet tpe-asha ")
    other = ToySpace(base=replace(DECLARED, seed=7))  # a table with other seeds
    assert open_row(InMemoryStorage(), other, sampler="tpe", scheduler="asha").name == name
    assert " random-seconds " in open_row(InMemoryStorage(), against="seconds").name


def test_what_suggestions_depend_on_makes_another_study_and_the_budget_does_not() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"sampler": "tpe"}, {"scheduler": "median"}, {"against": "added_parameters"},
        {"in_flight": 4}, {"metric": "val/micro_f1"}, {"space": few(1e-4, 1e-3)},
    ]  # fmt: skip
    names = [open_row(InMemoryStorage(), **change).name for change in changes]
    assert len(set(names)) == len(changes)
    assert open_row(InMemoryStorage(), budget=99).name == names[0]


def test_a_reader_is_told_what_is_searched() -> None:
    storage = InMemoryStorage()
    opened = open_row(storage, against="seconds")
    study = optuna.load_study(study_name=opened.name, storage=storage)
    assert study.metric_names == [METRIC, "seconds"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.user_attrs["declared"] == search_spec(DECLARED).to_dict()
    assert study.user_attrs["optuna"] == optuna.__version__


def test_trials_of_a_search_have_a_seed_of_their_own() -> None:
    spec = search_spec(DECLARED)
    assert (spec.stage, spec.seed) == ("search", SEARCH_SEED)
    assert replace(spec, stage="confirm", seed=0) == DECLARED


def test_a_trial_that_now_means_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_row(open_storage(None, tmp_path)).next(Store(tmp_path), ())
    meant = ToySpace.spec_of
    monkeypatch.setattr(
        ToySpace, "spec_of", lambda self, params: meant(self, {**params, "lr": params["lr"] / 2})
    )
    with pytest.raises(ValueError, match=r"trial 0 of the study .*another --storage"):
        open_row(open_storage(None, tmp_path))
