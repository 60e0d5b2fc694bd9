"""`--print-command`: what is printed, read as by a shell and a script, trains the same trials."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import tyro

from mi2p.averages import with_parts
from mi2p.commands import OF_ONE_RUN, OF_THE_ROW, commands
from mi2p.filters import chosen_rows
from mi2p.methods import TINY
from mi2p.options import SweepOptions
from mi2p.overrides import overridden
from mi2p.paths import replaced
from mi2p.plan import Plan, PlanRow
from mi2p.spec import FusionSpec, TrialSpec
from sweeps import (
    ablation_backbones,
    ablation_layers,
    compare_crisismmd,
    compare_food101_mmimdb,
    search,
)

SCRIPT = "sweeps/a table.py"

Declare = Callable[[Any], Plan]


def parsed(command: str, kind: type[SweepOptions]) -> SweepOptions:
    """The options that a shell and the script would read."""
    program, script, *words = shlex.split(command)
    assert (program, script) == ("python", SCRIPT)
    return tyro.cli(kind, args=words, config=(tyro.conf.FlagCreatePairsOff,))


def printed(options: Any, declared: Plan, chosen: Plan, key: str = "*") -> list[str]:
    return commands(SCRIPT, replace(options, print_command=key), declared, chosen)


def assert_commands_train_their_rows(options: Any, declare: Declare, chosen: Plan) -> None:
    """Each row alone: its trials and those that it averages, in another process as here."""
    lines = printed(options, declare(options), chosen)
    assert len(lines) == len(chosen.rows)
    plans: dict[Any, Plan] = {}
    for row, line in zip(chosen.rows, lines, strict=True):
        again = parsed(line, type(options))
        alike = replace(again, rows=())  # rows of one data set have the plan in common
        if alike not in plans:
            plans[alike] = overridden(declare(again), again.overrides)
        plan = plans[alike]
        expected = with_parts(chosen, [row])
        found = with_parts(plan, chosen_rows(plan, again.rows))
        assert found == expected and list(found) == list(expected)


CHANGED: dict[str, Any] = {
    "data": Path("my data/it's"),
    "cache": Path("$SCRATCH/cache"),
    "image_size": 384,
    "max_tokens": 24,
    "augment": "crop_flip",
    "on_bad_image": "skip",
    "features": "float16",
    "seeds": (3, 7),
    "epochs": 9,
    "micro_batch": 8,
    "max_concurrent": 2,
    "gpus_per_trial": 0.5,
    "checkpoint_activations": True,
    "keep_weights": True,
    # What is left out.
    **{"rows": ("cnn",), "force": ("cnn",), "yes": True, "search": 3, "time_budget": "1h"},
}
TABLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "table3": (compare_crisismmd, {"clean": "none", "fix_mojibake": True, "splits": "set'A"}),
    "table3-packaged": (compare_crisismmd, {"dataset": "packaged"}),
    "table4": (compare_food101_mmimdb, {"text_field": "plot_first", "splits": "mine"}),
    "table4-tags": (compare_food101_mmimdb, {"dataset": "openclipart-tags"}),
    "table5": (ablation_layers, {"visual": "resnet50", "textual": "bert-base-uncased"}),
    "table6": (ablation_backbones, {"backbones": ("densenet201", "minilm")}),
    "table6-paper": (ablation_backbones, {"dataset": "mmimdb"}),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("changed", [False, True], ids=["defaults", "changed"])
def test_every_row_of_every_table(table: str, changed: bool) -> None:
    module, own = TABLES[table]
    dataset = {"dataset": own["dataset"]} if "dataset" in own else {}
    options: Any = module.Options(**(CHANGED | own if changed else dataset))
    declare: Declare = module.plan
    assert_commands_train_their_rows(options, declare, declare(options))


@pytest.mark.parametrize("table", ["table3-packaged", "table6"])
def test_every_row_of_a_smoke_run(table: str) -> None:
    module, own = TABLES[table]
    options: Any = module.Options(smoke=True, **(CHANGED | own))
    declare: Declare = module.plan
    assert_commands_train_their_rows(options, declare, declare(options))


def test_a_declared_row_with_default_options_is_short() -> None:
    options = ablation_layers.Options()
    plan = ablation_layers.plan(options)
    assert printed(options, plan, plan, "me_cnn-1-4") == [
        "python 'sweeps/a table.py' --dataset openclipart --rows me_cnn-1-4 --seeds 0 1 2"
    ]


def test_options_are_told_where_they_differ_and_quoted() -> None:
    options = ablation_layers.Options(**CHANGED)
    plan = ablation_layers.plan(options)
    (line,) = printed(options, plan, plan, "cnn")
    assert line.endswith(
        "--seeds 3 7 --data 'my data/it'\"'\"'s' --cache '$SCRATCH/cache' --image-size 384 "
        "--max-tokens 24 --augment crop_flip --on-bad-image skip --features float16 "
        "--gpus-per-trial 0.5 --max-concurrent 2 --epochs 9 --micro-batch 8 "
        "--checkpoint-activations --keep-weights"
    )


def test_each_option_is_told_or_left_out_on_purpose() -> None:
    names = {field.name for field in dataclasses.fields(SweepOptions)}
    assert OF_ONE_RUN | OF_THE_ROW <= names and not OF_ONE_RUN & OF_THE_ROW
    # A new option must be thought of: does it change what a row is, or where it runs?
    assert names - OF_ONE_RUN - OF_THE_ROW == CHANGED.keys() - OF_ONE_RUN - OF_THE_ROW | {
        *("weights", "results", "remote", "address", "accelerator", "device", "smoke"),
        *("view", "clean", "fix_mojibake", "text_field", "splits"),
    }


def test_a_row_on_several_data_sets_has_a_command_for_each() -> None:
    options = compare_food101_mmimdb.Options(text_field="plot_first")
    plan = compare_food101_mmimdb.plan(options)
    food, movies = printed(options, plan, plan, "gmu")
    assert "--dataset food101 " in food and "text-field" not in food  # it has no such option
    assert "--dataset mmimdb " in movies and movies.endswith("--text-field plot_first")
    assert printed(options, plan, plan, "gmu,dataset=food101") == [food]


def test_an_unknown_row_is_told_the_known_ones() -> None:
    options = ablation_layers.Options()
    plan = ablation_layers.plan(options)
    with pytest.raises(ValueError, match="--print-command: no row 'me'; the rows are cnn, me_cnn"):
        printed(options, plan, plan, "me")


TINY_OPTIONS: dict[str, Any] = {"visual": TINY[0], "textual": TINY[1]}


def found_by_a_search(row: PlanRow) -> PlanRow:
    """Other values in all of its parts, and in every row others."""
    number = 1 + crc32(row.key.encode()) % 1000

    def searched(spec: TrialSpec) -> TrialSpec:
        values: dict[str, Any] = {"train.lr": number / 3e6, "train.batch_size": 4 * number}
        for part in ("units", "textual_units"):
            if getattr(spec.model, part):
                values |= {f"model.{part}.{name}": value for name, value in UNITS.items()}
        if spec.model.fusion:
            concat = spec.model.fusion == FusionSpec(kind="concat")
            kind = "cross_attention" if concat else "concat"
            values |= {"model.fusion.kind": kind, "model.fusion.joint_loss": "fused"}
        return replaced(spec, values)

    return replace(row, specs=tuple(map(searched, row.specs)))


UNITS = {"attach": (1, 2), "heads": 2, "init": "gate", "query_kernel": 5, "lr_multiplier": 0.1}


@pytest.mark.parametrize("module", [compare_crisismmd, ablation_layers], ids=["table3", "table5"])
def test_values_that_a_search_chose_are_set(module: Any) -> None:
    options = module.Options(**TINY_OPTIONS, dataset="openclipart")
    declared = module.plan(options)
    chosen = declared.changed(found_by_a_search, f"{declared.name}-search")
    different = {s.trial_id for s in chosen.specs()} - {s.trial_id for s in declared.specs()}
    assert len(different) == len(list(declared.specs()))
    assert_commands_train_their_rows(options, module.plan, chosen)


def test_a_row_of_averages_sets_the_values_of_its_parts() -> None:
    options = compare_crisismmd.Options(dataset="openclipart")
    declared = compare_crisismmd.plan(options)
    chosen = declared.changed(found_by_a_search, "found")
    (line,) = printed(options, declared, chosen, "score_fusion")
    values = line.split("--set ")[1].split()
    assert {value.split("=")[0] for value in values} == {
        f"{key}:train.{name}" for key in ("cnn", "bert") for name in ("lr", "batch_size")
    }


def test_values_that_the_user_set_are_in_it() -> None:
    assignments = ("train.lr=2e-3", "data.limit=30", "me_cnn-1:model.units.init=gate")
    options = ablation_layers.Options(overrides=assignments)
    declared = ablation_layers.plan(options)
    chosen = overridden(declared, assignments)
    (line,) = printed(options, declared, chosen, "me_cnn-1")
    told = "--set data.limit=30 me_cnn-1:model.units.init=gate me_cnn-1:train.lr=0.002"
    assert line.endswith(told)
    assert_commands_train_their_rows(options, ablation_layers.plan, chosen)


def test_what_no_value_can_tell_is_refused() -> None:
    options = ablation_layers.Options()
    declared = ablation_layers.plan(options)
    (expanded,) = (row for row in declared.rows if row.key == "me_cnn-1-4")
    other = (replace(expanded, key="cnn"), *declared.rows[1:])
    with pytest.raises(ValueError, match="row 'cnn' cannot be told in values of --set"):
        printed(options, declared, replace(declared, rows=other), "cnn")


def test_a_script_that_searches_unless_told_otherwise_trains_what_is_printed() -> None:
    options = search.Options(dataset="openclipart", **TINY_OPTIONS)
    assert options.search > 0
    declared = search.plan(options)
    chosen = declared.changed(found_by_a_search, f"{declared.name}-search")
    assert all(
        parsed(line, search.Options).search == 0 for line in printed(options, declared, chosen)
    )
    assert_commands_train_their_rows(options, search.plan, chosen)
