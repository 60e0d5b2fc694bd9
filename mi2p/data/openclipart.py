"""Read the OpenClipart tasks: a drawing and its title, and what the drawing is of.

Task `openclipart` has one label of 11 (the category), `openclipart-tags` any number of keywords.
Both are defined by files of this project, not by parsing: `openclipart_splits.csv` (id, title,
label, group, split) and `openclipart_tags.csv` (id, tags). The user's drawings are checked
against them, so another build of the packages is found out instead of moving results.

The tags were chosen by `frequent_keywords` from the drawings of the splits: 26 keywords on at
least 50 drawings each; drawings with none of them are left out, which leaves 1,618.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from mi2p.data.example import Dataset, Example
from mi2p.data.openclipart_files import drawings_folder, locate
from mi2p.data.svg_metadata import BadSvg, Metadata, read_metadata

Task = Literal["openclipart", "openclipart-tags"]
Row = dict[str, str]

SPLITS_FILE = Path(__file__).with_name("openclipart_splits.csv")
TAGS_FILE = Path(__file__).with_name("openclipart_tags.csv")
MIN_DRAWINGS_PER_TAG = 50
SHOWN_PROBLEMS = 5


def read(root: Path, *, task: Task, splits: Path = SPLITS_FILE, tags: Path = TAGS_FILE) -> Dataset:
    """Return a task's examples, in the order of the splits file, checked against the drawings.

    `root` is the folder with png/ and svg/, or the one the packages were unpacked into.

    Raises DataUnavailable when `root` holds no drawings, and ValueError for an unknown task, a
    damaged splits or tags file, or drawings that differ from it (one error with all kinds).
    """
    if task not in get_args(Task):
        raise ValueError(f"`task` must be one of {', '.join(get_args(Task))}, but got {task!r}.")
    folder = drawings_folder(root)
    if folder is None:
        folder = locate(root)  # raises, and says what was expected where
    rows = _read_table(splits, ("id", "title", "label", "split"))
    if task == "openclipart":
        _verified_metadata(folder, rows)
        labels_of = {row["id"]: {row["label"]} for row in rows}
    else:
        labels_of = _read_tags(tags, rows)
        _check_tags(folder, _verified_metadata(folder, rows), labels_of)
    classes = tuple(sorted(set[str]().union(*labels_of.values())))
    index = {name: position for position, name in enumerate(classes)}
    examples = tuple(
        Example(
            id=row["id"],
            image=_picture(folder, row["id"]),
            text=row["title"],
            labels=tuple(sorted(index[label] for label in labels_of[row["id"]])),
            split=row["split"],
        )
        for row in rows
        if row["id"] in labels_of
    )
    return Dataset(
        name=task, classes=classes, multilabel=task == "openclipart-tags", examples=examples
    )


def frequent_keywords(
    keywords_of: Mapping[str, Sequence[str]], minimum: int = MIN_DRAWINGS_PER_TAG
) -> dict[str, tuple[str, ...]]:
    """Return each drawing's keywords that at least `minimum` drawings have, sorted.

    Drawings left without any are left out. This is how `openclipart_tags.csv` was made.
    """
    counts = Counter(word for words in keywords_of.values() for word in set(words))
    kept = {
        drawing: tuple(sorted({word for word in words if counts[word] >= minimum}))
        for drawing, words in keywords_of.items()
    }
    return {drawing: words for drawing, words in kept.items() if words}


def _picture(folder: Path, drawing: str) -> Path:
    return folder / "png" / f"{drawing}.png"


def _read_table(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """Read a CSV file with at least these columns; ValueError when one or a cell is missing."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise ValueError(
                f"{path} must have the columns {', '.join(columns)}, but lacks {sorted(missing)}."
            )
        rows = list(reader)
    for row in rows:
        # DictReader fills short rows with None and collects extra cells under None.
        if None in row or None in row.values():
            raise ValueError(f"Every row of {path} must have all its cells, but got {row}.")
    return rows


def _read_tags(path: Path, rows: Sequence[Row]) -> dict[str, set[str]]:
    tags_of: dict[str, set[str]] = {}
    for row in _read_table(path, ("id", "tags")):
        words = row["tags"].split(";")
        if row["id"] in tags_of or "" in words or len(set(words)) != len(words):
            raise ValueError(
                f"{path} must list each drawing once, with distinct tags, but has {row}."
            )
        tags_of[row["id"]] = set(words)
    unknown = sorted(set(tags_of) - {row["id"] for row in rows})
    if unknown:
        raise ValueError(
            f"Every drawing in {path} must be in the splits, but {len(unknown)} are not: "
            f"{_first(unknown)}."
        )
    return tags_of


def _verified_metadata(folder: Path, rows: Sequence[Row]) -> dict[str, Metadata]:
    """Return each drawing's metadata if all pictures are there and all titles are as expected."""
    absent: list[str] = []
    unreadable: list[str] = []
    different: list[str] = []
    found: dict[str, Metadata] = {}
    for row in rows:
        drawing = row["id"]
        files = (_picture(folder, drawing), folder / "svg" / f"{drawing}.svg")
        gone = [str(file.relative_to(folder)) for file in files if not file.is_file()]
        if gone:
            absent += gone
            continue
        try:
            found[drawing] = read_metadata(files[1])
        except BadSvg as error:
            unreadable.append(f"{drawing} ({error.reason})")
            continue
        title = found[drawing].title
        if title != row["title"]:
            different.append(f"{drawing} ({title!r}, expected {row['title']!r})")
    problems = [
        (absent, f"of {2 * len(rows)} files are missing"),
        (unreadable, f"of {len(rows)} SVG files cannot be read"),
        (different, f"of {len(rows)} titles differ"),
    ]
    _refuse(folder, problems)
    return found


def _check_tags(
    folder: Path, found: Mapping[str, Metadata], tags_of: Mapping[str, set[str]]
) -> None:
    vocabulary = set[str]().union(*tags_of.values())
    different: list[str] = []
    for drawing, metadata in found.items():
        actual = vocabulary.intersection(metadata.keywords)
        expected = tags_of.get(drawing, set())
        if actual != expected:
            different.append(f"{drawing} ({sorted(actual)}, expected {sorted(expected)})")
    _refuse(folder, [(different, f"of {len(found)} drawings have other keywords")])


def _refuse(folder: Path, problems: Sequence[tuple[list[str], str]]) -> None:
    """Raise one ValueError with every kind of problem: how many, and the first few."""
    lines = [f"  {len(items)} {what}: {_first(items)}" for items, what in problems if items]
    if lines:
        raise ValueError(
            f"The drawings in {folder} must be those this project's splits were made from "
            "(OpenClipart 0.18), but\n" + "\n".join(lines)
        )


def _first(items: Sequence[str]) -> str:
    rest = f", ... and {len(items) - SHOWN_PROBLEMS} more" if len(items) > SHOWN_PROBLEMS else ""
    return ", ".join(items[:SHOWN_PROBLEMS]) + rest
