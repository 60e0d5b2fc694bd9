"""What is refused before the first trial, of plans whose data is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mi2p.checks.trials import check_trials, fitting, tasks_of
from mi2p.ground import Ground
from mi2p.nodes import Memory
from mi2p.options import SweepOptions
from mi2p.plan import Plan
from mi2p.trainable import Places
from sweeps.ablation_layers import Options, plan


@pytest.fixture
def ground(drawings: Path, tmp_path: Path) -> Ground:
    places = Places(
        results=str(tmp_path), cache=str(tmp_path / "cache"), data=str(drawings), weights=None
    )
    return Ground(places={"openclipart": places}, slots=2)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(
        visual="tiny_densenet", textual="tiny_bert", smoke=True, cache=tmp_path / "cache"
    )


def test_the_task_is_that_of_the_data(options: Options, ground: Ground) -> None:
    (task,) = tasks_of(plan(options).specs(), ground).values()
    assert (task.num_classes, task.multilabel, task.num_train) == (11, False, 48)


def test_rows_of_table_5_are_not_refused(options: Options, ground: Ground) -> None:
    ground = replace(ground, memory=Memory(nbytes=2**33, bfloat16=False, gpu=False))
    table = plan(options)
    few = Plan(name="few", table=5, rows=table.rows[:3])
    costs = check_trials(options, few, few.specs(), ground)
    # Units make a trial longer, and so do epochs.
    alone, expanded, _ = (row.specs[0] for row in few.rows)
    assert costs[expanded.trial_id] > costs[alone.trial_id] > 0
    longer = replace(few.rows[0], specs=(replace(alone, train=replace(alone.train, epochs=3)),))
    plan_of_longer = Plan(name="longer", table=5, rows=(longer,))
    (cost,) = check_trials(options, plan_of_longer, plan_of_longer.specs(), ground).values()
    assert cost == 3 * costs[alone.trial_id]


def test_rows_that_are_the_same_computation_are_refused(options: Options, ground: Ground) -> None:
    table = plan(options)
    cnn = table.rows[0]
    # With so few examples both have one batch in one piece.
    whole = cnn.specs[0].train.batch_size
    train = replace(cnn.specs[0].train, batch_size=2 * whole, micro_batch=whole + 20)
    other = replace(cnn, key="other", specs=(replace(cnn.specs[0], train=train),))
    same = replace(train, micro_batch=0)
    cnn = replace(cnn, specs=(replace(cnn.specs[0], train=same),))
    both = Plan(name="two", table=5, rows=(cnn, other))
    with pytest.raises(
        ValueError, match=r"rows 'cnn' .* and 'other' .* changes neither the model"
    ):
        check_trials(options, both, both.specs(), ground)


def test_a_value_that_is_set_and_changes_nothing_is_refused(
    options: Options, ground: Ground
) -> None:
    table = plan(options)
    wanted = replace(options, overrides=("me_bert-1:model.units.query_bias=false",))
    with pytest.raises(ValueError, match=r"model\.units\.query_bias of row 'me_bert-1'"):
        check_trials(wanted, table, table.specs(), ground)


def test_what_cannot_fit_is_refused_by_name(options: Options, ground: Ground) -> None:
    ground = replace(ground, memory=Memory(nbytes=100_000, bfloat16=False, gpu=False))
    table = plan(options)
    first = Plan(name="one", table=5, rows=table.rows[:1])
    with pytest.raises(ValueError, match="tiny random DenseNet, seed 0: a batch of 24 needs"):
        check_trials(options, first, first.specs(), ground)


def test_where_the_memory_is_unknown_all_fits(ground: Ground) -> None:
    assert fitting(SweepOptions(), ground) is None
