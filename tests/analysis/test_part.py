from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.part import MULTILABEL, SINGLE_LABEL, parts, printed_in, sizes_of_test
from mi2p.methods import METHODS
from mi2p.store import load
from sweeps.compare_food101_mmimdb import Options, plan
from tests.simulated import PAPER, Simulated


def test_the_papers_tables() -> None:
    # As printed in the paper, first and last row.
    task1 = printed_in(3, "crisismmd_task1")
    assert list(task1["Unimodal DenseNet"].values()) == [81.6, 79.1, 81.2]
    task3 = printed_in(3, "crisismmd_task3")
    assert list(task3["ME Cross-attention"].values()) == [76.5, 63.8, 75.7]
    assert printed_in(4, "mmimdb")["ME Score Fusion"] == {"macro_f1": 63.2, "micro_f1": 69.8}
    assert printed_in(4, "food101")["ViT"] == {"accuracy": 92.9}
    for table, dataset in ((3, "crisismmd_task2"), (4, "food101"), (4, "mmimdb")):
        found = printed_in(table, dataset)
        assert list(found) == [method.paper for method in METHODS.values()]
    assert printed_in(3, "food101") == {}


def test_a_part_for_each_data_set(tmp_path: Path) -> None:
    made = plan(Options(dataset="packaged", seeds=(0,)))
    Simulated(tmp_path, num_test=30).fill(made, {"cnn": 0.7, "gmu": 0.8})
    trials = load(tmp_path)
    sizes = sizes_of_test(tmp_path, made, trials)
    assert sizes == {"openclipart": 30, "openclipart-tags": 30}
    single, several = parts(made, trials, {}, sizes, {"accuracy": "Acc"}, tuned=True)
    assert (single.multilabel, single.primary_head) == (False, "Acc")
    assert dict(single.metrics) == {"accuracy": "Acc"}
    assert [len(part.rows) for part in (single, several)] == [18, 18]
    assert (several.multilabel, several.primary) == (True, "micro_f1")
    assert list(several.metrics) == ["macro_f1", "micro_f1", "macro_f1_tuned", "micro_f1_tuned"]
    assert len(single.accuracies()) == 2
    assert several.accuracies() == []
    assert dict(parts(made, trials, {}, sizes)[0].metrics) == dict(SINGLE_LABEL)
    assert dict(parts(made, trials, {}, sizes)[1].metrics) == dict(MULTILABEL)


@pytest.mark.parametrize(("single", "several"), [("food101", "mmimdb"), ("openclipart", "")])
def test_a_data_set_without_trials_has_the_metrics_of_its_protocol(
    tmp_path: Path, single: str, several: str
) -> None:
    several = several or f"{single}-tags"
    made = plan(Options(dataset="packaged" if "clip" in single else Options.dataset, seeds=(0,)))
    alone = replace(made, rows=tuple(row for row in made.rows if row.dataset == single))
    Simulated(tmp_path).fill(alone, {"cnn": 0.7})
    found = {part.dataset: part for part in parts(made, load(tmp_path), {}, {single: 120})}
    assert not found[single].multilabel
    assert found[several].multilabel
    assert found[several].num_test is None
    assert found[several].main_cell(found[several].rows[0]).n == 0


def test_a_size_is_of_the_predictions_that_can_be_read(tmp_path: Path) -> None:
    made = plan(Options(dataset="openclipart", seeds=(0, 1)))
    Simulated(tmp_path, num_test=30).fill(made, {"cnn": 0.7})
    first, second = (
        tmp_path / "predictions" / f"{spec.trial_id}.parquet" for spec in made.rows[0].specs
    )
    first.write_bytes(b"")
    assert sizes_of_test(tmp_path, made, load(tmp_path)) == {"openclipart": 30}
    second.write_bytes(second.read_bytes()[:300])
    assert sizes_of_test(tmp_path, made, load(tmp_path)) == {}


def test_thresholds_that_were_not_tuned_leave_a_cell_short(lab: Any) -> None:
    lab = lab.on("openclipart-tags")
    made = lab.plan(seeds=(0, 1))
    for spec, tuned in zip(made.rows[0].specs, ({"micro_f1_tuned": 0.7}, {}), strict=True):
        lab.trial(spec, {"macro_f1": 0.5, "micro_f1": 0.6, "macro_f1_tuned": 0.6} | tuned)
    (part,) = parts(made, load(lab.results), {}, {}, tuned=True)
    assert part.cell(part.rows[0], "macro_f1_tuned").values == (0.6, 0.6)
    micro = part.cell(part.rows[0], "micro_f1_tuned")
    assert micro.values == (0.7,)
    assert (micro.n, micro.want) == (1, 2)
    lab.trial(made.rows[0].specs[0], {"micro_f1": 0.6})
    (part,) = parts(made, load(lab.results), {}, {}, tuned=True)
    with pytest.raises(ValueError, match="must have test/macro_f1"):
        part.cell(part.rows[0], "macro_f1")


def test_a_plan_without_any_finished_trial_is_refused(tmp_path: Path) -> None:
    made = plan(Options(seeds=(0,)))
    other = plan(Options(dataset="openclipart", seeds=(0,)))
    Simulated(tmp_path).fill(other, {"cnn": PAPER["cnn"]})
    with pytest.raises(ValueError, match="has none of 36; failed: none"):
        parts(made, load(tmp_path), {}, {})
