"""Numbers are worked by hand in the comments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.cells import Cell, find_plan, find_plans, paired, select
from mi2p.plan import Plan
from mi2p.store import load


def cell(values: dict[int, float], want: int = 3) -> Cell:
    ids = tuple(f"id{seed}" for seed in values)
    return Cell(seeds=tuple(values), values=tuple(values.values()), trial_ids=ids, want=want)


def test_mean_sample_deviation_and_standard_error() -> None:
    # Deviations from 0.72 are -0.02, 0, 0.02: std = sqrt(0.0008 / 2) = 0.02 (ddof=1; the
    # population's would be 0.0163), standard error 0.02 / sqrt(3) = 0.011547.
    made = cell({0: 0.70, 1: 0.72, 2: 0.74})
    assert made.mean == pytest.approx(0.72)
    assert made.std == pytest.approx(0.02)
    assert made.standard_error == pytest.approx(0.0115470)


def test_one_value_has_no_deviation_and_none_has_no_mean() -> None:
    one, empty = cell({0: 0.5}), cell({})
    assert (one.n, one.mean, one.std, one.standard_error) == (1, 0.5, None, None)
    assert (empty.n, empty.mean, empty.std, empty.standard_error) == (0, None, None, None)


def test_pairs_are_by_seed_and_only_of_shared_seeds() -> None:
    # Seeds 1 and 2 are shared: 0.72 - 0.64 = 0.08 and 0.74 - 0.65 = 0.09.
    gain = paired(cell({0: 0.70, 1: 0.72, 2: 0.74}), cell({2: 0.65, 1: 0.64, 7: 0.1}))
    assert gain.seeds == (1, 2)
    assert gain.values == pytest.approx((0.08, 0.09))
    assert (gain.n, gain.want) == (2, 3)


def test_a_cell_is_made_of_its_own_finished_trials_in_the_order_of_seeds(lab: Any) -> None:
    plan = lab.plan(seeds=(0, 1, 2))
    lab.fill(plan.rows[0], [0.60, 0.64, 0.65])
    lab.fill(plan.rows[1], [0.99, 0.99, 0.99])
    first, second, third, _ = select(plan, load(lab.results))
    found = first.cell("test/accuracy")
    assert found.seeds == (0, 1, 2)
    assert found.values == (0.60, 0.64, 0.65)
    assert found.trial_ids == tuple(spec.trial_id for spec in plan.rows[0].specs)
    assert second.cell("test/accuracy").mean == pytest.approx(0.99)
    assert (third.cell("test/accuracy").n, third.want) == (0, 3)


def test_only_done_trials_of_stage_confirm_enter(lab: Any) -> None:
    plan = lab.plan()
    specs = plan.rows[0].specs
    lab.trial(specs[0], {"accuracy": 0.6})
    lab.trial(specs[1], {"accuracy": 0.1}, status="error")
    lab.trial(specs[2], {"accuracy": 0.1}, status="pruned")
    row = select(plan, load(lab.results))[0]
    assert row.cell("test/accuracy").values == (0.6,)
    assert row.failed == (specs[1].trial_id,)

    # A plan that asks for search trials does not get them into a cell.
    searched = tuple(replace(spec, stage="search") for spec in specs)
    lab.trial(searched[0], {"accuracy": 0.9})
    rows = (replace(plan.rows[0], specs=searched), *plan.rows[1:])
    assert select(replace(plan, rows=rows), load(lab.results))[0].finished.empty


def test_a_stray_learning_rate_is_refused_even_before_it_ran(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6, 0.6])
    specs = list(plan.rows[0].specs)
    specs[2] = lab.spec(specs[2].model, 2, lr=1e-3)
    rows = (replace(plan.rows[0], specs=tuple(specs)), *plan.rows[1:])
    message = r"only in their seed, but train.lr is 0.0001 \(seed 0, 1\) and 0.001 \(seed 2\)"
    with pytest.raises(ValueError, match=message):
        select(replace(plan, rows=rows), load(lab.results))


def test_a_stray_learning_rate_in_the_stored_rows_is_refused(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6, 0.6, 0.6])
    trials = load(lab.results)
    trials.loc[trials["seed"] == 1, "train.lr"] = 0.5
    with pytest.raises(ValueError, match=r"train.lr is 0.0001 \(seed 0, 2\) and 0.5 \(seed 1\)"):
        select(plan, trials)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("data_fingerprint", "beef"),
        ("precision", "bfloat16"),
        ("torch_version", "3.0"),
        ("code_version", "9"),
    ],
)
def test_surroundings_that_change_numbers_are_refused_in_a_row(
    lab: Any, column: str, value: str
) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6, 0.6])
    lab.trial(plan.rows[0].specs[2], {"accuracy": 0.6}, **{column: value})
    with pytest.raises(ValueError, match=rf"{column} is .*'{value}' \(seed 2\)"):
        select(plan, load(lab.results))


def test_a_missing_fingerprint_is_a_difference(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6, 0.6])
    lab.trial(plan.rows[0].specs[2], {"accuracy": 0.6}, data_fingerprint=None)
    with pytest.raises(ValueError, match=r"'f00d' \(seed 0, 1\) and nothing \(seed 2\)"):
        select(plan, load(lab.results))


def test_a_row_may_run_on_several_devices(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6, 0.6])
    lab.trial(plan.rows[0].specs[2], {"accuracy": 0.9}, device="NVIDIA A100")
    assert select(plan, load(lab.results))[0].cell("test/accuracy").n == 3


@pytest.mark.parametrize("column", ["data_fingerprint", "precision"])
def test_rows_on_other_data_or_precision_are_not_compared(lab: Any, column: str) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6, 0.6, 0.6])
    lab.fill(plan.rows[1], [0.7, 0.7, 0.7], **{column: "other"})
    message = rf"must be comparable, but {column} is .*'other' \(row me_cnn-1-4\)"
    with pytest.raises(ValueError, match=message):
        select(plan, load(lab.results))


@pytest.mark.parametrize(
    ("dataset", "values"),
    [
        ("crisismmd_task2", {"splits": "other"}),
        ("crisismmd_task2", {"clean": "abavisani"}),
        ("crisismmd_task2", {"fix_mojibake": True}),
        ("mmimdb", {"text_field": "plot_first"}),
        ("openclipart", {"limit": 96}),
    ],
)
@pytest.mark.parametrize("within", [False, True])
def test_other_examples_or_texts_are_refused_also_without_fingerprints(
    lab: Any, dataset: str, values: dict[str, Any], within: bool
) -> None:
    plan = lab.on(dataset).plan()
    row = plan.rows[0]
    specs = [replace(spec, data=replace(spec.data, **values)) for spec in row.specs]
    kept = row.specs[1:] if within else ()
    odd = replace(row, specs=(*specs[: len(specs) - len(kept)], *kept))
    plan = replace(plan, rows=(odd, *plan.rows[1:]))
    for filled in plan.rows:
        lab.fill(filled, [0.6] * 3, data_fingerprint=None)
    rule = "may differ only in their seed" if within else "must be comparable"
    with pytest.raises(ValueError, match=rf"{rule}, but .*data.{next(iter(values))} is "):
        select(plan, load(lab.results))


def test_a_row_on_several_data_sets_is_refused(lab: Any) -> None:
    plan = lab.plan()
    first, *others = plan.rows[0].specs
    stray = replace(first, data=replace(first.data, name="openclipart-tags"))
    rows = (replace(plan.rows[0], specs=(*others, stray)), *plan.rows[1:])
    lab.fill(plan.rows[0], [0.6])
    message = r"row 'cnn' on openclipart may .* data.name is 'openclipart' \(seed 1, 2\) and 'open"
    with pytest.raises(ValueError, match=message):
        select(replace(plan, rows=rows), load(lab.results))


def test_rows_are_comparable_on_one_data_set_each(lab: Any) -> None:
    plan, tags = lab.plan(), lab.on("openclipart-tags")
    both = replace(plan, rows=(*plan.rows, *tags.plan().rows))
    for row in both.rows:
        tagged = row.dataset == "openclipart-tags"
        lab.fill(row, [0.6, 0.6, 0.6], data_fingerprint="beef" if tagged else "f00d")
    assert [row.row.dataset for row in select(both, load(lab.results))] == (
        ["openclipart"] * 4 + ["openclipart-tags"] * 4
    )
    lab.fill(both.rows[-1], [0.6, 0.6, 0.6], data_fingerprint="f00d")
    message = r"on openclipart-tags must be .* data_fingerprint is 'beef' \(row bert, cnn, me_cnn"
    with pytest.raises(ValueError, match=message):
        select(both, load(lab.results))


def test_a_finished_trial_without_the_metric_is_refused(lab: Any) -> None:
    plan = lab.plan()
    lab.trial(plan.rows[0].specs[0], {"accuracy": 0.6})
    row = select(plan, load(lab.results))[0]
    with pytest.raises(ValueError, match=f"test/macro_f1.*{plan.rows[0].specs[0].trial_id}"):
        row.cell("test/macro_f1")


def test_a_trial_with_two_rows_and_a_row_without_trials_are_refused(lab: Any) -> None:
    plan = lab.plan()
    lab.fill(plan.rows[0], [0.6])
    trials = load(lab.results)
    with pytest.raises(ValueError, match="a trial has one row"):
        select(plan, trials.loc[[0, 0]])
    hollow: Plan = replace(plan, rows=(replace(plan.rows[0], specs=()),))
    with pytest.raises(ValueError, match="'cnn' has none"):
        select(hollow, trials)


def test_the_only_plan_of_a_table_needs_no_name_and_several_are_listed(lab: Any) -> None:
    with pytest.raises(FileNotFoundError, match="no plan for table 5"):
        find_plan(lab.results, table=5)
    plan = lab.plan(name="table5-a")
    plan.write(lab.results)
    replace(plan, name="table6-a", table=6).write(lab.results)
    assert find_plan(lab.results, table=5) == plan
    replace(plan, name="table5-b").write(lab.results)
    with pytest.raises(ValueError, match="2 plans for table 5: table5-a, table5-b"):
        find_plan(lab.results, table=5)
    assert find_plan(lab.results, table=5, name="table5-b").name == "table5-b"
    with pytest.raises(FileNotFoundError, match="table5-a, table5-b, table6-a"):
        find_plan(lab.results, table=5, name="table5-c")
    of_two = find_plans(lab.results, tables=(5, 6))
    assert [found.name for found in of_two] == ["table5-a", "table5-b", "table6-a"]
    assert [found.name for found in find_plans(lab.results, tables=(3, 6))] == ["table6-a"]
    with pytest.raises(FileNotFoundError, match="no plan for table 3 or 4"):
        find_plans(lab.results, tables=(3, 4))


def test_what_a_model_does_not_read_may_differ_in_trials_that_have_run(lab: Any) -> None:
    # `--augment none --seeds 0` and then the default: the first trial of BERT is both's.
    plan = lab.plan(seeds=(0, 1))
    bert = next(row for row in plan.rows if row.key == "bert")
    first, second = bert.specs
    ran = replace(first, data=replace(first.data, augment="crop_flip", view="crop"))
    assert ran.trial_id == first.trial_id
    lab.fill(replace(bert, specs=(ran, second)), [0.6, 0.7])
    found = {row.row.key: row for row in select(plan, load(lab.results))}
    assert found["bert"].cell("test/accuracy").values == (0.6, 0.7)
