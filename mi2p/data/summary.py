"""What a results folder keeps of a data set: its sizes and classes, by its fingerprint.

`results/datasets/<fingerprint>.json`. With it tables can be made, and a test split be judged,
where the data itself is not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mi2p.data.example import SPLITS, Dataset
from mi2p.files import write_whole

FOLDER = "datasets"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The examples of a split."""

    examples: int
    classes: tuple[int, ...]
    """How many have each class, in the order of the classes; of several labels one has many."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A data set as trials saw it: cut to its limit, without what could not be used."""

    name: str
    fingerprint: str
    """As trial rows name it."""
    multilabel: bool
    classes: tuple[str, ...]
    counts: Mapping[str, Counts]
    """By split."""

    def write(self, results: Path) -> Path:
        """Keep it in the results folder; whole or not at all."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        return write_whole(results / FOLDER / f"{self.fingerprint}.json", text)


def summarised(dataset: Dataset) -> Summary:
    """What is to be kept of `dataset`."""
    counts = {}
    for split in SPLITS:
        examples = dataset.split(split)
        of_class = Counter(label for example in examples for label in example.labels)
        counts[split] = Counts(
            examples=len(examples),
            classes=tuple(of_class[label] for label in range(len(dataset.classes))),
        )
    return Summary(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        multilabel=dataset.multilabel,
        classes=dataset.classes,
        counts=counts,
    )


def read_summaries(results: Path) -> dict[str, Summary]:
    """Fingerprint to summary, of all data sets of a results folder. One that older
    sweeps wrote has none.

    `ValueError` names a file that is not one.
    """
    found = {}
    for path in sorted((results / FOLDER).glob("*.json")):
        try:
            found[path.stem] = _from_plain(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no summary of a data set ({error!r}); delete it, and the sweep writes "
                "it again"
            ) from error
    return found


def _from_plain(plain: Mapping[str, Any]) -> Summary:
    counts = {
        split: Counts(examples=of["examples"], classes=tuple(of["classes"]))
        for split, of in plain["counts"].items()
    }
    return Summary(**{**plain, "classes": tuple(plain["classes"]), "counts": counts})
