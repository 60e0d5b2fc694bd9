"""A table as a value, and its text in markdown and CSV; LaTeX and HTML are made beside.

Cells are plain text, with ± and a printed minus; each format escapes what is special to it, and
finds with `parsed` which cells are numbers. The same table always gives the same bytes: nothing
in it knows the time or the machine.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

MINUS = "\N{MINUS SIGN}"
EMPTY = "--"
"""A cell without any finished trial."""

Value = str | int | float | None

MARKS = "∈↑↓†"
"""What may follow a number; a footnote says what it means."""
# Digits without separators are few: an id of 16 hexadecimal digits may have no letter.
_NUMBER = re.compile(
    rf"(?P<mean>[+{MINUS}]?(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,9}})(?:\.\d+)?)"
    rf"(?: ± (?P<spread>\d+\.\d+))?(?: (?P<count>\(\d+/\d+\)))?(?: (?P<mark>[{MARKS}]))?"
)
_MARKDOWN = re.compile(
    r"[\\|*<`~$]"
    r"|(?<!\w)_+|_+(?!\w)"  # not within words
    r"|&(?=#?\w+;)"  # what would be an entity
    r"|\](?=[(\[:])|^\[(?=[ xX]\])"  # a link, a box to be ticked
)
"""What markdown would not show as it stands; some only where they mean something."""
Size = Literal["small", "footnotesize", "scriptsize"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: what is printed, and the same as numbers."""

    cells: tuple[str, ...]
    record: Mapping[str, Value] = field(default_factory=dict)
    """Column to value, for CSV."""
    comment: str = ""
    """Follows the row in the LaTeX source."""
    bold: frozenset[int] = frozenset()
    """Which of the cells are printed bold, by their place."""
    details: tuple[str, ...] = ()
    """HTML: what a reader can open, a line each."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under heads, with a rule between groups."""

    caption: str
    label: str
    heads: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    footnotes: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    """Lines at the head of the LaTeX source."""
    titles: tuple[str, ...] = ()
    """Over each group."""
    spans: tuple[tuple[str, int], ...] = ()
    """LaTeX: over the heads but the first, texts and how many columns each spans."""
    size: Size = "small"
    """LaTeX: of the letters."""
    stacked: bool = False
    """LaTeX: deviations as subscripts and `(n/want)` as superscripts, which takes less width."""

    def __post_init__(self) -> None:
        if self.titles and len(self.titles) != len(self.groups):
            raise ValueError(
                f"titles are for each of the {len(self.groups)} groups, but got {self.titles}"
            )
        spanned = sum(columns for _, columns in self.spans)
        if self.spans and spanned != len(self.heads) - 1:
            raise ValueError(
                f"spans must cover the {len(self.heads) - 1} heads after the first, but cover "
                f"{spanned}: {self.spans}"
            )
        for row in self.rows:
            if len(row.cells) != len(self.heads):
                raise ValueError(
                    f"a row must have a cell for each of the {len(self.heads)} heads "
                    f"{self.heads}, but got {len(row.cells)}: {row.cells}"
                )
            if list(row.record) != list(self.rows[0].record):
                raise ValueError(
                    f"all rows must have the same columns, but got {list(row.record)} "
                    f"beside {list(self.rows[0].record)}"
                )

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of all groups."""
        return tuple(row for group in self.groups for row in group)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The parts of a cell that is a number, as they are printed."""

    mean: str
    spread: str
    """Behind ±; empty if there is none."""
    count: str
    """Such as `(2/3)`, or empty."""
    mark: str
    """One of `MARKS`, or empty."""

    @property
    def head(self) -> str:
        """Without what follows the number."""
        return f"{self.mean} ± {self.spread}" if self.spread else self.mean

    @property
    def tail(self) -> tuple[str, ...]:
        """What follows the number."""
        return tuple(part for part in (self.count, self.mark) if part)


def parsed(cell: str) -> Parsed | None:
    """A cell that is a number such as `83.4`, `+3.1 ± 0.8 (2/3) †` or `9,601`; None for others."""
    match = _NUMBER.fullmatch(cell)
    return None if match is None else Parsed(**match.groupdict(default=""))


