"""What is varied must matter: searches, tables, and values that a user sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from mi2p import steps
from mi2p.checks.effects import Task
from mi2p.checks.preflight import SAMPLES, check_paths, check_plan, check_space, drawn
from mi2p.models import expanded, injection
from mi2p.parameters import parameter_groups
from mi2p.paths import replaced
from mi2p.plan import Plan, PlanRow
from mi2p.search.spaces import Space, space_of
from mi2p.spec import TrialSpec
from sweeps import ablation_layers, compare_crisismmd
from tests.tiny_models import spec_of

TASK = Task(num_classes=3, multilabel=False, num_train=300)
NOTHING = "changes neither the model, the optimiser nor the data"


def base(name: str) -> TrialSpec:
    spec = spec_of(name)
    return replace(spec, train=replace(spec.train, batch_size=32))


@dataclass(frozen=True)
class Few:
    """A space of a few fields, each with a few values."""

    base: TrialSpec
    values: Mapping[str, tuple[Any, ...]]

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self.values)

    def sample(self, ask: Any) -> TrialSpec:
        drawn = {p: ask.suggest_categorical(p, values) for p, values in self.values.items()}
        return replaced(self.base, drawn)


def few(name: str, **values: tuple[Any, ...]) -> Space:
    """Of a tiny model; `units__heads` is `model.units.heads`."""
    dotted = {f"model.{path.replace('__', '.')}": values for path, values in values.items()}
    return cast(Space, Few(base(name), dotted))


@pytest.mark.parametrize(
    "name",
    ["cnn", "bert", "me_cnn", "me_bert", "fusion-concat", "me_fusion-cross_attention", "vilt"],
)
def test_every_field_of_a_search_matters(name: str) -> None:
    space = space_of(base(name))
    assert {"train.lr", "train.batch_size", "train.weight_decay"} <= set(space.paths)
    if name.startswith("me_"):
        assert {"model.units.attach", "model.units.heads", "model.units.init"} <= set(space.paths)
    assert check_space(space, TASK, name) == ()


def test_draws_are_the_same_and_begin_with_the_base() -> None:
    space = space_of(base("me_cnn"))
    first, second = (list(drawn(space)) for _ in range(2))
    assert first == second and first[0] == space.base
    assert len({spec.trial_id for spec in first}) > SAMPLES / 2


@pytest.mark.slow
def test_a_rate_that_is_ignored_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignoring(model: Any, spec: TrialSpec) -> list[dict[str, Any]]:
        return parameter_groups(model, replaced(spec, {"model.units.lr_multiplier": 1.0}))

    monkeypatch.setattr(steps, "parameter_groups", ignoring)
    message = rf"model\.units\.lr_multiplier of row 'mine' {NOTHING}: 1\.0 and [\d.]+ and [\d.]+ "
    with pytest.raises(ValueError, match=message):
        check_space(space_of(base("me_cnn")), TASK, "mine")


def test_an_initialisation_that_is_ignored_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = injection.VisualUnit.__init__

    def init(self: Any, spec: Any, **sizes: Any) -> None:
        own(self, replace(spec, init="default"), **sizes)
        self.init = spec.init

    monkeypatch.setattr(injection.VisualUnit, "__init__", init)
    with pytest.raises(
        ValueError, match=rf"model\.units\.init of row 'mine' {NOTHING}: 'default'"
    ):
        check_space(space_of(base("me_cnn")), TASK, "mine")
    check_space(space_of(base("me_bert")), TASK, "its units are others")


def test_a_field_that_matters_only_beside_others_is_told() -> None:
    # A bias that all keys share is removed by the softmax; where each channel has its own it
    # is not.
    space = few("me_bert", units__query_bias=(True, False), units__query_sharing=("shared",))
    with pytest.raises(ValueError, match=rf"query_bias of row 'r' {NOTHING}: True and False"):
        check_space(space, TASK, "r")
    both = ("shared", "per_channel")
    space = few("me_bert", units__query_bias=(True, False), units__query_sharing=both)
    (note,) = check_space(space, TASK, "r")
    assert note.startswith("model.units.query_bias changes nothing in row 'r' as declared, but")


@dataclass(frozen=True)
class Listed(Few):
    """A space of a few configurations; `values` has the paths."""

    configurations: tuple[Mapping[str, Any], ...] = ()

    def sample(self, ask: Any) -> TrialSpec:
        return replaced(self.base, ask.suggest_categorical("all", self.configurations))


def test_values_that_are_legal_only_elsewhere_are_tried_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The fourth map of 64 px has 4 cells, the first 256: only there 16 heads are legal.
    found = tuple({"model.units.attach": (1,), "model.units.heads": h} for h in (4, 16))
    space = cast(Space, Listed(base("me_cnn"), {"model.units.heads": ()}, found))
    (note,) = check_space(space, TASK, "r")
    assert note.startswith("model.units.heads changes nothing in row 'r' as declared, but")
    own = injection.VisualUnit.__init__
    monkeypatch.setattr(
        injection.VisualUnit,
        "__init__",
        lambda self, spec, **sizes: own(self, replace(spec, heads=4), **sizes),
    )
    with pytest.raises(ValueError, match=rf"heads of row 'r' {NOTHING}: 4 and 16 are the same"):
        check_space(space, TASK, "r")


def test_a_field_with_one_value_is_not_varied() -> None:
    assert check_space(few("me_bert", units__query_bias=(True,)), TASK, "r") == ()


def test_values_that_a_user_sets() -> None:
    names = ("model.units.heads", "model.units.attach", "train.lr", "train.micro_batch")
    others = ("data.image_size", "data.splits", "model.head_dropout", "train.epochs")
    check_paths(base("me_cnn"), [*names, *others, "model.units.init"], TASK, "r")
    with pytest.raises(ValueError, match=rf"query_bias of row 'r' {NOTHING}: True and False"):
        check_paths(base("me_bert"), ["train.lr", "model.units.query_bias"], TASK, "r")
    one = replaced(base("me_cnn"), {"model.units.attach": (1,)})
    check_paths(one, ["model.units.attach"], TASK, "r")
    # The largest batch of a table, though a smoke run has fewer examples.
    large = replaced(base("me_cnn"), {"train.batch_size": 256})
    check_paths(large, ["train.batch_size"], replace(TASK, num_train=48), "r")


def test_the_rows_of_tables_differ() -> None:
    task = Task(num_classes=11, multilabel=False, num_train=1000)
    visual, textual = "tiny_densenet", "tiny_bert"
    table5 = ablation_layers.plan(ablation_layers.Options(visual=visual, textual=textual))
    check_plan(table5, {"openclipart": task})
    options = compare_crisismmd.Options(dataset="packaged", visual=visual, textual=textual)
    check_plan(compare_crisismmd.plan(options), {"openclipart": task})


def test_rows_that_are_the_same_computation_are_refused() -> None:
    def row(key: str, spec: TrialSpec) -> PlanRow:
        return PlanRow(key=key, label=f"label of {key}", paper="", specs=(spec,))

    spec = base("me_bert")
    same = replaced(spec, {"model.units.query_bias": False})
    rows = (row("one", spec), row("other", base("bert")), row("third", same))
    plan = Plan(name="table", table=5, rows=rows)
    message = rf"rows 'one' \(label of one, trial {spec.trial_id}\) and 'third' .* {NOTHING}"
    with pytest.raises(ValueError, match=message):
        check_plan(plan, {"none": TASK})
    check_plan(replace(plan, rows=rows[:2]), {"none": TASK})
    check_plan(replace(plan, rows=(rows[0], rows[0])), {"none": TASK})  # a trial of two rows


def test_attachment_that_is_ignored_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = expanded.VisualBranch.attach

    def everywhere(self: Any, spec: Any, **sizes: Any) -> Any:
        return own(self, replace(spec, attach=(1, 2, 3, 4)), **sizes)

    monkeypatch.setattr(expanded.VisualBranch, "attach", everywhere)
    options = ablation_layers.Options(visual="tiny_densenet", textual="tiny_bert")
    table5 = ablation_layers.plan(options)
    with pytest.raises(ValueError, match=r"rows 'me_cnn-1' .* and 'me_cnn-2' "):
        check_plan(table5, {"openclipart": TASK})
