"""Values of `--set`: which rows get them, what the plan is called, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mi2p.overrides import overridden, set_paths
from mi2p.plan import Plan, PlanRow
from sweeps import ablation_layers, compare_crisismmd, compare_food101_mmimdb

LAYERS = ablation_layers.plan(ablation_layers.Options())
CRISIS = compare_crisismmd.plan(compare_crisismmd.Options())


def by_key(plan: Plan) -> dict[str, PlanRow]:
    return {row.key: row for row in plan.rows}


def test_a_value_is_set_in_every_row_that_has_it_and_in_no_other() -> None:
    found = overridden(LAYERS, ("model.units.d_k=32", "train.lr=5e-4"))
    for old, new in zip(LAYERS.rows, found.rows, strict=True):
        assert (new.key, new.label, new.paper) == (old.key, old.label, old.paper)
        for before, after in zip(old.specs, new.specs, strict=True):
            units = before.model.units and replace(before.model.units, d_k=32)
            assert after == replace(
                before,
                model=replace(before.model, units=units),
                train=replace(before.train, lr=5e-4),
            )


def test_nothing_to_set_is_the_plan_itself() -> None:
    assert overridden(LAYERS, ()) is LAYERS


def test_values_that_rows_have_leave_their_ids() -> None:
    found = overridden(LAYERS, ("model.units.d_k=64", "train.batch_size=32"))
    assert list(found.specs()) == list(LAYERS.specs())
    assert found.name == "table5-openclipart-set-model.units.d_k-64-train.batch_size-32"


def test_values_of_some_rows() -> None:
    found = by_key(overridden(LAYERS, ("me_cnn-?:train.lr=1e-3", "me_bert*:train.lr=2e-3")))
    for key, row in by_key(LAYERS).items():
        expected = row.specs[0].train.lr
        if key in ("me_cnn-1", "me_cnn-2", "me_cnn-3", "me_cnn-4"):
            expected = 1e-3
        elif key.startswith("me_bert"):
            expected = 2e-3
        assert {spec.train.lr for spec in found[key].specs} == {expected}


def test_values_that_are_legal_together_only_are_set_at_once() -> None:
    # 9 heads divide no map of 128 pixels (32, 16, 8, 4 cells a side); at 192 they divide all.
    with pytest.raises(ValueError, match="heads must divide h\\*w"):
        overridden(LAYERS, ("me_cnn*:model.units.heads=9",))
    found = overridden(LAYERS, ("me_cnn*:model.units.heads=9", "data.image_size=192"))
    spec = by_key(found)["me_cnn-1-4"].specs[0]
    assert spec.model.units and (spec.model.units.heads, spec.data.image_size) == (9, 192)


def test_averages_are_of_the_new_trials_and_of_their_data() -> None:
    found = overridden(CRISIS, ("train.lr=1e-5", "data.max_tokens=32"))
    rows = {(row.dataset, row.key): row for row in found.rows}
    for dataset in CRISIS.datasets:
        cnn, bert, both = (rows[dataset, key] for key in ("cnn", "bert", "score_fusion"))
        for one, other, mean in zip(cnn.specs, bert.specs, both.specs, strict=True):
            assert mean.averages == (one.trial_id, other.trial_id)
            assert mean.data == one.data and mean.data.max_tokens == 32
    assert not {s.trial_id for s in found.specs()} & {s.trial_id for s in CRISIS.specs()}


def test_a_plan_with_values_has_a_name_of_its_own() -> None:
    def name(*assignments: str) -> str:
        found = overridden(LAYERS, assignments).name
        assert found.startswith("table5-openclipart-set-")
        return found.removeprefix("table5-openclipart-set-")

    assert name("train.lr=3e-5") == name("train.lr=0.00003") == "train.lr-3e-05"
    # The order in which they are typed tells no difference.
    assert name("train.lr=1e-5", "train.epochs=2") == name("train.epochs=2", "train.lr=1e-5")
    assert name("me_cnn-1:train.lr=1e-5") == "me_cnn-1-train.lr-1e-05"
    # What no file can be called, or that would be too long for one.
    odd, other = name("me_*:train.lr=1e-5"), name("me_?*:train.lr=1e-5")
    values = ("weight_decay=1e-5", "head_lr_multiplier=2", "batch_size=16", "epochs=4")
    long = name(*(f"train.{value}" for value in values))
    assert len({odd, other, long}) == 3
    for told in (odd, other, long):
        assert len(told) == 12 and set(told) <= set("0123456789abcdef")
    taps = {
        name(f"me_cnn-1-4:model.units.attach={taps}") for taps in ("1-3", "1,3", "1,2,3", "1-2,3")
    }
    assert len(taps) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("train.lr",), "a value is PATH=VALUE such as train.lr=3e-5, .* but got 'train.lr'"),
        (("=3",), "a value is PATH=VALUE"),
        (("train.rate=3",), "--set: .*train.rate.*train.lr"),
        (("train.lr=fast",), "--set: .*train.lr.*'fast'"),
        (("data.name=food101",), "data.name cannot be set, .*; --dataset says which"),
        (("model.visual=resnet50",), "model.visual cannot be set, .*; --visual, or --backbones"),
        (("me_*:model.name=cnn",), "model.name cannot be set"),
        (("seed=3",), "seed cannot be set, .*; --seeds says which"),
        (("me_*:data.limit=3",), "see the same data, but got 'me_.:data.limit=3'; without 'me_"),
        (("train.lr=1", "train.lr=1"), "set once in a row, .* for row 'cnn'"),
        (("train.lr=1", "bert:train.lr=2"), "'train.lr=1.*' and 'bert:train.lr=2.*' for row 'be"),
        (("model.fusion.kind=gmu",), "no row that is trained has what 'model.fusion.kind=gmu'"),
        (("me_cnn-5:train.lr=1",), "no row that is trained .* the rows are cnn, me_cnn-1, "),
        (("train.batch_size=2",), "row 'cnn' of openclipart: `batch_size >= 3` must hold, .*KEYS"),
        (("model.units.heads=7",), "row 'me_cnn-1' of openclipart: heads must divide .*: 7 does"),
        (
            ("me_cnn*:model.units.attach=1,2",),
            "rows 'me_cnn-1' and 'me_cnn-2' of openclipart .*: model.units.attach told them",
        ),
    ],
)
def test_what_is_refused(wrong: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overridden(LAYERS, wrong)


def test_an_average_has_nothing_to_set() -> None:
    with pytest.raises(ValueError, match="has what 'score_fusion:train"):
        overridden(CRISIS, ("score_fusion:train.lr=1",))


def test_one_row_may_become_what_another_is() -> None:
    # What a search finds for one row may be what another is declared to be.
    (attach,) = (row.specs[0].model.units for row in LAYERS.rows if row.key == "me_cnn-2")
    assert attach and attach.attach == (2,)
    found = by_key(overridden(LAYERS, ("me_cnn-1:model.units.attach=2",)))
    assert found["me_cnn-1"].specs == found["me_cnn-2"].specs


def test_a_value_of_one_data_set_is_refused_on_the_others() -> None:
    both = compare_food101_mmimdb.plan(compare_food101_mmimdb.Options())
    with pytest.raises(ValueError, match="of food101: `text_field` is an option of mmimdb"):
        overridden(both, ("data.text_field=plot_first",))


def test_paths_that_are_set() -> None:
    assignments = ("train.lr=1", "me_*:model.units.heads=4", "cnn:train.epochs=2")
    assert set_paths(assignments) == ("train.lr", "model.units.heads", "train.epochs")
    assert set_paths(assignments, "me_bert") == ("train.lr", "model.units.heads")
    assert set_paths((), "cnn") == ()


def test_what_helps_some_rows_is_told_where_it_does() -> None:
    hint = "KEYS:PATH=VALUE sets a value in some rows alone"
    with pytest.raises(ValueError, match=rf"batch_size=1\. {hint}"):
        overridden(LAYERS, ("train.batch_size=1",))
    with pytest.raises(ValueError, match="but got image_size=100") as caught:
        overridden(LAYERS, ("data.image_size=100",))
    assert hint not in str(caught.value)  # all rows see the same data
