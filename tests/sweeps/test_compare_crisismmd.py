"""Table 3's plan: the paper's 54 rows, and the trials that it shares with Tables 5 and 6."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import analysis
from mi2p.plan import PlanRow
from sweeps import ablation_backbones, ablation_layers
from sweeps.compare_crisismmd import Options, plan

PAPER = Path(analysis.__file__).parent / "paper" / "table3.csv"


def rows_on(dataset: str, options: Options) -> dict[str, PlanRow]:
    return {row.key: row for row in plan(options).rows if row.dataset == dataset}


def test_the_papers_rows_on_each_task_in_its_order() -> None:
    table = plan(Options())
    assert (table.name, table.table) == ("table3-crisismmd", 3)
    assert table.datasets == ("crisismmd_task1", "crisismmd_task2", "crisismmd_task3")
    with PAPER.open(encoding="utf-8") as file:
        printed = [(row["dataset"], row["method"]) for row in csv.DictReader(file)]
    assert sorted(dict.fromkeys(printed)) == sorted((row.dataset, row.paper) for row in table.rows)
    order = [method for dataset, method in dict.fromkeys(printed) if dataset == table.datasets[0]]
    for dataset in table.datasets:
        assert [row.paper for row in table.rows if row.dataset == dataset] == order


@pytest.mark.parametrize(
    ("asked", "name", "datasets"),
    [
        ("packaged", "table3-openclipart", ("openclipart",)),
        ("openclipart", "table3-openclipart", ("openclipart",)),
        ("crisismmd_task2", "table3-crisismmd_task2", ("crisismmd_task2",)),
        ("mmimdb", "table3-mmimdb", ("mmimdb",)),
    ],
)
def test_data_sets_that_can_be_asked_for(asked: str, name: str, datasets: tuple[str, ...]) -> None:
    table = plan(Options(dataset=asked))
    assert (table.name, table.datasets) == (name, datasets)


def test_an_unknown_data_set_lists_what_is_legal() -> None:
    with pytest.raises(ValueError, match=r"must be crisismmd \(.*\), packaged .* 'food102'"):
        plan(Options(dataset="food102"))


def test_the_trials_of_a_task_are_the_same_alone_and_among_others() -> None:
    alone = rows_on("crisismmd_task3", Options(dataset="crisismmd_task3"))
    assert alone == rows_on("crisismmd_task3", Options())


@pytest.mark.parametrize("dataset", ["crisismmd_task2", "openclipart"])
def test_unimodal_and_expanded_rows_are_trials_of_table_5_and_no_others_are(dataset: str) -> None:
    asked = dataset if dataset == "openclipart" else "crisismmd"
    mine = rows_on(dataset, Options(dataset=asked))
    table5 = ablation_layers.plan(ablation_layers.Options(dataset=dataset))
    layers = {row.key: row for row in table5.rows}
    every = [key for key in layers if key.startswith("me_bert-1-")][-1]
    shared = {"cnn": "cnn", "me_cnn": "me_cnn-1-4", "bert": "bert", "me_bert": every}
    for key, theirs in shared.items():
        assert mine[key].specs == layers[theirs].specs
    others = {spec.trial_id for key in mine.keys() - shared for spec in mine[key].specs}
    assert not others & {spec.trial_id for spec in table5.specs()}


def test_backbones_of_table_6_can_be_compared_and_share_its_trials() -> None:
    mine = rows_on("crisismmd_task2", Options(dataset="crisismmd_task2", visual="resnet50"))
    table6 = ablation_backbones.plan(ablation_backbones.Options(dataset="crisismmd_task2"))
    theirs = {row.key: row for row in table6.rows}
    assert mine["cnn"].specs == theirs["resnet50"].specs
    assert mine["me_cnn"].specs == theirs["me-resnet50"].specs
