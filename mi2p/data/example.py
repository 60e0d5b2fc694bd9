"""One labelled picture with its text, and a data set of them.

Every reader in this package returns a `Dataset`; training and analysis know nothing else about
where data came from. Standard library only, so a sweep script can import it without torch.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A picture, its text and its labels (class indices, increasing).

    A single-label example has exactly one label; a multi-label one may have none.
    """

    id: str
    image: Path
    text: str
    labels: tuple[int, ...]
    split: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Examples of one task, checked when made.

    Raises ValueError when a class name repeats, an id repeats, a split is unknown, or labels
    are not legal class indices for the kind of task.
    """

    name: str
    classes: tuple[str, ...]
    multilabel: bool
    examples: tuple[Example, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What the reader has to tell: which files it read, defects it met and how many."""

    def __post_init__(self) -> None:
        _check_unique("class names", self.classes)
        _check_unique("example ids", [example.id for example in self.examples])
        for example in self.examples:
            _check_split(example.split, f"of example {example.id!r}")
            self._check_labels(example)

    def _check_labels(self, example: Example) -> None:
        labels = example.labels
        # One order only, so that equal data has an equal fingerprint.
        if list(labels) != sorted(set(labels)):
            raise ValueError(
                f"Labels must be increasing and distinct, but example {example.id!r} has {labels}."
            )
        if any(not 0 <= label < len(self.classes) for label in labels):
            raise ValueError(
                f"Labels must be class indices 0 to {len(self.classes) - 1}, "
                f"but example {example.id!r} has {labels}."
            )
        if not self.multilabel and len(labels) != 1:
            raise ValueError(
                "A single-label example must have exactly one label, "
                f"but example {example.id!r} has {len(labels)}: {labels}."
            )

    def split(self, name: str) -> tuple[Example, ...]:
        """Return the examples of one split, in the data set's order; ValueError if unknown."""
        _check_split(name, "asked for")
        return tuple(example for example in self.examples if example.split == name)

    @cached_property
    def fingerprint(self) -> str:
        """Say which data this is, in 16 hex digits, so that a result row can name its data.

        Covers the content (ids, text, labels, splits, class names and image file sizes in
        bytes, none for a missing file); paths and times are left out, so two machines with the
        same files agree.
        """
        return _digest(
            [self.name, self.classes, self.multilabel],
            (
                [example.id, example.text, example.labels, example.split, size]
                for example, (size, _) in zip(self.examples, self._image_files, strict=True)
            ),
        )

    @cached_property
    def texts_fingerprint(self) -> str:
        """Like `fingerprint`, of the texts alone: what stores of texts are made from."""
        return _digest([], (example.text for example in self.examples))

    @cached_property
    def images_fingerprint(self) -> str:
        """Like `fingerprint`, of the image files alone, with sizes and modification times.

        A store must notice a picture that was replaced by one of the same size in bytes; a
        result row must not depend on when its data was copied.
        """
        return _digest(
            [],
            (
                [example.id, *stat]
                for example, stat in zip(self.examples, self._image_files, strict=True)
            ),
        )

    @cached_property
    def _image_files(self) -> tuple[tuple[int | None, int | None], ...]:
        """Size in bytes and modification time in ns of each image; None for a missing one."""
        return tuple(_stat(example.image) for example in self.examples)


def _stat(path: Path) -> tuple[int | None, int | None]:
    try:
        found = path.stat()
    except OSError:  # reported with every other bad image when they are decoded
        return None, None
    return found.st_size, found.st_mtime_ns


def _digest(head: object, rows: Iterable[object]) -> str:
    digest = hashlib.sha256(json.dumps(head).encode())
    for row in rows:
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()[:16]


def _check_unique(what: str, values: tuple[str, ...] | list[str]) -> None:
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(
            f"The {what} of a data set must be unique, but {len(repeated)} repeat: "
            f"{', '.join(map(repr, repeated[:5]))}."
        )


def _check_split(name: str, where: str) -> None:
    if name not in SPLITS:
        raise ValueError(
            f"A split must be one of {', '.join(SPLITS)}, but the one {where} is {name!r}."
        )
