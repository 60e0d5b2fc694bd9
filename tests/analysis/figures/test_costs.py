from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from analysis.cells import select
from analysis.figures import costs
from analysis.figures.costs import Point, device_seconds, front
from mi2p.plan import Plan, PlanRow
from mi2p.spec import FusionSpec, ModelSpec
from mi2p.store import load
from tests.analysis.conftest import Lab
from tests.analysis.figures.conftest import Remember, assert_readable, points, trained

FUSION = ModelSpec(
    name="fusion", visual="densenet121", textual="minilm", fusion=FusionSpec(kind="score")
)


def full(lab: Lab) -> Plan:
    """Rows with other costs, one on two processes, and an average of two of them."""
    plan = lab.plan(seeds=(0, 1))
    kinds = [
        (0.5, 1_000, 10.0, 1),
        (0.7, 90_000, 30.0, 1),
        (0.6, 500, 5.0, 2),
        (0.6, 95_000, 9, 1),
    ]
    for row, (accuracy, added, seconds, processes) in zip(plan.rows, kinds, strict=True):
        for spec in row.specs:
            trained(
                lab,
                spec,
                [accuracy],
                added_parameters=added,
                seconds=seconds + 2 * spec.seed,
                processes=processes,
            )
    parts = zip(plan.rows[0].specs, plan.rows[2].specs, strict=True)
    specs = tuple(
        replace(cnn, model=FUSION, averages=(cnn.trial_id, bert.trial_id)) for cnn, bert in parts
    )
    for spec in specs:
        trained(lab, spec, [0.8], added_parameters=1_500, seconds=0.0)
    mean = PlanRow(key="mean", label="Score Fusion", paper="", specs=specs)
    return Plan(name=plan.name, table=5, rows=(*plan.rows, mean))


def test_seconds_count_processes_and_the_parts_of_averages(lab: Lab) -> None:
    plan = full(lab)
    found = device_seconds(select(plan, load(lab.results)))
    assert found == pytest.approx(
        {"cnn": 11, "me_cnn-1-4": 31, "bert": 12, "me_bert-1-3": 10, "mean": 23}
    )


def test_an_average_whose_part_is_not_there_has_no_seconds(lab: Lab) -> None:
    plan = full(lab)
    rows = select(replace(plan, rows=plan.rows[2:]), load(lab.results))
    assert "mean" not in device_seconds(rows)


def point(number: int, value: float, **known: float) -> Point:
    return Point(
        row=None,  # type: ignore[arg-type]
        number=number,
        value=value,
        low=value,
        high=value,
        costs=known,
    )


def test_the_front_is_what_nothing_is_better_than() -> None:
    given = [
        point(1, 50, seconds=1),
        point(2, 49, seconds=2),
        point(3, 60, seconds=2),
        point(4, 60, seconds=2),
        point(5, 60, seconds=3),
        point(6, 99),
        point(7, 61, seconds=9),
    ]
    assert [one.number for one in front(given, "seconds")] == [1, 3, 4, 7]
    assert front([point(1, 50)], "seconds") == []
    literal = [
        one.number
        for one in given
        if "seconds" in one.costs
        and not any(
            other.value >= one.value
            and other.costs["seconds"] <= one.costs["seconds"]
            and (other.value, other.costs["seconds"]) != (one.value, one.costs["seconds"])
            for other in given
            if "seconds" in other.costs
        )
    ]
    assert [one.number for one in front(given, "seconds")] == literal


def test_both_panels(lab: Lab, remember: Remember) -> None:
    kept = remember(costs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one,) = costs.draw(lab.results, full(lab))
    by_parameters, by_seconds = kept[0].axes
    assert by_parameters.get_xscale() == "log" and by_seconds.get_xscale() == "linear"
    assert by_seconds.get_xlim()[0] == 0
    assert by_seconds.get_xlabel() == "seconds on CPUs"
    assert np.allclose(points(by_seconds, "o"), [(11, 50), (31, 70)])
    places = sorted(x for marker in "os^" for x, _ in points(by_seconds, marker))
    assert places == pytest.approx([10, 11, 12, 23, 31])
    for axes in kept[0].axes:
        assert sorted(text.get_text() for text in axes.texts) == ["1", "2", "3", "4", "5"]
    listed = [text.get_text() for text in kept[0].legends[0].get_texts()]
    assert listed[4] == "5  Score Fusion"
    assert "On the front: by parameters MiniLM and Score Fusion; by seconds" in one.alternative
    assert "(cpu)" in one.caption and "2 seeds each" in one.caption
    assert_readable(kept[0])


def test_what_ran_on_several_devices_does_not_compare(lab: Lab, remember: Remember) -> None:
    remember(costs)
    plan = lab.plan(seeds=(0,))
    for row, device in zip(plan.rows, ("cpu", "NVIDIA L4"), strict=False):
        trained(lab, row.specs[0], [0.5], added_parameters=5, device=device)
    (one,) = costs.draw(lab.results, plan)
    assert "(NVIDIA L4 and cpu)" in one.caption
    assert "Seconds on several kinds of devices do not compare." in one.caption


def test_without_any_cost_there_is_no_figure(lab: Lab) -> None:
    plan = lab.plan(seeds=(0,))
    lab.fill(plan.rows[0], [0.5])
    assert costs.draw(lab.results, plan) == []
