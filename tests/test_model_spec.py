"""What is declared of the models; `test_spec` holds every rule of their fields."""

from __future__ import annotations

from typing import get_args, get_type_hints

from mi2p.model_spec import BOTH, FUSION_TAKERS, TRAITS, FusionSpec, ModelSpec


def test_every_name_has_its_traits() -> None:
    assert set(get_args(get_type_hints(ModelSpec)["name"])) == set(TRAITS)


def test_units_are_in_backbones_that_are_trained() -> None:
    # The units of a CNN look at words, those of a transformer at maps.
    looks = {"visual": "words", "textual": "maps"}
    for traits in TRAITS.values():
        if traits.units:
            assert traits.frozen == tuple(looks[modality] for modality in traits.trains)
        if traits.fusion:
            assert traits.trains == BOTH


def test_options_of_fusions_are_taken_by_kinds_that_exist() -> None:
    kinds = set(get_args(get_type_hints(FusionSpec)["kind"]))
    assert {kind for takers in FUSION_TAKERS.values() for kind in takers} < kinds
    assert set(FUSION_TAKERS) | {"kind", "joint_loss"} == set(get_type_hints(FusionSpec))
