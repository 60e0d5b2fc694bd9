"""A table as a value, and its text in LaTeX, markdown and CSV.

Cells are plain text, with ± and a printed minus; each format escapes what is special to it. The
same table always gives the same bytes: nothing in it knows the time or the machine.
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

_LATEX = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        "Δ": r"$\Delta$",
        MINUS: "$-$",
        # At the start of a line these would be read as arguments of the line break before it.
        "[": "{[}",
        "*": "{*}",
    }
)
_NUMBER = re.compile(rf"([+{MINUS}]?\d+\.\d+(?: ± \d+\.\d+)?)(?: (\(\d+/\d+\)))?")
_MARKDOWN = re.compile(r"([\\|*<`])")
Size = Literal["small", "footnotesize", "scriptsize"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: what is printed, and the same as numbers."""

    cells: tuple[str, ...]
    record: Mapping[str, Value] = field(default_factory=dict)
    """Column to value, for CSV."""
    comment: str = ""
    """Follows the row in the LaTeX source."""


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


def number(
    mean: float | None,
    spread: float | None,
    *,
    n: int,
    want: int,
    signed: bool = False,
) -> str:
    """A fraction in percent, such as `83.4 ± 0.5`, with `(n/want)` when trials are missing."""
    if mean is None:
        return EMPTY
    # "z" prints what rounds to zero as 0.0, never as -0.0.
    text = format(100 * mean, "+z.1f" if signed else "z.1f").replace("-", MINUS)
    if spread is not None:
        text += f" ± {100 * spread:.1f}"
    return text if n == want else f"{text} ({n}/{want})"


def percent(fraction: float | None) -> float | None:
    """Of a fraction for CSV: with nine decimals, without the tail of binary fractions."""
    return None if fraction is None else round(100 * fraction, 9)


def to_latex(table: Table) -> str:
    """A `table*` environment, as wide as the page, that needs only the package booktabs.

    Numbers with deviations do not fit into one of two columns of text.
    """
    width = len(table.heads)
    lines = [f"% {_one_line(comment)}" for comment in table.comments]
    lines += [r"\begin{table*}[t]", r"\centering", r"\setlength{\belowcaptionskip}{6pt}"]
    lines += [rf"\caption{{{escape_latex(table.caption)}}}"]
    lines += [rf"\label{{{re.sub('[^A-Za-z0-9:-]', '-', table.label)}}}"]
    lines += [rf"\{table.size}", r"\setlength{\tabcolsep}{3pt}"]
    lines += [rf"\begin{{tabular}}{{l{'c' * (width - 1)}}}", r"\toprule"]
    lines += [*_latex_spans(table.spans), _latex_line(table.heads)]
    for i, group in enumerate(table.groups):
        lines += [r"\midrule"]
        if table.titles:
            title = escape_latex(table.titles[i])
            lines += [rf"\multicolumn{{{width}}}{{l}}{{\textit{{{title}}}}} \\"]
        for row in group:
            lines += [_latex_line(row.cells, stacked=table.stacked)]
            lines += [f"% {_one_line(row.comment)}"] if row.comment else []
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.footnotes:
        notes = [rf"{escape_latex(note)}\par" for note in table.footnotes]
        lines += [r"\par\smallskip", r"{\footnotesize\raggedright", *notes, "}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def to_markdown(table: Table) -> str:
    """A pipe table with its columns aligned, between the caption and a list of footnotes."""
    lines = [escape_markdown(table.caption), "", *grid(table), *listed(table.footnotes)]
    return "\n".join([*lines, ""])


def grid(table: Table) -> list[str]:
    """The lines of a pipe table; an empty line of cells stands for a rule.

    Groups with titles are pipe tables of their own.
    """
    blank = ("",) * len(table.heads)
    cells = [[escape_markdown(cell) for cell in row.cells] for row in table.rows]
    heads = [escape_markdown(head) for head in table.heads]
    widths = [max(3, *(len(line[i]) for line in [heads, *cells])) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(map(escape_markdown, cells), widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines: list[str] = []
    for i, group in enumerate(table.groups):
        if table.titles:
            lines += [*[""] * bool(lines), f"**{escape_markdown(table.titles[i])}**", ""]
        if table.titles or not lines:
            lines += [line(table.heads), line(rule)]
        else:
            lines += [line(blank)]
        lines += [line(row.cells) for row in group]
    return lines


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


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return _one_line(text).translate(_LATEX)


def escape_markdown(text: str) -> str:
    """Text that markdown shows as it stands, also in a cell of a pipe table."""
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def _latex_spans(spans: Sequence[tuple[str, int]]) -> list[str]:
    """A line of texts over several columns, and the rules below it."""
    if not spans:
        return []
    texts, rules, first = [], [], 2
    for text, columns in spans:
        texts.append(rf"\multicolumn{{{columns}}}{{c}}{{{escape_latex(text)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + columns - 1}}}")
        first += columns
    return [" & ".join(["", *texts]).lstrip() + r" \\", " ".join(rules)]


def _latex_line(cells: Sequence[str], *, stacked: bool = False) -> str:
    return " & ".join(_latex_cell(cell, stacked=stacked) for cell in cells) + r" \\"


def _latex_cell(cell: str, *, stacked: bool) -> str:
    """A number is set in math as a whole, so that signs get their spacing; text is escaped."""
    match = _NUMBER.fullmatch(cell)
    if match is None:
        return escape_latex(cell)
    signs, counted = match[1].replace("±", r"\pm").replace(MINUS, "-"), match[2]
    if not stacked:
        return f"${signs}$" + (rf" {{\scriptsize {counted}}}" if counted else "")
    mean, _, spread = signs.partition(r" \pm ")
    below, above = rf"_{{\pm {spread}}}" if spread else "", f"^{{{counted}}}" if counted else ""
    return f"${mean}{below}{above}$"


def _one_line(text: str) -> str:
    # A line break would end a comment or a row of a pipe table.
    return " ".join(text.split()) if "\n" in text or "\r" in text else text
