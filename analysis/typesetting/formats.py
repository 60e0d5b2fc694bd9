"""The files of a table: LaTeX, markdown, HTML and CSV.

The content is the same but for what does not fit on a page: in LaTeX, several data sets stand side
by side without the column of differences (`analysis/assembled.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from analysis.typesetting.html_table import to_html
from analysis.typesetting.latex_table import to_latex
from analysis.typesetting.tabular import Table, Value, records_csv, to_csv, to_markdown
from mi2p.files import write_whole

SUFFIXES = ("tex", "md", "html", "csv")
"""Of the files of a table, in the order in which they are written and named."""

Texts = dict[str, str]
"""Suffix to content."""


def texts_of(
    tables: Sequence[Table],
    records: Iterable[Mapping[str, Value]] | None = None,
    *,
    latex: Sequence[Table] | None = None,
) -> Texts:
    """Tables one below the other in each format.

    `records` are the CSV's, which else has those of the tables' rows; `latex` are other tables
    for LaTeX, whose pages are of another width.
    """
    return {
        "tex": "\n".join(map(to_latex, tables if latex is None else latex)),
        "md": "\n".join(map(to_markdown, tables)),
        "html": "".join(map(to_html, tables)),
        "csv": "".join(map(to_csv, tables)) if records is None else records_csv(records),
    }


def write_texts(folder: Path, stem: str, texts: Mapping[str, str]) -> list[Path]:
    """Write `<stem>.<suffix>` for each, whole or not at all; the paths in the same order."""
    return [write_whole(folder / f"{stem}.{suffix}", text) for suffix, text in texts.items()]


def main_of(
    write: Callable[[Path], list[Path]],
    description: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """The command line of a table that takes nothing but a results folder: print its files."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    try:
        paths = write(parser.parse_args(arguments).results)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    print(*paths, sep="\n")
