"""A data set at a glance: split sizes, lengths of texts, class counts and a few examples."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

from analysis.describing.description import ClassCount, Description, num_words
from analysis.figures.canvas import SPLIT_COLOURS, figure, png, shown
from mi2p.data.example import SPLITS, Dataset, Example
from mi2p.data.views import BadImage, View, decode

WIDTH = 12.0
TOP_HEIGHT = 2.9
ROWS_PER_COLUMN = 35
MAX_COLUMNS = 3
LOG_FROM = 20
"""Counts are on a log scale from this ratio of the largest to the smallest."""
LOG_WORDS_FROM = 100
SAMPLES = 12
SAMPLES_PER_ROW = 6
SAMPLE_HEIGHT = 2.85
SAMPLE_VIEW = View(size=200)
MARKERS = {"train": "o", "val": "s", "test": "^"}
LINES = {"train": "-", "val": "--", "test": ":"}


def draw(dataset: Dataset, description: Description) -> bytes:
    """The figure as a PNG file; the same data give the same bytes.

    Pictures that cannot be used are not among the examples shown.
    """
    columns = _columns(description.classes)
    rows = len(columns[0])
    # Names need 0.15 inches each; with few classes there is room for more.
    class_height = 0.9 + rows * (0.3 if rows <= 12 else 0.17)
    sampled = list(samples(dataset))
    sample_height = 0.3 + SAMPLE_HEIGHT * max(1, math.ceil(len(sampled) / SAMPLES_PER_ROW))
    heights = (TOP_HEIGHT, class_height, sample_height)
    with figure(WIDTH, sum(heights)) as made:
        top, middle, bottom = made.subfigures(3, 1, height_ratios=heights, squeeze=False)[:, 0]
        left, right = top.subplots(1, 2)
        _draw_sizes(left, description)
        _draw_words(right, dataset)
        _draw_classes(middle, columns, multilabel=description.multilabel)
        _draw_samples(bottom, dataset, sampled)
        return png(made)


def samples(dataset: Dataset) -> Iterator[tuple[Example, np.ndarray]]:
    """Up to 12 training examples and their pictures (S, S, 3), evenly over classes and in each.

    Of more than 12 classes, evenly spaced ones are shown; of an unusable picture, the next.
    """
    examples = dataset.split("train")
    present = sorted({label for example in examples for label in example.labels})
    if not present:
        return
    spaced = np.linspace(0, len(present) - 1, min(SAMPLES, len(present))).astype(int)
    used: set[str] = set()
    for place, index in enumerate(spaced):
        own = [example for example in examples if present[index] in example.labels]
        share = SAMPLES // len(spaced) + (place < SAMPLES % len(spaced))
        for turn in range(share):
            # The middle of each part: the first of a class are often one series by one hand.
            start = (2 * turn + 1) * len(own) // (2 * share)
            # A few are tried, not all: a folder without its images must not take hours.
            for example in [e for e in own[start:] if e.id not in used][:5]:
                try:
                    picture = decode(example.image, SAMPLE_VIEW).transpose(1, 2, 0)
                except BadImage:
                    continue
                used.add(example.id)
                yield example, picture
                break


def _draw_sizes(axes: Axes, description: Description) -> None:
    sizes = description.sizes
    known = any(size.paper is not None for size in sizes)
    height = 0.38 if known else 0.6
    for place, size in enumerate(sizes):
        ours = axes.barh(
            place - height / 2 if known else place,
            size.here,
            height,
            color=SPLIT_COLOURS[size.split],
        )
        if size.paper is None:
            axes.bar_label(ours, [f" {size.here:,}"])
        else:
            axes.bar_label(ours, [f" {size.here:,} here ({size.difference:+,})"])
            theirs = axes.barh(
                place + height / 2,
                size.paper,
                height,
                facecolor="white",
                edgecolor=SPLIT_COLOURS[size.split],
                hatch="///",
            )
            axes.bar_label(theirs, [f" {size.paper:,} in the paper"])
    axes.set_yticks(range(len(SPLITS)), SPLITS)
    axes.invert_yaxis()
    # Room for what is written beside the longest bar.
    axes.set_xlim(0, 1.5 * max(1, *(max(size.here, size.paper or 0) for size in sizes)))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("examples")
    axes.set_title(shown(f"{description.name}: examples", 60), parse_math=False)


def _draw_words(axes: Axes, dataset: Dataset) -> None:
    words = {split: np.array(num_words(dataset.split(split)), int) for split in SPLITS}
    longest = max((int(lengths.max()) for lengths in words.values() if len(lengths)), default=0)
    log = longest >= LOG_WORDS_FROM
    if log:
        # Whole numbers of words between edges, or short lengths would leave gaps.
        edges = np.unique(np.round(np.geomspace(1, longest + 1, 40)).astype(int))
    else:
        edges = np.arange(0, longest + 2, math.ceil((longest + 1) / 50))
        edges = np.append(edges, edges[-1] + 1) if edges[-1] <= longest else edges
    for split, lengths in words.items():
        if not len(lengths):
            continue
        counts, _ = np.histogram(lengths, edges)
        empty = int((lengths == 0).sum())
        label = split + (f" ({empty:,} empty{', not shown' if log else ''})" if empty else "")
        axes.stairs(
            100 * counts / len(lengths),
            edges if log else edges - 0.5,
            color=SPLIT_COLOURS[split],
            linestyle=LINES[split],
            linewidth=1.6,
            label=label,
        )
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("words in a text")
    axes.set_ylabel("% of the split's texts")
    axes.set_title("Length of texts")
    if any(len(lengths) for lengths in words.values()):
        axes.legend(frameon=False)


def _columns(classes: Sequence[ClassCount]) -> list[list[ClassCount]]:
    """The classes, the most frequent in training first, in columns of about equal length."""
    ordered = sorted(classes, key=lambda count: (-count.train, -count.test, count.name))
    number = min(MAX_COLUMNS, max(1, math.ceil(len(ordered) / ROWS_PER_COLUMN)))
    rows = math.ceil(len(ordered) / number)
    return [ordered[start : start + rows] for start in range(0, max(1, len(ordered)), rows or 1)]


def _draw_classes(
    part: SubFigure, columns: Sequence[Sequence[ClassCount]], *, multilabel: bool
) -> None:
    counts = [getattr(count, split) for column in columns for count in column for split in SPLITS]
    least = min(counts, default=0)
    log = max(counts, default=0) >= LOG_FROM * max(1, least)
    rows = len(columns[0])
    panels = part.subplots(1, len(columns), sharex=True, squeeze=False)[0]
    for axes, column in zip(panels, columns, strict=True):
        places = np.arange(len(column))
        for step, split in enumerate(SPLITS):
            axes.plot(
                [getattr(count, split) for count in column],
                # Beside each other: equal counts would hide each other.
                places + 0.22 * (step - 1),
                MARKERS[split],
                color=SPLIT_COLOURS[split],
                markersize=5 if rows <= 12 else 3.5,
                label=split,
                clip_on=False,
            )
        if log and least:
            axes.set_xscale("log")
        elif log:
            # Linear from 0 to 1, so that a class without examples has its place.
            axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        if log:
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlim(left=least / 1.5 if log else 0)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks(
            places,
            [shown(count.name, 30) for count in column],
            fontsize=9 if rows <= 12 else 7,
            parse_math=False,
        )
        axes.grid(axis="both", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("examples" + (" (log scale)" if log else ""))
    panels[0].legend(frameon=True, fontsize=8)
    what = "Examples with each label" if multilabel else "Examples of each class"
    part.suptitle(f"{what}, the most frequent in training first", fontsize=11)


def _draw_samples(
    part: SubFigure, dataset: Dataset, sampled: Sequence[tuple[Example, np.ndarray]]
) -> None:
    if not sampled:
        part.suptitle("No training example has a label and a usable image", fontsize=11)
        return
    part.suptitle("Training examples: label, image, text", fontsize=11)
    rows = math.ceil(len(sampled) / SAMPLES_PER_ROW)
    grid = part.subplots(rows, SAMPLES_PER_ROW, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (example, picture) in zip(grid.flat, sampled, strict=False):
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        axes.imshow(picture)
        names = ", ".join(dataset.classes[label] for label in example.labels)
        axes.set_title(_lines(names, 24, 2), fontsize=8, fontweight="bold", parse_math=False)
        axes.set_xlabel(_lines(example.text, 28, 3), fontsize=7.5, parse_math=False)


def _lines(text: str, width: int, most: int) -> str:
    """The text in at most `most` lines of `width` characters."""
    wrapped = textwrap.wrap(shown(text, 10 * width * most), width, break_on_hyphens=False)
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], shown(" ".join(wrapped[most - 1 :]), width)]
    return "\n".join(wrapped)
