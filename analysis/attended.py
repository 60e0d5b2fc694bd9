"""Which words and channels a MI2P unit brings together in one example, as numbers to be drawn.

Word pieces are merged to words by their mean; [CLS] and [SEP] are items of their own, which are
never among the words that are shown. A weight says little by itself, for a channel that is
attended whatever asks leads every list: the *contrast* is the weight minus the mean over all items
that ask. Of a transformer's unit these are words, of a CNN's unit channels.

The entropy of a distribution over n items is divided by log n: at 1 it is uniform, and a picture
of it says nothing.

Legend: H heads, L word pieces, I items (words and special pieces), c channels of h x w cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from mi2p.attention_file import Attention, Shown, Unit
from mi2p.sentences import SPECIAL, Sentence

Floats = NDArray[np.float64]
Kind = Literal["content", "stop", "sign", "special"]

NEARLY_UNIFORM = 0.97
"""Entropies from here on are told as nearly uniform."""
STRONGEST = 20
"""Channels of an item that its table has."""
WORDS = 3
"""Shown of a sentence, as in the paper's Figure 3."""
STOP_WORDS = frozenset(
    "a about after all also am an and any are as at be been before being but by can could "
    "did do does for from had has have he her here him his how i if in into is it its just "
    "me more most my no not of off on once only or other our out over rt she so some such "
    "than that the their them then there these they this those to too under up us very via "
    "was we were what when where which while who whom why will with would you your".split()
)
"""English words that say little by themselves, and what tweets have in their place."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A word, or a special piece."""

    text: str
    kind: Kind
    pieces: tuple[int, ...]
    """Their places in the sequence."""
    word: int = SPECIAL
    """Its index in the sentence's words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attended:
    """One unit's attention in one example, over its heads as asked for."""

    unit: Unit
    items: tuple[Item, ...]
    weights: Floats
    """(I, c) between items and channels, whichever of them attends."""
    contrast: Floats
    """(I, c) minus the mean over what attends."""
    entropy: Floats
    """(I,) of each item over channels; in a CNN's unit of the channels' shares in what an item
    is given."""
    spread: float
    """The mean entropy of what the unit's attending items attend to."""

    def channels(self, item: int, count: int) -> tuple[int, ...]:
        """The channels of largest contrast with an item, the largest first."""
        order = np.argsort(-self.contrast[item], kind="stable")
        return tuple(order[:count].tolist())

    def heat(self, item: int, channels: Sequence[int]) -> Floats:
        """(h, w) The maps of these channels, summed by their weights, from 0 to 1.

        A sum that is the same everywhere is 0.
        """
        chosen = list(channels)
        summed = np.tensordot(
            self.weights[item, chosen], self.unit.maps[chosen].astype(np.float64), axes=1
        )
        low, high = float(summed.min()), float(summed.max())
        return (summed - low) / (high - low) if high > low else np.zeros_like(summed)


def attended(attention: Attention, unit: Unit) -> Attended:
    """What a unit attends to in an example.

    The weights of a text's words need not sum to 1 where channels attend to words: the mean of a
    word's pieces is not what they have together.
    """
    items = items_of(attention.sentence)
    weights = over_heads(unit.weights.astype(np.float64), attention.shown.heads)
    if unit.modality == "visual":  # (c, L): channels attend
        spread = float(normalised_entropy(weights).mean())
        weights = weights.T
    merged = np.stack([weights[list(item.pieces)].mean(0) for item in items])  # (I, c)
    asking = 1 if unit.modality == "visual" else 0
    entropy = normalised_entropy(merged)
    return Attended(
        unit=unit,
        items=items,
        weights=merged,
        contrast=merged - merged.mean(asking, keepdims=True),
        entropy=entropy,
        spread=spread if unit.modality == "visual" else float(entropy.mean()),
    )


