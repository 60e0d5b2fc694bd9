"""Read tab-separated files as they are: every cell is text, nothing is quoted or missing.

Readers that guess lose tweets: a lone `"` opens a quotation that swallows the next rows, and a
tweet that says "NA" becomes no tweet.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """The cells asked for, by column, and where they stand; `str` gives the place."""

    file: Path
    line: int
    cells: dict[str, str]

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


def read_tsv(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """The rows of a UTF-8 file with one header line, with at least these columns in any order.

    Column names are compared in lower case. Lines end with LF or CRLF; empty ones are skipped.

    Raises ValueError, naming the file and the line, when a column is missing or repeats, a row
    has another number of cells than the header, there are no rows, or the file is not UTF-8.
    """
    try:
        # Only LF ends a line here: a tweet may hold a lone CR or a Unicode line separator.
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            lines = [line.removesuffix("\n").removesuffix("\r") for line in file]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8, but {error}.") from error
    if not lines:
        raise ValueError(f"{path} must have a header and rows, but is empty.")
    header = lines[0].split("\t")
    places = _places(path, header, columns)
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {number}: every row must have {len(header)} cells like the "
                f"header, but this one has {len(cells)}: {line[:80]!r}."
            )
        rows.append(Row(path, number, {name: cells[place] for name, place in places.items()}))
    if not rows:
        raise ValueError(f"{path} must have rows, but has only a header.")
    return rows


def _places(path: Path, header: list[str], columns: tuple[str, ...]) -> dict[str, int]:
    """Where in a row each column stands."""
    found = [name.strip().lower() for name in header]
    wrong = [name for name in columns if found.count(name) != 1]
    if wrong:
        shown = ", ".join(header) if len(header) < 30 else f"{len(header)} columns"
        raise ValueError(
            f"{path} must have the columns {', '.join(columns)} (once each, tab-separated), "
            f"but {', '.join(wrong)} is missing or repeats; it has: {shown[:300]}."
        )
    return {name: found.index(name) for name in columns}
