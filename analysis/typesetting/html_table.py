"""A table in HTML: a `<figure>` to be put into a page, with classes for the page's styles."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from analysis.typesetting.tabular import Row, Table, one_line, parsed


def to_html(table: Table) -> str:
    """A figure with caption, table and footnotes, in ASCII so that no encoding is needed.

    It has neither styles nor scripts. Classes: `scroll` around the table, which may be wider than
    the page; `number` of cells in columns of numbers; `mark` of what follows a number.
    """
    name = re.sub("[^A-Za-z0-9_-]", "-", table.label)
    lines = [f'<figure class="table" id="{name}">', *_captioned(table)]
    lines += ['<div class="scroll">', "<table>", *_heads(table)]
    for i, group in enumerate(table.groups):
        lines += ["<tbody>"]
        if table.titles:
            title = escape_html(table.titles[i])
            spanned = f'colspan="{len(table.heads)}" scope="rowgroup"'
            lines += [f"<tr><th {spanned}>{title}</th></tr>"]
        lines += [_line(table, row) for row in group]
        lines += ["</tbody>"]
    lines += ["</table>", "</div>", *_footnotes(table.footnotes), "</figure>", ""]
    return "\n".join(lines)


def escape_html(text: str) -> str:
    """Text that a browser shows as it stands, whatever encoding it takes the page to be in."""
    escaped = html.escape(one_line(text))
    return escaped.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _captioned(table: Table) -> list[str]:
    return [f"<figcaption>{escape_html(table.caption)}</figcaption>"]


def _heads(table: Table) -> list[str]:
    lines = ["<thead>"]
    if table.spans:
        over = [
            f'<th colspan="{columns}" scope="colgroup">{escape_html(text)}</th>'
            for text, columns in table.spans
        ]
        lines += [f"<tr><td></td>{''.join(over)}</tr>"]
    heads = [_head(table, head, place) for place, head in enumerate(table.heads)]
    return [*lines, f"<tr>{''.join(heads)}</tr>", "</thead>"]


def _head(table: Table, head: str, place: int) -> str:
    """Where the cells below it are."""
    numbers = place and any(parsed(row.cells[place]) for row in table.rows)
    kind = ' class="number"' if numbers else ""
    return f'<th{kind} scope="col">{escape_html(head)}</th>'


def _line(table: Table, row: Row) -> str:
    first, *rest = row.cells
    cells = [_first(first, row)]
    cells += [_cell(table, row, cell, place) for place, cell in enumerate(rest, 1)]
    return f"<tr>{''.join(cells)}</tr>"


def _first(cell: str, row: Row) -> str:
    """The head of a row, with what a reader can open there."""
    if not cell:
        return "<td></td>"
    label = escape_html(cell)
    if row.details:
        items = "".join(f"<li>{escape_html(line)}</li>" for line in row.details)
        label = f"<details><summary>{label}</summary><ul>{items}</ul></details>"
    return f'<th scope="row">{label}</th>'


def _cell(table: Table, row: Row, cell: str, place: int) -> str:
    number = parsed(cell)
    text = escape_html(number.head if number else cell)
    if place in row.bold:
        text = f"<strong>{text}</strong>"
    column = [found for line in table.rows if (found := parsed(line.cells[place]))]
    if not column:
        return f"<td>{text}</td>"
    count = f" <small>{escape_html(number.count)}</small>" if number and number.count else ""
    # Where a column has marks each cell has room for one, so that numbers stay below each other.
    mark = escape_html(number.mark) if number else ""
    room = f' <span class="mark">{mark}</span>' if any(one.mark for one in column) else ""
    return f'<td class="number">{text}{count}{room}</td>'


def _footnotes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return ['<ul class="notes">', *(f"<li>{escape_html(note)}</li>" for note in notes), "</ul>"]
