from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.cells import RowTrials, select
from analysis.kinds import (
    EXPANDS,
    method_group,
    same_backbone_alone,
    same_kind_plain,
    trained_modality,
)
from mi2p.methods import METHODS
from mi2p.store import load
from sweeps.compare_crisismmd import Options, plan


def rows(lab: Any) -> dict[str, RowTrials]:
    """The 18 methods, without any trial but one."""
    made = plan(Options(dataset="crisismmd_task3", seeds=(0,)))
    lab.fill(made.rows[0], [0.5])
    return {row.row.key: row for row in select(made, load(lab.results))}


def test_groups(lab: Any) -> None:
    found = rows(lab)
    assert {key: method_group(row) for key, row in found.items()} == {
        key: method.group for key, method in METHODS.items()
    }
    assert trained_modality(found["me_cnn"]) == "visual"
    assert trained_modality(found["gmu"]) == "visual and textual"
    stray = replace(found["cnn"], row=replace(found["cnn"].row, key="me-resnet50"))
    with pytest.raises(ValueError, match="key of a method, but got 'me-resnet50'; methods: cnn"):
        method_group(stray)


def test_an_expanded_method_is_compared_with_its_kind(lab: Any) -> None:
    found = rows(lab)
    for key, row in found.items():
        matches = same_kind_plain(row)
        if METHODS[key].group == "expanded":
            assert matches is not None
            assert [other for other in found if matches(found[other])] == [EXPANDS[key]]
            assert METHODS[key].paper.removeprefix("ME ") == (
                METHODS[EXPANDS[key]].paper.removeprefix("Unimodal ")
            )
        else:
            assert matches is None


def test_a_model_with_units_is_compared_with_its_backbones_alone(lab: Any) -> None:
    found = rows(lab)
    for key, plain in (("me_cnn", ["cnn"]), ("me_bert", ["bert"])):
        matches = same_backbone_alone(found[key])
        assert matches is not None
        assert [other for other in found if matches(found[other])] == plain
    assert same_backbone_alone(found["gmu"]) is None
