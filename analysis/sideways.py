"""A table of several data sets: side by side on a page, one below the other in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from analysis.cells import RowTrials
from analysis.lines import DIFFERS, ours, theirs
from analysis.studied import Studied
from analysis.table1 import SETTINGS
from analysis.tracing.provenance import of_row
from analysis.typesetting.tabular import EMPTY, Row, Table, escape_markdown, grid, listed

Line = Mapping[str, RowTrials]
"""The rows of one key by their data set."""
Text = Callable[[RowTrials, Studied, str], str]
"""What is printed of a row's metric."""


def setting(dataset: str) -> str:
    """What the paper calls a data set; its own name if it is not in the paper."""
    return SETTINGS.get(dataset, dataset)


def wide(
    found: Sequence[Studied],
    *,
    head: str,
    group: Callable[[RowTrials], str],
    caption: str,
    label: str,
    footnotes: Sequence[str],
    comments: tuple[str, ...],
) -> Table:
    """Our numbers in the shape of the paper's table: a row per method, data sets side by side.

    A mark at the primary metric says that a row differs from its reference.
    """

    def text(row: RowTrials, on: Studied, metric: str) -> str:
        differs = metric == on.part.primary and on.differs(row)
        return ours(row, on, metric, mark=DIFFERS if differs else "")

    return Table(
        caption=f"{caption} All metrics in %.",
        label=label,
        heads=(head, *(title for on in found for title in on.part.metrics.values())),
        groups=_groups(found, group, text, own=True),
        footnotes=tuple(footnotes),
        comments=comments,
        spans=tuple((setting(on.part.dataset), len(on.part.metrics)) for on in found),
        size="footnotesize",
        stacked=True,
    )


def wide_paper(
    found: Sequence[Studied],
    *,
    head: str,
    group: Callable[[RowTrials], str],
    caption: str,
    label: str,
    footnotes: Sequence[str],
) -> Table:
    """The paper's numbers in the same shape, of the data sets that are in the paper."""
    known = [on for on in found if on.part.printed]
    metrics = {on.part.dataset: list(filter(on.part.prints, on.part.metrics)) for on in known}
    heads = (on.part.metrics[metric] for on in known for metric in metrics[on.part.dataset])
    return Table(
        caption=caption,
        label=label,
        heads=(head, *heads),
        groups=_groups(known, group, theirs, own=False),
        footnotes=tuple(footnotes),
        spans=tuple((setting(on.part.dataset), len(metrics[on.part.dataset])) for on in known),
        size="footnotesize",
    )


def sections(caption: str, tables: Mapping[str, Sequence[Table]]) -> str:
    """Markdown: the tables of each data set under its name; what all note is told once.

    The caption of the first table of a data set is the common one; a single data set has no head.
    """
    notes = {
        dataset: tuple(dict.fromkeys(note for table in of for note in table.footnotes))
        for dataset, of in tables.items()
    }
    several = len(tables) > 1
    common = set.intersection(*map(set, notes.values())) if several else set()
    lines = [escape_markdown(caption)]
    for dataset, (first, *others) in tables.items():
        lines += ["", f"### {escape_markdown(setting(dataset))}"] if several else []
        lines += ["", *grid(first)]
        for other in others:
            lines += ["", escape_markdown(other.caption), "", *grid(other)]
        lines += listed([note for note in notes[dataset] if note not in common])
    shared = [note for note in next(iter(notes.values())) if note in common]
    if shared:
        lines += ["", "On all data sets:", *listed(shared)]
    return "\n".join([*lines, ""])


def merged(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Every note once, after the names of the data sets it is about unless these are all."""
    owners: dict[str, list[str]] = {}
    for dataset, texts in notes.items():
        for text in texts:
            owners.setdefault(text, []).append(setting(dataset))
    return [
        text if len(about) == len(notes) else f"{', '.join(about)}: {text}"
        for text, about in owners.items()
    ]


def _groups(
    found: Sequence[Studied], group: Callable[[RowTrials], str], text: Text, *, own: bool
) -> tuple[tuple[Row, ...], ...]:
    """A row for each key; `own` ones are of our numbers."""
    lines: dict[str, dict[str, RowTrials]] = {}
    for on in found:
        for row in on.part.rows:
            lines.setdefault(row.row.key, {})[on.part.dataset] = row
    return tuple(
        tuple(_row(line, found, text, own=own) for line in of_group)
        for _, of_group in itertools.groupby(lines.values(), key=lambda line: group(_any(line)))
    )


def _any(line: Line) -> RowTrials:
    return next(iter(line.values()))


def _row(line: Line, found: Sequence[Studied], text: Text, *, own: bool) -> Row:
    texts, bold, comments = [_any(line).row.label], set(), []
    for on in found:
        row = line.get(on.part.dataset)
        for metric in on.part.metrics:
            if not own and not on.part.prints(metric):
                continue
            if own and row is not None and on.is_bold(row, metric):
                bold.add(len(texts))
            texts.append(EMPTY if row is None else text(row, on, metric))
        if own and row is not None:
            comments.append(f"{on.part.dataset}: {of_row(on.plan, row).comment()}")
    return Row(cells=tuple(texts), comment="; ".join(comments), bold=frozenset(bold))
