"""The attention of an example, made by hand: numbers that can be followed."""

from __future__ import annotations

import numpy as np

from mi2p.attention_file import Attention, Shown, Unit
from mi2p.sentences import SPECIAL, Sentence

WORDS = ("Rescue", "the", "flooded")
TEXT = "Rescue the flooded"


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis, in float32."""
    powers = np.exp(scores)
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def an_attention(
    *,
    trial_id: str = "0123456789ab",
    example: str = "a/7",
    split: str = "test",
    words: tuple[str, ...] = WORDS,
    text: str = TEXT,
    taps: tuple[int, ...] = (),
    asked: tuple[str, ...] = (),
    heads: str = "mean",
    channels: int = 1,
    sharpness: float = 1.0,
    difference: float | None = 0.0,
) -> Attention:
    """Five pieces ([CLS], one per word, [SEP]); 3 channels in block 4, 4 in layers 1 and 3."""
    rng = np.random.default_rng(0)
    count = len(words) + 2
    maps = rng.normal(size=(4, 2, 2)).astype(np.float32)
    return Attention(
        trial_id=trial_id,
        example=example,
        split=split,
        labels=("rescue",),
        predicted=("others",),
        probabilities=np.array([0.25, 0.75], np.float32),
        sentence=Sentence(
            text=text if words else "",
            pieces=("[CLS]", *(word.lower() for word in words), "[SEP]"),
            words=words,
            word_of=(SPECIAL, *range(len(words)), SPECIAL),
        ),
        picture=rng.integers(0, 256, (32, 32, 3)).astype(np.uint8),
        units=(
            Unit(
                modality="visual",
                tap=4,
                weights=softmax(sharpness * rng.normal(size=(2, 3, count))),
                maps=rng.normal(size=(3, 2, 2)).astype(np.float32),
            ),
            *(
                Unit(
                    modality="textual",
                    tap=tap,
                    weights=softmax(sharpness * rng.normal(size=(2, count, 4))),
                    maps=maps,
                )
                for tap in (1, 3)
            ),
        ),
        shown=Shown(taps=taps, words=asked, heads=heads, channels=channels),
        difference=difference,
    )