def over_heads(weights: Floats, heads: str) -> Floats:
    """(H, m, n) to (m, n): the `mean` or `max` of all heads, or one of them by its index."""
    found: Floats
    if heads == "mean":
        found = weights.mean(0)
    elif heads == "max":
        found = weights.max(0)
    else:
        found = weights[int(heads)]
    return found


def normalised_entropy(weights: Floats) -> Floats:
    """(m,) of the rows of (m, n), each scaled to sum to 1; from 0 to 1, and 1 if n is 1."""
    shares = weights / weights.sum(-1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    count = weights.shape[-1]
    if count == 1:
        return np.ones(len(weights))
    entropy: Floats = -(shares * logs).sum(-1) / np.log(count)
    return entropy


def items_of(sentence: Sentence) -> tuple[Item, ...]:
    """The words and special pieces of a sentence, in the order of their first pieces."""
    pieces: dict[tuple[int, int], list[int]] = {}
    for place, word in enumerate(sentence.word_of):
        own = (word, place if word == SPECIAL else 0)
        pieces.setdefault(own, []).append(place)
    return tuple(
        Item(
            text=sentence.pieces[places[0]] if word == SPECIAL else sentence.words[word],
            kind="special" if word == SPECIAL else kind_of(sentence.words[word]),
            pieces=tuple(places),
            word=word,
        )
        for (word, _), places in pieces.items()
    )


def kind_of(word: str) -> Kind:
    """Whether a word says something by itself."""
    if not any(character.isalpha() for character in word):
        return "sign"
    return "stop" if word.lower() in STOP_WORDS or len(word) == 1 else "content"


def shown_items(found: Attended, shown: Shown) -> tuple[int, ...]:
    """The items to be drawn, in the order of the sentence.

    Those of the words asked for; else the content words of lowest entropy, at most `WORDS` and
    none twice; of a text without content words, its stop words. `ValueError` for a word that is
    not in the text.
    """
    if shown.words:
        return tuple(_asked(found.items, word) for word in shown.words)
    for kind in ("content", "stop"):
        first: dict[str, int] = {}
        for index in np.argsort(found.entropy, kind="stable").tolist():
            if found.items[index].kind == kind:
                first.setdefault(found.items[index].text.lower(), index)
        if first:
            return tuple(sorted(list(first.values())[:WORDS]))
    return ()


def _asked(items: Sequence[Item], word: str) -> int:
    for index, item in enumerate(items):
        if item.kind != "special" and item.text.lower() == word.lower():
            return index
    there = ", ".join(dict.fromkeys(item.text for item in items if item.kind != "special"))
    raise ValueError(f"--words must be words of the text, but {word!r} is none; it has: {there}")


def shown_units(attention: Attention) -> tuple[Unit, ...]:
    """The units to be drawn: those asked for, else the last of each backbone."""
    taps = attention.shown.taps
    if taps:
        return tuple(unit for unit in attention.units if unit.tap in taps)
    last = {unit.modality: unit for unit in attention.units}
    return tuple(last.values())


def enlarged(heat: Floats, side: int) -> Floats:
    """(h, w) to (side, side), bilinear."""
    image = Image.fromarray(heat.astype(np.float32))
    found = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float64)
    return found


def strongest(attention: Attention, count: int = STRONGEST) -> pd.DataFrame:
    """A row per unit, item and each of its `count` channels of largest contrast, of all units.

    All weights, head by head and piece by piece, are in the .npz.
    """
    rows = []
    for unit in attention.units:
        found = attended(attention, unit)
        for index, item in enumerate(found.items):
            for rank, channel in enumerate(found.channels(index, count), start=1):
                rows.append(
                    {
                        "backbone": unit.modality,
                        "tap": unit.tap,
                        "heads": attention.shown.heads,
                        "item": index,
                        "text": item.text,
                        "kind": item.kind,
                        "entropy": found.entropy[index],
                        "rank": rank,
                        "channel": channel,
                        "weight": found.weights[index, channel],
                        "contrast": found.contrast[index, channel],
                    }
                )
    return pd.DataFrame(rows)
