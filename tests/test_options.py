"""The shared command line: values that cannot be meant, and what a data set decides."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from mi2p.data.protocols import PROTOCOLS, protocol
from mi2p.options import (
    BackboneOptions,
    SweepOptions,
    chosen_seeds,
    data_spec,
    on_dataset,
    train_spec,
)
from mi2p.spec import DataSpec
from sweeps import ablation_backbones, compare_crisismmd, compare_food101_mmimdb
from sweeps.ablation_layers import Options, plan

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": ()}, "at least one"),
        ({"seeds": (1, 1)}, "distinct"),
        ({"seeds": (-1,)}, "from 0 up"),
        ({"gpus_per_trial": -0.5}, r"GPUs of a trial are 0, .* gpus=-0\.5"),
        ({"max_concurrent": -1}, "--max-concurrent must be >= 0, but got -1"),
        ({"search": -1}, "--search must be >= 0, but got -1"),
        ({"in_flight": 0}, "--in-flight must be >= 1, but got 0"),
        ({"time_budget": "90"}, "--time-budget: a length of time .* such as 90m, .* got '90'"),
        ({"against": "seconds", "scheduler": "asha"}, "--scheduler must be none beside --against"),
        ({"seeds": (0, 1000)}, r"--seeds must not have 1000, .* but got \(0, 1000\)"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SweepOptions(**wrong)


def test_the_data_set_decides_what_is_not_asked_for() -> None:
    for name, own in PROTOCOLS.items():
        options = SweepOptions(dataset=name)
        assert data_spec(options) == own.data
        assert train_spec(options, ("visual",)) == own.visual_train
        assert train_spec(options, ("textual",)) == own.textual_train
        assert train_spec(options, ("visual", "textual")) == own.joint_train


ASKED: dict[str, Any] = {
    "image_size": 320,
    "max_tokens": 40,
    "view": "fit",
    "augment": "none",
    "clean": "abavisani",
    "fix_mojibake": True,
    "splits": "settingA",
    "on_bad_image": "skip",
    "features": "float16",
}


@pytest.mark.parametrize("option", ASKED)
def test_an_option_changes_its_field_and_no_other(option: str) -> None:
    own = protocol("crisismmd_task2").data
    assert getattr(own, option) != ASKED[option]
    asked = data_spec(SweepOptions(dataset="crisismmd_task2", **{option: ASKED[option]}))
    assert asked == dataclasses.replace(own, **{option: ASKED[option]})


def test_every_field_of_the_data_can_be_asked_for_with_every_value() -> None:
    hints, options = get_type_hints(DataSpec), get_type_hints(SweepOptions)
    settable = hints.keys() - {"name", "limit"}
    assert settable == ASKED.keys() | {"text_field"}
    for name in settable:
        assert options[name] == hints[name] | None, name


def test_options_that_a_data_set_does_not_have_are_refused() -> None:
    options = SweepOptions(dataset="food101", clean="none")
    with pytest.raises(ValueError, match=r"`clean` is an option of crisismmd, but .* 'food101'"):
        data_spec(options)
    text = SweepOptions(dataset="mmimdb", text_field="plot_first")
    assert data_spec(text).text_field == "plot_first"
    with pytest.raises(ValueError, match=r"openclipart, .*mmimdb, but the data set is 'imdb'"):
        data_spec(SweepOptions(dataset="imdb"))


def test_epochs_and_smoke() -> None:
    asked = SweepOptions(dataset="mmimdb", epochs=7, seeds=(3, 5))
    own = protocol("mmimdb").textual_train
    assert train_spec(asked, ("textual",)) == dataclasses.replace(own, epochs=7)
    assert (data_spec(asked).limit, chosen_seeds(asked)) == (0, (3, 5))
    smoke = dataclasses.replace(asked, smoke=True)
    assert train_spec(smoke, ("textual",)) == dataclasses.replace(own, epochs=1)
    assert (data_spec(smoke).limit, chosen_seeds(smoke)) == (48, (3,))


def test_a_micro_batch_is_part_of_the_training_where_it_is_less_than_the_batch() -> None:
    asked = SweepOptions(dataset="food101", micro_batch=128)
    own = protocol("food101").joint_train
    assert (own.batch_size, own.micro_batch) == (256, 0)
    both = ("visual", "textual")
    assert train_spec(asked, both) == dataclasses.replace(own, micro_batch=128)
    # A batch of 128 fits as it is: the same trials as without the option.
    movies = dataclasses.replace(asked, dataset="mmimdb")
    assert train_spec(movies, both) == protocol("mmimdb").joint_train
    with pytest.raises(ValueError, match=r"micro_batch is 0, or from 4 .* got micro_batch=2"):
        train_spec(dataclasses.replace(asked, micro_batch=2), both)


def test_keeping_fewer_activations_changes_no_spec() -> None:
    asked = Options(checkpoint_activations=True)
    assert list(plan(asked).specs()) == list(plan(Options()).specs())


def test_an_option_that_some_data_sets_have_is_used_for_these() -> None:
    asked = SweepOptions(text_field="plot_first", splits="mine", clean="none")
    names = ("food101", "mmimdb")
    food, movies = (on_dataset(asked, name, names) for name in names)
    assert (food.dataset, food.text_field, food.splits) == ("food101", None, "mine")
    assert (movies.dataset, movies.text_field, movies.splits) == ("mmimdb", "plot_first", "mine")
    # None of them has tweets, so that it cannot be meant.
    with pytest.raises(ValueError, match="`clean` is an option of crisismmd"):
        data_spec(food)


OPTIONS = [
    SweepOptions,
    BackboneOptions,
    ablation_backbones.Options,
    compare_crisismmd.Options,
    compare_food101_mmimdb.Options,
]


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_has_a_help_text(options: type[SweepOptions]) -> None:
    # tyro reads the text under each field, in one line; a field without one has an empty --help.
    source = inspect.getsource(options)
    for field in inspect.get_annotations(options):
        after = source.split(f"\n    {field}:", 1)[1].split("\n")[1].strip()
        assert re.fullmatch(r'"""[A-Z].*\."""', after), field


SCRIPTS = sorted(path for path in (ROOT / "sweeps").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_is_80_columns_wide(script: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(script), "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "--data" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
