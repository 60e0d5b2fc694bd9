"""What the rows of a table do not share although they are compared, in words.

`analysis/cells.py` refuses what makes rows incomparable: other data, or another precision. What
may differ by design (a text encoder that reads less, a CNN that is trained for fewer epochs) or by
circumstance (another GPU, an edited source file) is told, with the rows that it is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import pandas as pd

from analysis.cells import RowTrials
from mi2p.backbones import textual_card
from mi2p.model_spec import BOTH, UnitSpec
from mi2p.spec import TrialSpec

TOLD_APART: Mapping[str, str] = MappingProxyType(
    {"device": "devices", "torch_version": "torch versions", "code_version": "code versions"}
)
"""Columns that may differ between the rows of a table, which then says so."""

KEEP_WHOLE = ("cnn", "bert", "me_cnn", "me_bert", "fusion", "me_fusion")
"""Models that start from backbones as they are; others take parts of them, with other hashes."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A field of the spec that should be the same for all rows it changes something for."""

    title: str
    value: Callable[[TrialSpec], Any]
    matters: Callable[[TrialSpec], bool]


def _looks(spec: TrialSpec) -> bool:
    return spec.model.reads_images or "maps" in spec.model.frozen


def _trained(spec: TrialSpec) -> bool:
    return not spec.averages


OPTIONS = (
    Option(title="Image side in pixels", value=lambda s: s.data.image_size, matters=_looks),
    Option(title="Image view", value=lambda s: s.data.view, matters=_looks),
    Option(title="Image augmentation", value=lambda s: s.data.augment, matters=_looks),
    Option(
        title="Type of frozen features",
        value=lambda s: s.data.features,
        matters=lambda s: bool(s.model.frozen),
    ),
    Option(title="Epochs", value=lambda s: s.train.epochs, matters=_trained),
    Option(title="Batch size", value=lambda s: s.train.batch_size, matters=_trained),
    Option(
        title="Most examples of a forward pass",
        value=lambda s: s.train.micro_batch or "the batch",
        matters=_trained,
    ),
    Option(
        title="Images that cannot be used",
        value=lambda s: s.data.on_bad_image,
        matters=lambda s: True,
    ),
)


OF_TRAINED = (
    Option(title="Learning rate", value=lambda s: s.train.lr, matters=_trained),
    Option(
        title="Learning rate of the CNN (times)",
        value=lambda s: s.train.visual_lr_multiplier,
        matters=lambda s: _trained(s) and s.model.trains == BOTH,
    ),
    Option(
        title="Learning rate of classifiers (times)",
        value=lambda s: s.train.head_lr_multiplier,
        matters=_trained,
    ),
    Option(title="Weight decay", value=lambda s: s.train.weight_decay, matters=_trained),
    Option(
        title="Dropout before the classifier",
        value=lambda s: s.model.head_dropout,
        matters=_trained,
    ),
)
"""Should be the same for all rows that train the same backbones, which need their own rates."""


def notes(rows: Sequence[RowTrials]) -> list[str]:
    """A footnote for each condition that these rows of one data set do not share."""
    return [
        *_surroundings(rows),
        *_code(rows),
        *_weights(rows),
        *_left_out(rows),
        *_cut_texts(rows),
        *(note for option in OPTIONS for note in _option(option, rows)),
        *_unlike(_of_trained(_as_declared(rows))),
        *_unlike(_of_units(_as_declared(rows))),
    ]


def _surroundings(rows: Sequence[RowTrials]) -> list[str]:
    told = []
    for column, title in TOLD_APART.items():
        found = set(pd.concat([row.finished[column] for row in rows]).dropna())
        if len(found) > 1:
            told.append(f"Trials ran on several {title}: {', '.join(sorted(found))}.")
    return told


def _code(rows: Sequence[RowTrials]) -> list[str]:
    """Sources of one version that differ; trials that are older than the column are unknown."""
    hashes = pd.concat([row.finished["code"] for row in rows]).fillna("unknown")
    counts = sorted(Counter(hashes).items())
    if len(counts) < 2:
        return []
    told = ", ".join(f"{code} of {count} trials" for code, count in counts)
    mixed = [row.row.label for row in rows if row.finished["code"].nunique(dropna=False) > 1]
    within = f"; within a row: {', '.join(mixed)}" if mixed else ""
    return [f"Trials were made by different sources (hashes: {told}{within})."]


