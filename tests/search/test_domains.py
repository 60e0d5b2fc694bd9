"""What a path may hold: subsets of taps, heads that are legal for them, values with labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from mi2p.model_spec import FusionSpec
from mi2p.search.domains import Choice, Heads, Layers, Rate, units_of
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from tests.tiny_models import spec_of


class Answers:
    """Gives these answers in turn, and keeps the questions."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self.left = list(answers)
        self.asked: list[tuple[Any, ...]] = []

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> Any:
        self.asked.append((name, low, high, log))
        return self.left.pop(0)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked.append((name, *choices))
        return self.left.pop(0)


def at(image_size: int, **units: Any) -> TrialSpec:
    """ME-DenseNet-121."""
    options = {"attach": (1,), "heads": 1, **units}
    return TrialSpec(
        data=DataSpec(image_size=image_size),
        model=ModelSpec(
            name="me_cnn", visual="densenet121", textual="minilm", units=UnitSpec(**options)
        ),
        train=TrainSpec(lr=1e-4, epochs=1),
    )


def question(spec: TrialSpec, drawn: dict[str, Any], path: str = "model.units.heads") -> str:
    """The name of the parameter that is asked for; empty if none is."""
    ask = Answers([1])
    Heads(path=path).draw(ask, spec, drawn)
    return str(ask.asked[0][0]) if ask.asked else ""


ALL = "1 2 4 8 16"
LEGAL_AT_224 = {
    (1,): "1 2 4 7 8 14 16",  # 56 x 56 = 3136 cells
    (2,): "1 2 4 7 8 14 16",  # 28 x 28 = 784
    (3,): "1 2 4 7 14",  # 14 x 14 = 196
    (4,): "1 7",  # 7 x 7 = 49
    (1, 2): "1 2 4 7 8 14 16",
    (1, 3): "1 2 4 7 14",
    (2, 4): "1 7",
    (1, 2, 3, 4): "1 7",
}


@pytest.mark.parametrize("attach", LEGAL_AT_224)
def test_heads_are_those_that_are_legal_for_the_taps(attach: tuple[int, ...]) -> None:
    drawn = {"model.units.attach": attach}
    assert question(at(224), drawn) == f"model.units.heads in {LEGAL_AT_224[attach]}"
    # Sides of 64, 32, 16 and 8 cells: powers of two divide them alike.
    assert question(at(256), drawn) == f"model.units.heads in {ALL}"
    # What was drawn counts, else what the row declares.
    assert question(at(224, attach=attach), {}) == question(at(224), drawn)


def test_project_lifts_the_rule_on_heads() -> None:
    every = " ".join(map(str, range(1, 17)))
    assert question(at(224, attach=(4,), head_mode="project"), {}).endswith(f" in {every}")


def test_a_single_count_is_not_asked_for() -> None:
    assert question(at(32), {"model.units.attach": (1, 4)}) == ""  # one cell at the last tap
    assert Heads(path="model.units.heads").draw(Answers([]), at(32, attach=(4,)), {}) == {
        "model.units.heads": 1
    }


def test_heads_of_a_transformer_divide_its_width() -> None:
    both = spec_of("me_fusion-concat")  # width 48, maps of 64 px: 2 x 2 cells in the last
    assert question(both, {}, "model.textual_units.heads").endswith(" in 1 2 3 4 6 8 12 16")
    assert question(both, {}).endswith(" in 1 2 4")
    alone = spec_of("me_bert")
    assert question(alone, {}).endswith(" in 1 2 3 4 6 8 12 16")


def test_units_are_named_by_the_part_that_has_them() -> None:
    found = {name: units_of(spec_of(name)) for name in ("cnn", "me_bert", "me_fusion-concat")}
    assert found["cnn"] == {}
    assert {part: modality for part, (modality, _) in found["me_bert"].items()} == {
        "model.units": "textual"
    }
    assert {part: modality for part, (modality, _) in found["me_fusion-concat"].items()} == {
        "model.units": "visual",
        "model.textual_units": "textual",
    }
    model = spec_of("me_fusion-concat").model
    for part, (_, units) in found["me_fusion-concat"].items():
        assert units == getattr(model, part.removeprefix("model."))


def test_every_subset_of_four_taps_is_reached_and_none_is_empty() -> None:
    taps = Layers(path="model.units.attach", of=(1, 2, 3, 4))
    reached = set()
    for answers in product((False, True), repeat=4):
        ask = Answers(answers)
        attach = taps.draw(ask, at(256), {})["model.units.attach"]
        reached.add(attach)
        # The inverse has every answer that was given.
        given = {name: answer for (name, *_), answer in zip(ask.asked, answers, strict=False)}
        params = taps.params(at(256, attach=attach))
        assert given.items() <= params.items()
        assert len(ask.asked) == (4 if any(answers[:3]) else 3)
    assert len(reached) == 15 and () not in reached


def test_a_fusion_is_chosen_with_all_its_fields_and_known_by_its_kind() -> None:
    own = FusionSpec(kind="score", joint_loss="branches", score_space="logits")
    kinds = Choice(path="model.fusion.kind", values=(FusionSpec(kind="concat"), own))
    ask = Answers(["score"])
    assert kinds.draw(ask, spec_of("fusion-concat"), {}) == {
        "model.fusion.kind": "score",
        "model.fusion.joint_loss": "branches",
        "model.fusion.score_space": "logits",
        "model.fusion.gates": "cross",
        "model.fusion.sketch": 16000,
        "model.fusion.gate_at": "product",
    }
    assert ask.asked == [("model.fusion.kind", "concat", "score")]
    assert kinds.params(spec_of("fusion-concat")) == {"model.fusion.kind": "concat"}


def test_a_rate_is_drawn_by_its_logarithm() -> None:
    ask, spec = Answers([2e-4]), at(256)
    rate = Rate(path="train.lr", low=1e-5, high=1e-3)
    assert rate.draw(ask, spec, {}) == {"train.lr": 2e-4}
    assert ask.asked == [("train.lr", 1e-5, 1e-3, True)]
    assert rate.params(replace(spec, train=replace(spec.train, lr=2e-4))) == {"train.lr": 2e-4}


def test_domains_are_plain_data() -> None:
    domains = (
        Rate(path="train.lr", low=1e-5, high=1e-3),
        Choice(path="model.fusion.kind", values=(FusionSpec(kind="concat"),)),
        Layers(path="model.units.attach", of=(1, 2)),
        Heads(path="model.units.heads"),
    )
    plain = [domain.to_dict() for domain in domains]
    assert [entry["domain"] for entry in plain] == ["Rate", "Choice", "Layers", "Heads"]
    assert plain[0] == {"domain": "Rate", "path": "train.lr", "low": 1e-5, "high": 1e-3}
    assert json.loads(json.dumps(plain))[1]["values"][0]["kind"] == "concat"
