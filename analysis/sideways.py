"""A table of several data sets: side by side on a page, one below the other in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from analysis.cells import RowTrials
from analysis.part import Part
from analysis.resolution import resolutions
from analysis.table1 import SETTINGS
from analysis.tabular import EMPTY, Row, Table, escape_markdown, grid, listed, number

Line = Mapping[str, RowTrials]
"""The rows of one key by their data set."""


def setting(dataset: str) -> str:
    """What the paper calls a data set; its own name if it is not in the paper."""
    return SETTINGS.get(dataset, dataset)


def wide(
    found: Sequence[Part],
    *,
    head: str,
    group: Callable[[RowTrials], str],
    caption: str,
    label: str,
    notes: Mapping[str, Sequence[str]],
    comments: tuple[str, ...],
) -> Table:
    """Our numbers in the shape of the paper's table: a row per method, data sets side by side.

    `notes` are by data set; one that is not of all says of which it is.
    """
    lines = list(_lines(found).values())
    heads = [title for part in found for title in part.metrics.values()]
    return Table(
        caption=f"{caption} All metrics in %.",
        label=label,
        heads=(head, *heads),
        groups=tuple(
            tuple(_row(line, found) for line in lines_of_group)
            for _, lines_of_group in itertools.groupby(lines, key=lambda line: group(_any(line)))
        ),
        footnotes=(*_merged(notes), *_resolution(found)),
        comments=comments,
        spans=tuple((setting(part.dataset), len(part.metrics)) for part in found),
        size="footnotesize",
        stacked=True,
    )


def sections(caption: str, tables: Mapping[str, Table]) -> str:
    """Markdown: the table of each data set under its name; what all note is told once."""
    all_notes = [set(table.footnotes) for table in tables.values()]
    common = set.intersection(*all_notes)
    lines = [escape_markdown(caption)]
    for dataset, table in tables.items():
        own = [note for note in table.footnotes if note not in common]
        lines += ["", f"### {escape_markdown(setting(dataset))}", "", *grid(table), *listed(own)]
    first = next(iter(tables.values()))
    shared = [note for note in first.footnotes if note in common]
    if shared:
        lines += ["", "On all data sets:", *listed(shared)]
    return "\n".join([*lines, ""])


def _lines(found: Sequence[Part]) -> dict[str, dict[str, RowTrials]]:
    lines: dict[str, dict[str, RowTrials]] = {}
    for part in found:
        for row in part.rows:
            line = lines.setdefault(row.row.key, {})
            if part.dataset in line:
                raise ValueError(
                    f"a method has one row on a data set, but {row.row.key!r} has several on "
                    f"{part.dataset}"
                )
            line[part.dataset] = row
    return lines


def _any(line: Line) -> RowTrials:
    return next(iter(line.values()))


def _row(line: Line, found: Sequence[Part]) -> Row:
    texts = [_any(line).row.label]
    for part in found:
        row = line.get(part.dataset)
        if row is None:
            texts += [EMPTY] * len(part.metrics)
            continue
        cells = part.cells(row).values()
        texts += [number(cell.mean, cell.std, n=cell.n, want=cell.want) for cell in cells]
    trials = (f"{dataset}: {row.provenance()}" for dataset, row in line.items())
    return Row(cells=tuple(texts), comment="; ".join(trials))


def _merged(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Every note once, after the names of the data sets it is about unless these are all."""
    owners: dict[str, list[str]] = {}
    for dataset, texts in notes.items():
        for text in texts:
            owners.setdefault(text, []).append(setting(dataset))
    return [
        text if len(about) == len(notes) else f"{', '.join(about)}: {text}"
        for text, about in owners.items()
    ]


def _resolution(found: Sequence[Part]) -> list[str]:
    best = {}
    for part in found:
        accuracies = [cell.mean for cell in part.accuracies() if cell.mean is not None]
        if accuracies and part.num_test:
            best[setting(part.dataset)] = (max(accuracies), part.num_test)
    return [resolutions(best)] if best else []
