"""Every cell of the paper's Tables 3 to 6 has trials of its own in the plan of a sweep script."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import analysis
from mi2p.plan import Plan
from mi2p.spec import TrialSpec
from sweeps import (
    ablation_backbones,
    ablation_layers,
    compare_crisismmd,
    compare_food101_mmimdb,
)

PAPER = Path(analysis.__file__).parent / "paper"
TASK2 = "crisismmd_task2"
PLANS: dict[int, Plan] = {
    3: compare_crisismmd.plan(compare_crisismmd.Options()),
    4: compare_food101_mmimdb.plan(compare_food101_mmimdb.Options()),
    5: ablation_layers.plan(ablation_layers.Options(dataset=TASK2)),
    6: ablation_backbones.plan(ablation_backbones.Options(dataset=TASK2)),
}
PRINTED_TWICE = {
    "Unimodal DenseNet": "DenseNet",
    "ME DenseNet": "DenseNet + MI2P{1-4}",
    "Unimodal BERT": "BERT",
    "ME BERT": "Bert + MI2P{1-12}",
}
"""The models of Table 3 that Table 5 prints, too, and their names there."""

Cell = tuple[int, str, str]
"""Number of the table, data set, method."""


def printed(table: int) -> set[Cell]:
    with (PAPER / f"table{table}.csv").open(encoding="utf-8") as file:
        return {(table, row["dataset"], row["method"]) for row in csv.DictReader(file)}


def planned() -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """Each cell and the ids of its trials, one per seed."""
    for table, plan in PLANS.items():
        for row in plan.rows:
            yield (table, row.dataset, row.paper), tuple(s.trial_id for s in row.specs)


CELLS = dict(planned())


@pytest.mark.parametrize("table", PLANS)
def test_every_cell_has_trials(table: int) -> None:
    wanted = {cell for cell in CELLS if cell[0] == table}
    assert wanted == printed(table)
    assert len(wanted) == {3: 54, 4: 36, 5: 12, 6: 8}[table]
    assert len(PLANS[table].rows) == len(wanted)  # no cell has two rows


def test_a_trial_has_one_row_and_one_seed() -> None:
    for plan in PLANS.values():
        trials = [spec.trial_id for row in plan.rows for spec in row.specs]
        assert len(set(trials)) == len(trials)
        assert {tuple(s.seed for s in row.specs) for row in plan.rows} == {(0, 1, 2)}


def test_only_cells_of_the_same_model_share_trials() -> None:
    cells = defaultdict(set)
    for cell, trials in CELLS.items():
        cells[trials].add(cell)
    alike = {frozenset(found) for found in cells.values() if len(found) > 1}
    assert alike == {
        frozenset({(3, TASK2, in3), (5, TASK2, in5)}) for in3, in5 in PRINTED_TWICE.items()
    }
    # Not in part, either: seeds of one cell are not seeds of another.
    assert len({trial for trials in cells for trial in trials}) == sum(map(len, cells))


def test_what_tables_print_twice_is_the_same_there() -> None:
    # A reader may expect it of the names alone, and the paper's numbers agree.
    values = defaultdict(list)
    names = {**{name: name for name in PRINTED_TWICE}, **{b: a for a, b in PRINTED_TWICE.items()}}
    for table in (3, 5):
        with (PAPER / f"table{table}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["dataset"] == TASK2 and row["method"] in names:
                    values[names[row["method"]], row["metric"]].append(row["value"])
    assert len(values) == 4 * 3
    assert all(len(found) == 2 and found[0] == found[1] for found in values.values())
    for in3, in5 in PRINTED_TWICE.items():
        assert CELLS[3, TASK2, in3] == CELLS[5, TASK2, in5]


def test_no_two_trials_are_the_same_experiment() -> None:
    # An option that is left out of the identity by mistake would give two models one id.
    specs: dict[str, TrialSpec] = {}
    for plan in PLANS.values():
        for spec in plan.specs():
            assert specs.setdefault(spec.trial_id, spec) == spec
    plain = {str(spec.to_dict()) for spec in specs.values()}
    assert len(plain) == len(specs) == 3 * (54 + 36 + 12 + 8 - 4)
