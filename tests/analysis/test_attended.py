"""Merged pieces, contrast, entropy and heat, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy

from analysis.attended import (
    STOP_WORDS,
    Attended,
    attended,
    enlarged,
    items_of,
    kind_of,
    normalised_entropy,
    over_heads,
    shown_items,
    shown_units,
    strongest,
)
from mi2p.attention_file import Attention, Shown, Unit
from mi2p.sentences import SPECIAL, Sentence
from tests.an_attention import an_attention

FLOODED = Sentence(
    text="the flooded",
    pieces=("[CLS]", "the", "flood", "##ed", "[SEP]"),
    words=("the", "flooded"),
    word_of=(SPECIAL, 0, 1, 1, SPECIAL),
)
MAPS = np.array([[[1, 2], [3, 4]], [[0, 0], [0, 8]], [[5, 5], [5, 5]]], np.float32)


def example(modality: Any, weights: Any, **shown: Any) -> tuple[Attention, Unit]:
    """`FLOODED` with one unit of these weights (H, m, n)."""
    unit = Unit(modality=modality, tap=1, weights=np.array(weights, np.float32), maps=MAPS)
    return replace(an_attention(), sentence=FLOODED, units=(unit,), shown=Shown(**shown)), unit


TEXTUAL = [
    [[0.2, 0.2, 0.6], [0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6]],
    [[0.2, 0.2, 0.6], [0.5, 0.25, 0.25], [0.1, 0.6, 0.3], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]],
]
"""(2 heads, 5 pieces, 3 channels)"""


def close(found: NDArray[Any], expected: Any) -> bool:
    return np.allclose(found, expected, atol=1e-6)


def test_pieces_of_a_word_are_merged_by_their_mean() -> None:
    found = attended(*example("textual", TEXTUAL))
    assert [(i.text, i.kind, i.pieces) for i in found.items] == [
        ("[CLS]", "special", (0,)),
        ("the", "stop", (1,)),
        ("flooded", "content", (2, 3)),
        ("[SEP]", "special", (4,)),
    ]
    merged = [[0.2, 0.2, 0.6], [0.5, 0.25, 0.25], [0.15, 0.6, 0.25], [0.2, 0.2, 0.6]]
    assert close(found.weights, merged)
    assert close(found.weights.sum(1), 1)


def test_the_contrast_is_to_the_mean_over_what_asks() -> None:
    found = attended(*example("textual", TEXTUAL))
    # Words ask: the mean of the four items is (0.2625, 0.3125, 0.425).
    assert close(found.contrast[2], [-0.1125, 0.2875, -0.175])
    assert found.channels(2, 2) == (1, 0)
    # Channel 2 has the largest weight of [CLS], [SEP], and is what all look at.
    assert found.channels(1, 1) == (0,)


def test_channels_that_ask() -> None:
    by_channel = np.array(TEXTUAL).swapaxes(1, 2)  # (2 heads, 3 channels, 5 pieces)
    by_channel /= by_channel.sum(-1, keepdims=True)
    found = attended(*example("visual", by_channel))
    mean = by_channel.mean(0)  # (3, 5)
    expected = np.stack([mean[:, 0], mean[:, 1], (mean[:, 2] + mean[:, 3]) / 2, mean[:, 4]])
    assert close(found.weights, expected)
    assert close(found.contrast, expected - expected.mean(1, keepdims=True))
    rows = [entropy(row) / math.log(5) for row in mean]
    assert found.spread == pytest.approx(np.mean(rows), abs=1e-6)
    shares = [entropy(row / row.sum()) / math.log(3) for row in expected]
    assert close(found.entropy, shares)


def test_entropies_are_those_of_scipy() -> None:
    found = attended(*example("textual", TEXTUAL))
    expected = [entropy(row) / math.log(3) for row in found.weights]
    assert close(found.entropy, expected) and found.spread == pytest.approx(np.mean(expected))
    assert close(normalised_entropy(np.array([[1.0, 0, 0], [2, 2, 2]])), [0, 1])
    assert close(normalised_entropy(np.array([[1.0]])), [1])  # nothing to choose from


def test_heads() -> None:
    weights = np.array(TEXTUAL)
    assert close(over_heads(weights, "mean"), (weights[0] + weights[1]) / 2)
    assert close(over_heads(weights, "max"), np.maximum(weights[0], weights[1]))
    assert close(over_heads(weights, "1"), weights[1])
    assert close(attended(*example("textual", TEXTUAL, heads="0")).weights[2], [0.2, 0.6, 0.2])


def test_heat_is_the_weighted_sum_from_its_least_to_its_greatest() -> None:
    found = attended(*example("textual", TEXTUAL))
    assert close(found.heat(2, (0,)), [[0, 1 / 3], [2 / 3, 1]])
    # 0.15 [1 2; 3 4] + 0.6 [0 0; 0 8] = [0.15 0.3; 0.45 5.4]
    assert close(found.heat(2, (0, 1)), np.array([[0, 0.15], [0.3, 5.25]]) / 5.25)
    assert close(found.heat(2, (2,)), 0)  # the same everywhere


def test_heat_is_enlarged_between_cells() -> None:
    found = enlarged(np.array([[0.0, 1], [0, 1]]), 4)
    assert close(found, [[0, 0.25, 0.75, 1]] * 4)


def test_what_a_word_is() -> None:
    kinds = {word: kind_of(word) for word in ("Rescue", "The", "2017", ",", "a", "x", "don't")}
    assert kinds == {
        "Rescue": "content",
        "The": "stop",
        "2017": "sign",
        ",": "sign",
        "a": "stop",
        "x": "stop",
        "don't": "content",
    }
    assert all(word == word.lower() for word in STOP_WORDS)


def by_entropy(*items: tuple[str, float]) -> Attended:
    """Words with these entropies, without [CLS] and [SEP]."""
    names = tuple(name for name, _ in items)
    sentence = Sentence(
        text=" ".join(names), pieces=names, words=names, word_of=tuple(range(len(names)))
    )
    _, unit = example("textual", TEXTUAL)
    nothing = np.zeros((len(items), 3))
    return Attended(
        unit=unit,
        items=items_of(sentence),
        weights=nothing,
        contrast=nothing,
        entropy=np.array([value for _, value in items]),
        spread=1.0,
    )


def test_three_content_words_of_lowest_entropy_in_the_order_of_the_text() -> None:
    words = (("flood", 0.7), ("the", 0.1), ("rescue", 0.6), ("team", 0.9), ("Flood", 0.5))
    found = by_entropy(*words, ("boat", 0.8), ("!", 0.0))
    assert shown_items(found, Shown()) == (2, 4, 5)  # one flood is enough
    assert shown_items(by_entropy(("of", 0.3), ("the", 0.2), ("!", 0)), Shown()) == (0, 1)
    assert shown_items(by_entropy(("!", 0.2), ("7", 0.1)), Shown()) == ()


def test_words_that_are_asked_for() -> None:
    found = by_entropy(("flood", 0.7), ("the", 0.1), ("rescue", 0.6))
    assert shown_items(found, Shown(words=("Rescue", "the"))) == (2, 1)
    with pytest.raises(ValueError, match="'boat' is none; it has: flood, the, rescue"):
        shown_items(found, Shown(words=("boat",)))


def test_special_pieces_are_never_asked_for() -> None:
    attention, unit = example("textual", TEXTUAL)
    with pytest.raises(ValueError, match="it has: the, flooded"):
        shown_items(attended(attention, unit), Shown(words=("[CLS]",)))


def test_the_last_unit_of_each_backbone_is_shown() -> None:
    places = [(u.modality, u.tap) for u in shown_units(an_attention())]
    assert places == [("visual", 4), ("textual", 3)]
    places = [(u.modality, u.tap) for u in shown_units(an_attention(taps=(1, 4)))]
    assert places == [("visual", 4), ("textual", 1)]


def test_the_table_has_the_strongest_channels_of_each_item() -> None:
    table = strongest(an_attention(), 2)
    assert len(table) == 3 * 5 * 2  # units, items, channels
    attention = an_attention()
    for row in table.to_dict("records"):
        place = (row["backbone"], row["tap"])
        (unit,) = (u for u in attention.units if (u.modality, u.tap) == place)
        found, item, channel = attended(attention, unit), row["item"], row["channel"]
        contrast = found.contrast[item].tolist()
        order = sorted(range(len(contrast)), key=contrast.__getitem__, reverse=True)
        assert channel == order[row["rank"] - 1]
        assert row["weight"] == found.weights[item, channel]
        assert row["contrast"] == contrast[channel]
        assert (row["text"], row["kind"]) == (found.items[item].text, found.items[item].kind)
