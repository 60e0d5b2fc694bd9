"""A table in LaTeX, with rules of booktabs and numbers aligned by siunitx at the decimal point."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from analysis.typesetting.tabular import MINUS, Parsed, Row, Table, one_line, parsed

PREAMBLE = "\\usepackage{booktabs}\n\\usepackage{siunitx}\n"
"""What a document with such tables needs; siunitx of version 3, as Debian 12 has it."""

_SETUP = ",".join(
    (
        "separate-uncertainty=true",  # 83.4 ± 0.5
        "table-align-uncertainty=false",  # ± right behind the number, with its spaces
        "table-align-text-after=false",  # marks right behind that
        "reset-text-series=false,text-series-to-math=true",  # \bfseries makes numbers bold
        "retain-explicit-plus=true",
        "group-digits=integer,group-separator={,},group-minimum-digits=4",
    )
)
"""Options of siunitx, set in each table so that the document's own stay what they are."""
_ESCAPES = str.maketrans(
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
        "∈": r"$\in$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "†": r"$\dagger$",
        # At the start of a line these would be read as arguments of the line break before it.
        "[": "{[}",
        "*": "{*}",
    }
)
_LACKING = re.compile(
    "(?:[«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ]|[^\\t -~\u00a0-\u017f\u2010-\u2016‘’“”…‰€])+"  # noqa: RUF001
)
"""Characters that pdflatex does not have unless a document loads more than `PREAMBLE`."""
_WIDTHS = {"∈": 6, "±": 7, ".": 2, "(": 3, ")": 3}
"""Of signs, about, where a digit (and what is not here) has 4."""


def to_latex(table: Table) -> str:
    """A `table*` environment, as wide as the page, for a document that has `PREAMBLE`.

    Numbers with deviations do not fit into one of two columns of text.
    """
    width = len(table.heads)
    formats = [_format(table, place) for place in range(width)]
    lines = [f"% {one_line(comment)}" for comment in table.comments]
    lines += [r"\begin{table*}[t]", r"\centering", r"\setlength{\belowcaptionskip}{6pt}"]
    lines += [rf"\caption{{{escape_latex(table.caption)}}}"]
    lines += [rf"\label{{{re.sub('[^A-Za-z0-9:-]', '-', table.label)}}}"]
    between = "2.5pt" if table.stacked else "3pt"
    lines += [rf"\{table.size}", rf"\setlength{{\tabcolsep}}{{{between}}}"]
    lines += [rf"\sisetup{{{_SETUP}}}"]
    lines += [rf"\begin{{tabular}}{{{' '.join(formats)}}}", r"\toprule"]
    lines += [*_spans(table.spans), _line(Row(cells=table.heads), formats, head=True)]
    for i, group in enumerate(table.groups):
        lines += [r"\midrule"]
        if table.titles:
            title = escape_latex(table.titles[i])
            lines += [rf"\multicolumn{{{width}}}{{l}}{{\textit{{{title}}}}} \\"]
        for row in group:
            lines += [_line(row, formats, stacked=table.stacked)]
            lines += [f"% {one_line(row.comment)}"] if row.comment else []
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.footnotes:
        notes = [rf"{escape_latex(note)}\par" for note in table.footnotes]
        lines += [r"\par\smallskip", r"{\footnotesize\raggedright", *notes, "}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands, but for what it lacks, such as Chinese letters.

    Of these the code points are printed, `[U+65E5 U+672C]`: LaTeX would stop at them.
    """
    escaped = unicodedata.normalize("NFC", one_line(text)).translate(_ESCAPES)
    return _LACKING.sub(_code_points, escaped)


def _code_points(found: re.Match[str]) -> str:
    return f"{{[}}{' '.join(f'U+{ord(char):04X}' for char in found[0])}]"


def _format(table: Table, place: int) -> str:
    """Of a column: `S` with room for its widest number, or `c` if it has no number."""
    found = [parsed(row.cells[place]) for row in table.rows]
    numbers = [number for number in found if number is not None]
    if place == 0 or not numbers:
        return "c" if place else "l"
    sign = "+" * any(number.mean[0] in f"+{MINUS}" for number in numbers)
    whole, decimals = (
        max(len(_digits(number.mean)[part]) for number in numbers) for part in (0, 1)
    )
    deviation = ""
    if not table.stacked and any(number.spread for number in numbers):
        digits = max(len("".join(_digits(number.spread))) for number in numbers if number.spread)
        deviation = f"({digits})"
    widest = max(numbers, key=lambda number: _room(number, stacked=table.stacked))
    after = _after(widest, stacked=table.stacked)
    return f"S[table-format={sign}{whole}.{decimals}{deviation}{after}]"


def _digits(number: str) -> tuple[str, str]:
    """Those before the point and those behind it."""
    whole, _, decimals = number.lstrip(f"+{MINUS}").replace(",", "").partition(".")
    return whole, decimals


def _room(number: Parsed, *, stacked: bool) -> int:
    """The width of what follows a number, in the measure of `_WIDTHS`."""
    below = f"±{number.spread}" if number.spread else ""
    count, spread, mark = (
        sum(_WIDTHS.get(char, 4) for char in text) for text in (number.count, below, number.mark)
    )
    return max(count, spread) + mark if stacked else count + mark


def _after(number: Parsed, *, stacked: bool) -> str:
    """What follows a number, in braces so that it is no part of it; empty for nothing."""
    mark = number.mark.translate(_ESCAPES).strip("$")
    if stacked:
        below = rf"_{{\pm {number.spread}}}" if number.spread else ""
        above = f"^{{{number.count}}}" if number.count else ""
        # Behind both: above a deviation it would push the lines apart.
        behind = f"{{}}^{{{mark}}}" if mark else ""
        return f"{{${below}{above}{behind}$}}" if below or above or behind else ""
    count = rf"\,\mdseries\scriptsize{number.count}" if number.count else ""
    sign = rf"\,${mark}$" if mark else ""
    return f"{{{count}{sign}}}" if count or sign else ""


def _spans(spans: Sequence[tuple[str, int]]) -> list[str]:
    """A line of texts over several columns, and the rules below it."""
    if not spans:
        return []
    texts, rules, first = [], [], 2
    for text, columns in spans:
        texts.append(rf"\multicolumn{{{columns}}}{{c}}{{{escape_latex(text)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + columns - 1}}}")
        first += columns
    return [" & ".join(["", *texts]).lstrip() + r" \\", " ".join(rules)]


def _line(row: Row, formats: Sequence[str], *, stacked: bool = False, head: bool = False) -> str:
    cells = []
    for place, (cell, kind) in enumerate(zip(row.cells, formats, strict=True)):
        number = None if head or not kind.startswith("S") else parsed(cell)
        bold = r"\bfseries " if place in row.bold else ""
        if number is not None:
            mean = number.mean.replace(MINUS, "-").replace(",", "")
            spread = rf" \pm {number.spread}" if number.spread and not stacked else ""
            cells.append(f"{bold}{mean}{spread}{_after(number, stacked=stacked)}")
        elif kind.startswith("S") and cell:
            cells.append(f"{{{bold}{escape_latex(cell)}}}")
        else:
            cells.append(f"{bold}{escape_latex(cell)}")
    return " & ".join(cells) + r" \\"
