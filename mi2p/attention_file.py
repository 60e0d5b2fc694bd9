"""What a trained model attends to in one example, as a file that pictures are drawn from.

    results/attention/<trial_id>/<example>.npz

| array | shape | what |
|---|---|---|
| `weights.visual.K` | (H, c, L) | equation (1) at block K, channels over word pieces: sums are 1 |
| `weights.textual.K` | (H, L, c') | equation (2) at layer K, word pieces over channels: the same |
| `maps.visual.K` | (c, h, w) | Z at block K, before the unit adds to it |
| `maps.textual` | (c', h', w') | Z', which all units of the transformer read |
| `picture` | (S, S, 3) | uint8, as the model sees it |
| `pieces`, `word_of` | (L,) | word pieces, and the word of each, -1 for [CLS] and [SEP] |
| `words` | (W,) | of the text, in its order |
| `probabilities` | (K,) | predicted |
| `about` | () | JSON: trial, example, split, labels, text, and what is to be drawn |

All weights and maps are float32, padding is left out. NumPy and the standard library only.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mi2p.files import write_whole
from mi2p.model_spec import Modality
from mi2p.sentences import Sentence

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """One MI2P unit: H heads, L word pieces, c channels of h x w cells."""

    modality: Modality
    """Of the backbone that it sits in."""
    tap: int
    weights: Floats
    """(H, c, L) of a visual unit, (H, L, c) of a textual one."""
    maps: Floats
    """(c, h, w)"""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is drawn of an example."""

    taps: tuple[int, ...] = ()
    """Of units; none is the last of each backbone."""
    words: tuple[str, ...] = ()
    """None are those of lowest entropy."""
    heads: str = "mean"
    """Over heads: `mean`, `max`, or the index of one."""
    channels: int = 1
    """How many are summed to a heat map."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """What all units of a trial's model attend to in one example."""

    trial_id: str
    example: str
    split: str
    labels: tuple[str, ...]
    """Names of its classes."""
    predicted: tuple[str, ...]
    """Names of the classes that the model gives it."""
    probabilities: Floats
    sentence: Sentence
    picture: NDArray[np.uint8]
    """(S, S, 3)"""
    units: tuple[Unit, ...]
    shown: Shown
    difference: float | None
    """The largest one between what the model predicts and what the trial's row was made of, over
    all examples; None if the trial's predictions are not kept."""

    def write(self, results: Path) -> Path:
        """Write the file, whole or not at all; the same content gives the same bytes."""
        path = folder_of(results, self.trial_id) / f"{stem(self.example)}.npz"
        arrays: dict[str, NDArray[Any]] = {
            "picture": self.picture,
            "pieces": np.array(self.sentence.pieces),
            "word_of": np.array(self.sentence.word_of, np.int32),
            "words": np.array(self.sentence.words, np.str_),
            "probabilities": self.probabilities,
            "about": np.array(json.dumps(self._about(), sort_keys=True)),
        }
        for unit in self.units:
            arrays[f"weights.{unit.modality}.{unit.tap}"] = unit.weights
            arrays[_maps_of(unit.modality, unit.tap)] = unit.maps
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return write_whole(path, buffer.getvalue())

    def _about(self) -> dict[str, Any]:
        return {
            "trial_id": self.trial_id,
            "example": self.example,
            "split": self.split,
            "labels": self.labels,
            "predicted": self.predicted,
            "text": self.sentence.text,
            "shown": asdict(self.shown),
            "difference": self.difference,
        }


def folder_of(results: Path, trial_id: str) -> Path:
    """Where the files of a trial's examples are."""
    return results / "attention" / trial_id


def stem(example: str) -> str:
    """A file name for an example's id; other ids have other names."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", example)
    return plain if plain == example else f"{plain}-{zlib.crc32(example.encode()):08x}"


def read(path: Path) -> Attention:
    """The attention kept at `path`; `ValueError` for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _read({name: arrays[name] for name in arrays.files})
    except (KeyError, OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not readable as attention of an example ({error}); delete it and run "
            "sweeps/attention_maps.py again"
        ) from error


def _read(arrays: Mapping[str, NDArray[Any]]) -> Attention:
    about = json.loads(str(arrays["about"]))
    shown = about.pop("shown")
    sentence = Sentence(
        text=about.pop("text"),
        pieces=tuple(arrays["pieces"].tolist()),
        words=tuple(arrays["words"].tolist()),
        word_of=tuple(arrays["word_of"].tolist()),
    )
    return Attention(
        sentence=sentence,
        picture=arrays["picture"],
        probabilities=arrays["probabilities"],
        units=tuple(_units(arrays)),
        shown=Shown(**(shown | {name: tuple(shown[name]) for name in ("taps", "words")})),
        labels=tuple(about.pop("labels")),
        predicted=tuple(about.pop("predicted")),
        **about,
    )


def _units(arrays: Mapping[str, NDArray[Any]]) -> list[Unit]:
    found = []
    for name, weights in arrays.items():
        kind, _, place = name.partition(".")
        if kind == "weights":
            modality, tap = place.split(".")
            assert modality in ("visual", "textual")
            maps = arrays[_maps_of(modality, int(tap))]  # type: ignore[arg-type]
            unit = Unit(modality=modality, tap=int(tap), weights=weights, maps=maps)  # type: ignore[arg-type]
            found.append(unit)
    return sorted(found, key=lambda unit: (unit.modality != "visual", unit.tap))


def _maps_of(modality: Modality, tap: int) -> str:
    return "maps.textual" if modality == "textual" else f"maps.visual.{tap}"
