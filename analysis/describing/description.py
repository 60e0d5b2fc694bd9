"""Facts of a user's copy of a data set, to be held against what the paper says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.describing.pictures import Picture
from analysis.table1 import SplitSize, sizes
from mi2p.data.example import SPLITS, Dataset, Example


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """Number of examples with this label in train, val and test."""

    name: str
    train: int
    val: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Majority:
    """What always answering the most frequent class of training gets right."""

    name: str
    test_accuracy: float


@dataclass(frozen=True, kw_only=True)
class LabelNumbers:
    """Of a multi-label split: how many labels an example has."""

    split: str
    mean: float | None
    """None for a split without examples."""
    most: int
    without: int
    """Examples that have none."""


@dataclass(frozen=True, kw_only=True)
class TextLengths:
    """Of one split, in words (runs without white space). None for a split without examples."""

    split: str
    empty: int
    """Texts without a word."""
    median: float | None
    most_of_95: int | None
    """The least number of words that 95 % of the texts do not exceed."""
    longest: int | None
    cut: int
    """Texts with more words than there is room for tokens: a word is at least one token, so they
    are cut, and so are others whose words are split."""


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """An example whose image cannot be used."""

    example: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class Images:
    """Sizes in pixels, as in the headers of the files that have one. None if no file has."""

    median_width: float | None
    median_height: float | None
    smallest: tuple[int, int] | None
    """Width and height of the image with the fewest pixels."""
    largest: tuple[int, int] | None
    formats: tuple[tuple[str, int], ...]
    """Format and number of files, the most frequent first."""
    unusable: tuple[Unusable, ...]


@dataclass(frozen=True, kw_only=True)
class Description:
    """Everything that is told of a data set, leaks between its splits aside."""

    name: str
    multilabel: bool
    fingerprint: str
    """As in the rows of trials on all of it."""
    sizes: tuple[SplitSize, ...]
    classes: tuple[ClassCount, ...]
    """In the order of the data set."""
    majority: Majority | None
    """None for several labels, or without training or test examples."""
    labels: tuple[LabelNumbers, ...]
    """None of them for a single label."""
    texts: tuple[TextLengths, ...]
    images: Images


def facts(dataset: Dataset, pictures: Sequence[Picture], *, max_tokens: int) -> Description:
    """Describe `dataset`; `pictures[i]` is the image of `examples[i]`.

    `max_tokens` is the longest text in word pieces, with [CLS] and [SEP].
    """
    splits = {name: dataset.split(name) for name in SPLITS}
    counts = {name: class_counts(dataset, examples) for name, examples in splits.items()}
    return Description(
        name=dataset.name,
        multilabel=dataset.multilabel,
        fingerprint=dataset.fingerprint,
        sizes=sizes(dataset),
        classes=tuple(
            ClassCount(name=name, **{split: counts[split][i] for split in SPLITS})
            for i, name in enumerate(dataset.classes)
        ),
        majority=None if dataset.multilabel else _majority(dataset, counts),
        labels=tuple(_labels(name, splits[name]) for name in SPLITS if dataset.multilabel),
        texts=tuple(_texts(name, num_words(splits[name]), room=max_tokens - 2) for name in SPLITS),
        images=_images(dataset, pictures),
    )


def class_counts(dataset: Dataset, examples: Sequence[Example]) -> list[int]:
    """How many of the examples have each label, in the order of the classes."""
    counts = Counter(label for example in examples for label in example.labels)
    return [counts[label] for label in range(len(dataset.classes))]


def num_words(examples: Sequence[Example]) -> list[int]:
    """Words of each text."""
    return [len(example.text.split()) for example in examples]


def _majority(dataset: Dataset, counts: dict[str, list[int]]) -> Majority | None:
    train, test = counts["train"], counts["test"]
    if not sum(train) or not sum(test):
        return None
    most = train.index(max(train))
    return Majority(name=dataset.classes[most], test_accuracy=test[most] / sum(test))


def _labels(split: str, examples: Sequence[Example]) -> LabelNumbers:
    numbers = [len(example.labels) for example in examples]
    return LabelNumbers(
        split=split,
        mean=sum(numbers) / len(numbers) if numbers else None,
        most=max(numbers, default=0),
        without=numbers.count(0),
    )


def _texts(split: str, words: Sequence[int], *, room: int) -> TextLengths:
    return TextLengths(
        split=split,
        empty=words.count(0),
        median=float(np.median(words)) if words else None,
        most_of_95=int(np.percentile(words, 95, method="inverted_cdf")) if words else None,
        longest=max(words, default=None),
        cut=sum(number > room for number in words),
    )


def _images(dataset: Dataset, pictures: Sequence[Picture]) -> Images:
    sizes = [picture.size for picture in pictures if picture.size is not None]
    # Pixels first, then the size itself, so that ties do not depend on the order of files.
    by_pixels = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    formats = Counter(picture.format for picture in pictures if picture.format is not None)
    return Images(
        median_width=float(np.median([width for width, _ in sizes])) if sizes else None,
        median_height=float(np.median([height for _, height in sizes])) if sizes else None,
        smallest=by_pixels[0] if sizes else None,
        largest=by_pixels[-1] if sizes else None,
        formats=tuple(sorted(formats.items(), key=lambda pair: (-pair[1], pair[0]))),
        unusable=tuple(
            Unusable(example=example.id, problem=picture.problem)
            for example, picture in zip(dataset.examples, pictures, strict=True)
            if picture.problem is not None
        ),
    )
