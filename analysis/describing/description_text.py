"""The description of a data set as text for a terminal, and its tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from analysis import table1, table2
from analysis.describing.description import ClassCount, Description, Images
from analysis.describing.leaks import MEANING, Leaks
from analysis.typesetting.tabular import EMPTY, Row, Table, to_markdown
from mi2p.data.example import SPLITS
from mi2p.data.protocols import Protocol

WIDTH = 100
LONGEST_NAME = 48
ROWS_PER_PAGE = 40
"""Classes in one LaTeX table, so that it fits on a page."""
SHOWN_PROBLEMS = 10


def text(description: Description, leaks: Leaks, protocol: Protocol, why: str) -> str:
    """Everything in sections, at most 100 columns wide."""
    name = description.name
    kind = "any number of labels each" if description.multilabel else "one label each"
    total = sum(size.here for size in description.sizes)
    sections = {
        "Splits (Table 1)": [_plain(table1.table(name, description.sizes)), why],
        "Training (Table 2)": [_plain(table2.table(protocol))],
        "Texts": [_plain(text_table(description, protocol.data.max_tokens))],
        "Images": list(_images(description.images)),
        "Leaks between splits": [
            _plain(leak_table(description, leaks)),
            "\n".join(_compared(leaks)),
            MEANING,
        ],
        "Labels" if description.multilabel else "Classes": list(_classes(description)),
    }
    title = f"{name}: {total:,} examples, {len(description.classes)} classes, {kind}"
    blocks = [_wrapped(title), "=" * min(len(title), WIDTH), ""]
    blocks += [f"Fingerprint of the data: {description.fingerprint}", ""]
    for heading, parts in sections.items():
        blocks += [heading, "-" * len(heading), ""]
        for part in parts:
            blocks += [_wrapped(part), ""] if part else []
    return "\n".join(blocks)


def text_table(description: Description, max_tokens: int) -> Table:
    """Lengths of the texts of each split, in words."""
    rows = [
        Row(
            cells=(
                texts.split,
                f"{texts.empty:,}",
                _number(texts.median),
                _number(texts.most_of_95),
                _number(texts.longest),
                _share(texts.cut, size.here),
            )
        )
        for texts, size in zip(description.texts, description.sizes, strict=True)
    ]
    return Table(
        caption=f"Words in the texts of {description.name}.",
        label=f"tab:texts-{description.name}",
        heads=("Split", "empty", "median", "95th percentile", "longest", "surely cut"),
        groups=(tuple(rows),),
        footnotes=(
            f"surely cut: texts with more than {max_tokens - 2} words, as a text may have "
            f"{max_tokens} tokens, [CLS] and [SEP] among them, and a word is one token or more.",
        ),
    )


def leak_table(description: Description, leaks: Leaks) -> Table:
    """What examples of one split have in common with those of another."""
    sizes = {size.split: size.here for size in description.sizes}
    rows = []
    for overlap in leaks.overlaps:
        agreeing = sum(alike.same_label for alike in overlap.alike)
        found = (len(overlap.same_text), len(overlap.same_file), len(overlap.alike), agreeing)
        shares = (_share(count, sizes[overlap.of]) for count in found)
        rows.append(Row(cells=(f"{overlap.of} in {overlap.other}", *shares)))
    return Table(
        caption="Examples of one split that have something in common with another split.",
        label=f"tab:leaks-{description.name}",
        heads=("Examples of", "same text", "same file", "image looks alike", "and shares a label"),
        groups=(tuple(rows),),
        footnotes=(
            "same text: but for case and white space; empty texts are not compared.",
            "same file: an image file with the same bytes.",
            "shares a label: with the one image of the other split that looks most alike.",
        ),
    )


def class_tables(description: Description, *, rows: int) -> Iterator[Table]:
    """Examples with each label in each split, in tables of at most `rows` classes."""
    trained = next(size.here for size in description.sizes if size.split == "train")
    classes = description.classes
    what = "with each label" if description.multilabel else "of each class"
    num_parts = -(-len(classes) // rows)
    for part in range(num_parts):
        shown = classes[part * rows : (part + 1) * rows]
        where = f" (part {part + 1} of {num_parts})" if num_parts > 1 else ""
        yield Table(
            caption=f"Examples {what} of {description.name}{where}.",
            label=f"tab:classes-{description.name}" + (f"-{part + 1}" if num_parts > 1 else ""),
            heads=("Class", *SPLITS, "share of train"),
            groups=(tuple(_class_row(count, trained) for count in shown),),
        )


def _class_row(count: ClassCount, trained: int) -> Row:
    share = f"{100 * count.train / trained:.1f} %" if trained else EMPTY
    counts = (f"{number:,}" for number in (count.train, count.val, count.test))
    return Row(cells=(_shortened(count.name), *counts, share))


def _classes(description: Description) -> Iterator[str]:
    if description.majority is not None:
        most = description.majority
        yield (
            f"Always answering {most.name}, the most frequent class of train, is right for "
            f"{100 * most.test_accuracy:.1f} % of test."
        )
    if description.labels:
        yield _plain(
            Table(
                caption="Labels of an example.",
                label=f"tab:labels-{description.name}",
                heads=("Split", "mean", "most", "examples without any"),
                groups=(
                    tuple(
                        Row(
                            cells=(
                                labels.split,
                                EMPTY if labels.mean is None else f"{labels.mean:.2f}",
                                f"{labels.most:,}",
                                _share(labels.without, size.here),
                            )
                        )
                        for labels, size in zip(description.labels, description.sizes, strict=True)
                    ),
                ),
            )
        )
    for table in class_tables(description, rows=max(1, len(description.classes))):
        yield _plain(table)


def _images(images: Images) -> Iterator[str]:
    if images.smallest and images.largest:
        formats = ", ".join(f"{number:,} {format}" for format, number in images.formats)
        yield (
            f"Median width {_number(images.median_width)}, median height "
            f"{_number(images.median_height)} pixels; the smallest image is "
            f"{_size(images.smallest)}, the largest {_size(images.largest)}. Formats: {formats}."
        )
    unusable = images.unusable
    if not unusable:
        yield "No image was found to be unusable."
        return
    lines = [f"- {bad.example}: {bad.problem}" for bad in unusable[:SHOWN_PROBLEMS]]
    if len(unusable) > SHOWN_PROBLEMS:
        lines.append(f"- and {len(unusable) - SHOWN_PROBLEMS:,} more, in the JSON file")
    yield "\n".join([f"Images that cannot be used: {len(unusable):,}.", *lines])


def _compared(leaks: Leaks) -> Iterator[str]:
    for what, field in (
        ("Texts compared", "texts"),
        ("Image files compared", "files"),
        ("Images compared by their looks", "images"),
        ("Images left out as flat", "flat"),
        ("Images left out as unusable", "unusable"),
    ):
        numbers = (f"{getattr(split, field):,} of {split.split}" for split in leaks.compared)
        yield f"- {what}: {', '.join(numbers)}."


def _plain(table: Table) -> str:
    return to_markdown(table).rstrip("\n")


def _wrapped(block: str) -> str:
    """The block with its paragraphs wrapped; lines of a table are as narrow as they are made."""
    lines: list[str] = []
    for line in block.splitlines():
        if line.startswith("|") or not line:
            lines.append(line)
        else:
            indent = "  " if line.startswith("- ") else ""
            lines += textwrap.wrap(line, WIDTH, subsequent_indent=indent)
    return "\n".join(lines)


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:.1f} %)" if total else EMPTY


def _number(value: float | None) -> str:
    # A median of an even number of values may end in .5.
    return EMPTY if value is None else f"{value:,.1f}".removesuffix(".0")


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."