def _weights(rows: Sequence[RowTrials]) -> list[str]:
    """A backbone that does not start from the same weights in all rows."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        model = row.row.specs[0].model
        owners = {"visual": model.visual, "textual": model.textual}
        kinds = [*model.trains, *("textual" if k == "words" else "visual" for k in model.frozen)]
        for text in set(row.finished["weights"].dropna()):
            hashes = text.split()
            if model.name not in KEEP_WHOLE or len(hashes) != len(kinds):
                continue
            for kind, value in zip(kinds, hashes, strict=True):
                of = found.setdefault(str(owners[kind]), {})
                of.setdefault(value, []).append(row.row.label)
    told = []
    for backbone, by_hash in found.items():
        if len(by_hash) > 1:
            which = "; ".join(_each_once(labels) for labels in by_hash.values())
            told.append(f"Rows start from different pretrained weights of {backbone}: {which}.")
    return told


def _left_out(rows: Sequence[RowTrials]) -> list[str]:
    """Examples that no trial saw; rows written before they were counted have no number."""
    finished = pd.concat([row.finished for row in rows])
    counted = finished[finished["images_left_out"] > 0]
    told = []
    for fingerprint, counts in counted.groupby("data_fingerprint")["images_left_out"]:
        count = int(counts.max())
        noun, verb = ("example", "is") if count == 1 else ("examples", "are")
        told.append(
            f"{count} {noun} whose image cannot be used {verb} left out "
            f"(bad_images/{fingerprint}.csv beside the results)."
        )
    return told


def _cut_texts(rows: Sequence[RowTrials]) -> list[str]:
    """Where rows that read texts do not read equally much of them."""
    labels: dict[int, list[str]] = {}
    limits: set[tuple[int, int]] = set()
    for row in rows:
        spec = row.row.specs[0]
        if spec.model.textual is not None:
            labels.setdefault(spec.data.max_tokens, []).append(row.row.label)
            limits.add((spec.data.max_tokens, textual_card(spec.model.textual).max_tokens))
    longest = max(labels, default=0)
    told = [f"{size} in {', '.join(labels[size])}" for size in sorted(labels) if size < longest]
    if not told:
        return []
    forced = all(size == limit for size, limit in limits if size < longest)
    why = " (their encoders take no more)" if forced else ""
    return [f"Texts are cut at {longest} word pieces, but at {'; at '.join(told)}{why}."]


def _option(option: Option, rows: Sequence[RowTrials]) -> list[str]:
    """What rows that have a number do not share.

    By the backbones that are trained if it depends on them, as epochs do by default; else what
    most rows have, then which have something else.
    """
    labels: dict[Any, list[str]] = {}
    trained: dict[str, set[Any]] = {}
    for row in rows:
        spec = row.row.specs[0]
        if option.matters(spec) and not row.finished.empty:
            labels.setdefault(option.value(spec), []).append(row.row.label)
            trained.setdefault(" and ".join(spec.model.trains), set()).add(option.value(spec))
    if len(labels) < 2:
        return []
    if all(len(values) == 1 for values in trained.values()):
        told = (
            f"{value} ({'; '.join(name for name, values in trained.items() if value in values)})"
            for value in labels
        )
        return [f"{option.title}, by the backbones that are trained: {', '.join(told)}."]
    return [_but(option.title, labels)]


def _of_trained(rows: Sequence[RowTrials]) -> Iterator[tuple[str, Any, str]]:
    """Each option, by the backbones that are trained, its value and the label of a row."""
    for row in rows:
        spec = row.row.specs[0]
        for option in OF_TRAINED:
            if option.matters(spec):
                title = f"{option.title} ({' and '.join(spec.model.trains)})"
                yield title, option.value(spec), row.row.label


def _of_units(rows: Sequence[RowTrials]) -> Iterator[tuple[str, Any, str]]:
    """The same of units, by their backbone; where they are attached tells rows apart."""
    for row in rows:
        model = row.row.specs[0].model
        for modality, backbone in zip(BOTH, (model.visual, model.textual), strict=True):
            units = model.units_of(modality)
            for option in (field.name for field in fields(UnitSpec) if field.name != "attach"):
                if units is not None:
                    yield f"{option} of units in {backbone}", getattr(units, option), row.row.label


def _unlike(found: Iterable[tuple[str, Any, str]]) -> list[str]:
    """Of what has more than one value."""
    titles: dict[str, dict[Any, list[str]]] = {}
    for title, value, label in found:
        titles.setdefault(title, {}).setdefault(value, []).append(label)
    return [_but(title, labels) for title, labels in titles.items() if len(labels) > 1]


def _as_declared(rows: Sequence[RowTrials]) -> list[RowTrials]:
    """Rows with a number; what a search chose is told beside the table."""
    return [row for row in rows if not row.finished.empty and row.row.searched is None]


def _but(title: str, labels: Mapping[Any, Sequence[str]]) -> str:
    """What most rows have, then which have something else."""
    usual = max(labels, key=lambda value: len(labels[value]))  # the first of several
    others = [f"{value} in {_each_once(labels[value])}" for value in labels if value != usual]
    return f"{title}: {usual}, but {'; '.join(others)}."


def _each_once(labels: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(labels))
