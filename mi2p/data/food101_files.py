"""The texts that come with the images of UPMC Food-101, in two forms: pages and titles."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from mi2p.data.split_files import READ_CHARACTERS, SHOWN, clean

# The class stands twice in a row, so that a row proves itself; it contains no comma, so that the
# title is all between the first and the last one, whatever is wrong with its quotes.
ROW = re.compile(
    r'"?(?:[^,"]*/)?(?P<id>(?P<label>[^,"/]+)_[^_,"/]+)\.(?P<suffix>jpg|txt)"?,'
    r'(?P<title>.*),\s*"?(?P=label)"?'
)
ROW_START = re.compile(r'"?(?:[^,"]*/)?[^,"/]+_[^_,"/]+\.(?:jpg|txt)"?,')


def read_pages(folder: Path, wanted: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Texts of <class>/<id>.txt by id, for the ids wanted that have one, and what is to tell."""
    found = {
        file.name.removesuffix(".txt"): file.path
        for group in os.scandir(folder)
        if group.is_dir()
        for file in os.scandir(group)
        if file.name.endswith(".txt") and not file.name.startswith(".")
    }
    texts: dict[str, str] = {}
    for name in wanted:
        if name in found:
            with open(found[name], encoding="utf-8", errors="replace") as page:
                texts[name] = clean(page.read(READ_CHARACTERS))
    unused = len(found) - len(texts)
    notes = [f"texts: {len(found)} web pages of {folder.name}/"]
    return texts, notes + ([f"{unused} web pages without image; left out"] if unused else [])


def read_titles(path: Path) -> tuple[dict[str, str], list[str]]:
    """Titles of a headerless CSV file `<class>_<n>.jpg,title,<class>` by id, and what is to tell.

    The public file opens a quote that it never closes and has `.txt` for `.jpg` in some rows;
    a CSV parser swallows rows there. Here a line is a row; only a line that cannot be a row and
    follows an incomplete one is taken as the rest of its title.

    Raises ValueError, with the line numbers, for rows that do not have this form.
    """
    titles: dict[str, str] = {}
    renamed = unclosed = continued = repeated = 0
    problems: list[str] = []
    for number, lines, record in _records(path):
        row = ROW.fullmatch(record)
        if row is None:
            problems.append(f"\n  line {number}: {record[:120]}")
            continue
        title, closed = _unquoted(row["title"].strip())
        renamed += row["suffix"] == "txt"
        unclosed += not closed
        continued += lines > 1
        repeated += row["id"] in titles
        titles.setdefault(row["id"], clean(title))
    if problems:
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ValueError(
            f"Every line of {path} must be `<class>_<n>.jpg,title,<class>`, without a header and "
            f"with the same class twice, but {len(problems)} are not:"
            + "".join(problems[:SHOWN])
            + more
        )
    counts = [
        (renamed, "rows name .txt instead of .jpg; repaired"),
        (unclosed, "rows open a quote that is never closed; the rows after it are kept"),
        (continued, "rows have a title of several lines; joined"),
        (repeated, "rows repeat an image; the first is used"),
    ]
    notes = [f"texts: {len(titles)} page titles of {path.name}"]
    return titles, notes + [f"{path.name}: {count} {what}" for count, what in counts if count]


def _records(path: Path) -> Iterator[tuple[int, int, str]]:
    """The line number, number of lines and text of each row."""
    start, lines, record = 0, 0, ""
    # Only \n ends a line: titles may contain the other characters that Python counts as ends.
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, raw in enumerate(file, start=1):
            line = " ".join(raw.split())
            if not line:
                continue
            if record and not ROW.fullmatch(record) and not ROW_START.match(line):
                lines, record = lines + 1, f"{record} {line}"
                continue
            if record:
                yield start, lines, record
            start, lines, record = number, 1, line
    if record:
        yield start, lines, record


def _unquoted(title: str) -> tuple[str, bool]:
    """The title without its outer quotes, and whether they were closed."""
    inner = title[1:-1]
    if len(title) > 1 and title[0] == title[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"'), True
    if title.startswith('"') and title.count('"') % 2:
        return title[1:], False
    return title, True
