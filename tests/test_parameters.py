"""Learning rates of every part of a model, and the fingerprints of what it starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mi2p.inputs import prepare
from mi2p.models import build
from mi2p.models.weights import weights_fingerprint
from mi2p.parameters import parameter_groups, pretrained_weights
from mi2p.runtime import Runtime
from mi2p.spec import TrialSpec
from tests.planted import planted_xor, register
from tests.tiny_models import spec_of


def with_rates(name: str, **train: Any) -> TrialSpec:
    spec = spec_of(name, lr_multiplier=3)
    return replace(spec, train=replace(spec.train, head_lr_multiplier=10, **train))


@pytest.mark.parametrize(
    ("name", "rates", "expected"),
    [
        ("bert", {}, {"branch.backbone": 1e-3, "head": 1e-2}),
        ("me_cnn", {}, {"branch.backbone": 1e-3, "branch.units": 3e-3, "head": 1e-2}),
        (
            "me_fusion-gmu",
            {"visual_lr_multiplier": 2.0},
            {
                "visual.backbone": 2e-3,
                "visual.units": 6e-3,
                "textual.backbone": 1e-3,
                "textual.units": 3e-3,
                "fusion": 1e-2,
                "head": 1e-2,
            },
        ),
        (
            "fusion-score",
            {"visual_lr_multiplier": 2.0},
            {"visual.backbone": 2e-3, "textual.backbone": 1e-3, "heads": 1e-2},
        ),
    ],
)
def test_each_part_learns_at_its_rate(
    name: str, rates: dict[str, float], expected: dict[str, float]
) -> None:
    spec = with_rates(name, **rates)
    model = build(spec, 2, stored=("words", "maps"))
    groups = parameter_groups(model, spec)
    lr_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(lr_of) == sum(len(group["params"]) for group in groups)  # each once
    found = {
        next(part for part in expected if k.startswith(f"{part}.")): lr_of[id(p)]
        for k, p in model.named_parameters()
    }
    assert found == pytest.approx(expected)


def test_what_no_file_had_learns_as_fast_as_a_head() -> None:
    spec = with_rates("visualbert")
    model = build(spec, 2, stored=("maps",))
    lr_of = {id(p): g["lr"] for g in parameter_groups(model, spec) for p in g["params"]}
    added = {id(p) for p in model.added_parameters()}
    head = {id(p) for p in model.get_submodule("head").parameters()}
    assert head < added
    assert {lr_of[key] for key in added} == {1e-2}
    assert {lr for key, lr in lr_of.items() if key not in added} == {1e-3}


@pytest.mark.parametrize(
    ("name", "augment", "expected"),
    [
        ("cnn", "none", "cnn"),
        ("me_cnn", "none", "cnn bert"),
        ("me_bert", "none", "bert cnn"),
        ("me_bert", "crop_flip", "bert cnn"),
        ("mmbt", "none", "cnn bert"),
        ("me_fusion-concat", "none", "cnn bert bert cnn"),
    ],
)
def test_weights_that_a_trial_starts_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, augment: str, expected: str
) -> None:
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=16))
    runtime = Runtime(cache=tmp_path / "cache", device="cpu")
    spec = spec_of(name)
    data = replace(spec.data, name="planted", augment=augment)  # type: ignore[arg-type]
    inputs = prepare(data, spec.model, runtime)
    model = build(replace(spec, data=data, seed=5), 2, stored=inputs.stored)
    of = {"cnn": "tiny_densenet", "bert": "tiny_bert"}
    wanted = [weights_fingerprint(of[each], None) for each in expected.split()]
    assert pretrained_weights(model, inputs) == " ".join(wanted)