def number(
    mean: float | None,
    spread: float | None,
    *,
    n: int,
    want: int,
    signed: bool = False,
    mark: str = "",
) -> str:
    """A fraction in percent, such as `83.4 ± 0.5`, with `(n/want)` when trials are missing.

    `mark`, one of `MARKS`, stands last.
    """
    if mean is None:
        return EMPTY
    # "z" prints what rounds to zero as 0.0, never as -0.0.
    text = format(100 * mean, "+z.1f" if signed else "z.1f").replace("-", MINUS)
    if spread is not None:
        text += f" ± {100 * spread:.1f}"
    text += "" if n == want else f" ({n}/{want})"
    return f"{text} {mark}" if mark else text


def points(fraction: float) -> str:
    """A difference in points, with its sign."""
    return number(fraction, None, n=1, want=1, signed=True)


def probability(p: float) -> str:
    """With three decimals, or the power of ten of a small one."""
    return f"{p:.0e}" if p < 0.001 else f"{p:.3f}"


def tail(p: float | None) -> float | None:
    """A p for CSV: six digits, which every machine and version of scipy agrees on."""
    return None if p is None else float(f"{p:.6g}")


def percent(fraction: float | None) -> float | None:
    """Of a fraction for CSV: with nine decimals, without the tail of binary fractions."""
    return None if fraction is None else round(100 * fraction, 9)


def to_markdown(table: Table) -> str:
    """A pipe table with its columns aligned, between the caption and a list of footnotes."""
    lines = [escape_markdown(table.caption), "", *grid(table), *listed(table.footnotes)]
    return "\n".join([*lines, ""])


def grid(table: Table) -> list[str]:
    """The lines of a pipe table; an empty line of cells stands for a rule.

    Groups with titles are pipe tables of their own.
    """
    blank = ("",) * len(table.heads)
    cells = [_markdown_cells(row) for row in table.rows]
    heads = [escape_markdown(head) for head in table.heads]
    widths = [max(3, *(len(line[i]) for line in [heads, *cells])) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines: list[str] = []
    for i, group in enumerate(table.groups):
        if table.titles:
            lines += [*[""] * bool(lines), f"**{escape_markdown(table.titles[i])}**", ""]
        if table.titles or not lines:
            lines += [line(heads), line(rule)]
        else:
            lines += [line(blank)]
        lines += [line(_markdown_cells(row)) for row in group]
    return lines


def _markdown_cells(row: Row) -> list[str]:
    return [
        _bold(escaped) if place in row.bold else escaped
        for place, escaped in enumerate(map(escape_markdown, row.cells))
    ]


def _bold(cell: str) -> str:
    """A number without what follows it; other text as a whole."""
    found = parsed(cell)
    if found is None:
        return f"**{cell}**" if cell else cell
    return " ".join([f"**{found.head}**", *found.tail])


def listed(notes: Sequence[str]) -> list[str]:
    """The lines of a list, after an empty one; nothing if there are no notes."""
    return ["", *(f"- {escape_markdown(note)}" for note in notes)] if notes else []


def to_csv(table: Table) -> str:
    """The records of the rows; a value that is not there is empty."""
    return records_csv([row.record for row in table.rows])


def records_csv(records: Iterable[Mapping[str, Value]]) -> str:
    """Records with a column for whatever one of them has; a value that is not there is empty."""
    text, kept = io.StringIO(), list(records)
    columns = dict.fromkeys(column for record in kept for column in record)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    return text.getvalue()


def escape_markdown(text: str) -> str:
    """Text that markdown shows as it stands, also in a cell of a pipe table."""
    return _MARKDOWN.sub(lambda found: re.sub("(.)", r"\\\1", found[0]), one_line(text))


def one_line(text: str) -> str:
    """Text without line breaks."""
    # A line break would end a comment or a row of a pipe table.
    return " ".join(text.split()) if "\n" in text or "\r" in text else text
