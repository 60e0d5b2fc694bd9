from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from analysis.figures.axes_of_search import axes_of, tried
from mi2p.model_spec import LATE_FUSIONS
from mi2p.plan import PlanRow
from mi2p.spec import ModelSpec, UnitSpec
from mi2p.store import Status, Store, load, trial_row
from tests import a_search
from tests.analysis.conftest import CNN, ME_CNN, Lab


def search(
    lab: Lab,
    model: ModelSpec,
    tries: Sequence[tuple[Mapping[str, Any], float | None, Status]],
    *,
    key: str = "row",
) -> PlanRow:
    """A searched row, the first of whose configurations is as it is declared."""
    row = lab.row(key, "A row", model, seeds=(0, 1))
    specs = [a_search.tried(row, values) for values, _, _ in tries]
    for spec, (_, value, status) in zip(specs, tries, strict=True):
        a_search.keep(lab.results, spec, {} if value is None else {"val/accuracy": value}, status)
    return a_search.searched(row, trials=a_search.ids(specs), wanted=len(specs))


def test_what_became_of_each_configuration(lab: Lab) -> None:
    row = search(
        lab,
        CNN,
        [
            ({}, 0.5, "done"),
            ({"train.lr": 2e-4}, 0.4, "pruned"),
            ({"train.lr": 3e-4}, None, "error"),
            ({"train.lr": 4e-4}, None, "done"),
        ],
    )
    assert row.searched is not None
    lost = replace(row.searched, trials=("not-there", *row.searched.trials))
    found = tried(lost, load(lab.results))
    # What it had when it was pruned is no value, nor is that of one that is done without any.
    assert [(one.status, one.value) for one in found] == [
        ("done", 0.5), ("pruned", None), ("error", None), ("error", None)
    ]  # fmt: skip
    spec = found[0].spec
    broken = trial_row(spec, status="done", metrics={"val/accuracy": 0.5}) | {"spec": '{"a": 1}'}
    Store(lab.results).write_trial(broken)
    with pytest.raises(ValueError, match=f"trial {spec.trial_id} of the study .* none any more"):
        tried(row.searched, load(lab.results))


def test_rates_are_on_a_log_scale_and_choices_have_places(lab: Lab) -> None:
    row = search(
        lab,
        CNN,
        [
            ({"train.lr": 1e-5, "train.batch_size": 64}, 0.5, "done"),
            ({"train.lr": 1e-4, "train.batch_size": 256}, 0.6, "done"),
            ({"train.lr": 1e-3, "train.batch_size": 128}, 0.7, "done"),
        ],
    )
    assert row.searched is not None
    found = tried(row.searched, load(lab.results))
    lr, batch = axes_of(row, found)  # nothing else varies
    assert (lr.path, lr.title, lr.is_log) == ("train.lr", "lr", True)
    assert [lr.place(one) for one in found] == pytest.approx([0, 0.5, 1])
    assert [text for _, text in lr.ticks] == ["1e-5", "3e-5", "1e-4", "3e-4", "0.001"]
    assert dict((t, h) for h, t in lr.ticks)["3e-4"] == pytest.approx(math.log10(30) / 2)
    assert batch.ticks == ((0, "64"), (0.5, "128"), (1, "256"))
    assert [batch.place(one) for one in found] == [0, 1, 0.5]


def test_a_narrow_rate_has_its_ends_at_the_ticks(lab: Lab) -> None:
    tries = [({"train.lr": lr}, 0.5, "done") for lr in (1.2e-4, 1.6e-4)]
    row = search(lab, CNN, tries)  # type: ignore[arg-type]
    assert row.searched is not None
    (lr,) = axes_of(row, tried(row.searched, load(lab.results)))
    assert [text for _, text in lr.ticks] == ["1.2e-4", "1.6e-4"]


@pytest.mark.parametrize("many", [False, True])
def test_sets_of_layers_have_places_until_there_are_too_many(many: bool, lab: Lab) -> None:
    sets = [(4,), (1, 2), (1, 3), (2, 3), (1,), (2,), (3,)]
    sets += [(1, 2, 3), (1, 2, 3, 4)] if many else []
    tries = [({"model.units.attach": attach}, 0.5, "done") for attach in sets]
    row = search(lab, ME_CNN, tries)  # type: ignore[arg-type]
    assert row.searched is not None
    found = tried(row.searched, load(lab.results))
    (layers,) = axes_of(row, found)
    assert layers.counts_layers == many
    if many:
        assert layers.title == "number of layers"
        assert layers.ticks == ((0, "1"), (1 / 3, "2"), (2 / 3, "3"), (1, "4"))
        assert layers.place(found[1]) == 1 / 3
    else:
        assert [text for _, text in layers.ticks] == ["1", "2", "3", "4", "1-2", "1,3", "2-3"]


def test_units_of_two_backbones_are_told_apart(lab: Lab) -> None:
    model = replace(
        ME_CNN,
        name="me_fusion",
        textual_units=UnitSpec(attach=(1, 2)),
        fusion=LATE_FUSIONS["concat"],
    )
    tries = [
        ({"model.units.d_k": 16, "model.textual_units.d_k": 32}, 0.5, "done"),
        ({"model.units.d_k": 32, "model.textual_units.d_k": 16}, 0.5, "done"),
    ]
    row = search(lab, model, tries)  # type: ignore[arg-type]
    assert row.searched is not None
    found = tried(row.searched, load(lab.results))
    assert [axis.title for axis in axes_of(row, found)] == ["visual d_k", "textual d_k"]
