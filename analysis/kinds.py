"""Between which rows of a table a rule is drawn, and which row each is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from analysis.cells import RowTrials
from mi2p.methods import METHODS, Group

Matches = Callable[[RowTrials], bool]

EXPANDS: Mapping[str, str] = MappingProxyType(
    {
        "me_cnn": "cnn",
        "me_bert": "bert",
        "me_score_fusion": "score_fusion",
        "me_feature_concat": "feature_concat",
        "me_cross_attention": "cross_attention",
    }
)
"""Expanded method to the plain method of its kind, by the keys of `mi2p.methods.METHODS`."""


def trained_modality(row: RowTrials) -> str:
    """The group of a row of Tables 5 and 6: which backbones are trained."""
    return " and ".join(row.row.specs[0].model.trains)


def same_backbone_alone(row: RowTrials) -> Matches | None:
    """Whether a row is what this one is compared with: the same backbones without units.

    None if this one has no units.
    """
    model = row.row.specs[0].model
    if model.units is None:
        return None

    def matches(other: RowTrials) -> bool:
        alone = other.row.specs[0].model
        if alone.units is not None or alone.trains != model.trains:
            return False
        return all(getattr(alone, part) == getattr(model, part) for part in model.trains)

    return matches


def method_group(row: RowTrials) -> Group:
    """The group of a row of Tables 3 and 4; `ValueError` if it is none of the methods."""
    key = row.row.key
    if key not in METHODS:
        raise ValueError(
            f"a row of tables 3 and 4 must have the key of a method, but got {key!r}; "
            f"methods: {', '.join(METHODS)}"
        )
    return METHODS[key].group


def same_kind_plain(row: RowTrials) -> Matches | None:
    """Whether a row is the plain method of this one's kind; None if this one is not expanded."""
    plain = EXPANDS.get(row.row.key)
    return None if plain is None else lambda other: other.row.key == plain
