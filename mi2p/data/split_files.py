"""Files with other splits, and the texts in them: what UPMC Food-101 and MM-IMDB share.

A split file is of one of two kinds: a folder with train.jsonl, dev.jsonl and test.jsonl as MMBT's
scripts write them, or one JSON file that lists names by split.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

READ_CHARACTERS = 20_000
# BERT sees 512 word pieces at most. A running text has 4 to 5 characters to a piece; 8 leave room
# for addresses and tables, and 90,000 pages still fit into memory.
KEPT_CHARACTERS = 4_000
SHOWN = 5
SPLIT_KEYS = {"train": "train", "dev": "val", "val": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A sample in a split file; `text` and `labels` are None if the file gives names only."""

    id: str
    split: str
    where: str
    """File and line or list, for messages."""
    text: str | None = None
    labels: tuple[str, ...] | None = None


def clean(text: str) -> str:
    """The beginning of a text, with every run of white space as one blank.

    Punctuation and case stay: the tokenizers of the encoders know what to do with them.
    """
    kept = " ".join(text[:READ_CHARACTERS].split())[:KEPT_CHARACTERS]
    # JSON can hold halves of characters, which tokenizers refuse.
    return kept.encode(errors="replace").decode()


def first(items: Collection[str]) -> str:
    """The first few in sorted order, for messages."""
    rest = f", ... and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(sorted(items)[:SHOWN]) + rest


def read_split_file(root: Path, splits: str) -> list[Listed]:
    """The samples named by the split file or folder `splits` below `root`, in its order.

    An id is the file name without folders and suffix, which is all the copies in use agree on.

    Raises ValueError when there is no such file, it is damaged, a split is missing, or a sample
    is named twice.
    """
    relative = Path(splits)
    path = root / relative
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"`splits` must be a path below {root}, but is {splits!r}.")
    if path.is_dir():
        listed = _read_jsonl_folder(path)
    elif path.is_file() and path.suffix == ".json":
        listed = _read_lists(path)
    else:
        raise ValueError(
            "`splits` must be a folder with train.jsonl, dev.jsonl (or val.jsonl) and test.jsonl, "
            f"or a .json file with a list for each split, but {path} is neither."
        )
    places: dict[str, str] = {}
    twice = []
    for sample in listed:
        if sample.id in places:
            twice.append(f"{sample.id} ({places[sample.id]} and {sample.where})")
        places[sample.id] = sample.where
    if twice:
        raise ValueError(f"{path} must name each sample once, but repeats {first(twice)}.")
    return listed


def read_json(path: Path, content: bytes, line: int | None = None) -> Any:
    """The value of JSON read from `path` (or from one line of it); ValueError with the place."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        at = error.lineno if line is None else line
        reason = f"line {at}: {error.msg} at character {error.colno}"
    except UnicodeDecodeError as error:
        reason = f"{'' if line is None else f'line {line}: '}{error}"
    raise ValueError(f"{path} must be valid JSON, but {reason}.")


def is_strings(value: object) -> TypeGuard[list[str]]:
    """Whether a JSON value is a list of strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _read_lists(path: Path) -> list[Listed]:
    content = read_json(path, path.read_bytes())
    if not isinstance(content, dict) or not all(map(is_strings, content.values())):
        raise ValueError(f"{path} must be an object with a list of names for each split.")
    _check_splits(str(path), list(content))
    return [
        Listed(id=PurePosixPath(name).stem, split=SPLIT_KEYS[key], where=f"list {key!r}")
        for key, names in content.items()
        for name in names
    ]


def _read_jsonl_folder(folder: Path) -> list[Listed]:
    present = [key for key in SPLIT_KEYS if (folder / f"{key}.jsonl").is_file()]
    _check_splits(f"{folder} with its .jsonl files", present)
    listed = []
    for key in present:
        path = folder / f"{key}.jsonl"
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    listed.append(_read_row(path, number, line, SPLIT_KEYS[key]))
    return listed


def _check_splits(what: str, keys: Sequence[str]) -> None:
    if sorted(SPLIT_KEYS.get(key, "unknown") for key in keys) != ["test", "train", "val"]:
        raise ValueError(
            f"{what} must have the splits train, dev (or val) and test, and no others, "
            f"but has {', '.join(keys) or 'none'}."
        )


def _read_row(path: Path, number: int, line: bytes, split: str) -> Listed:
    row = read_json(path, line, number)
    if not isinstance(row, dict):
        row = {}
    # MMBT's own script for MM-IMDB writes `image`, though its reader asks for `img`.
    image, text, label = row.get("img", row.get("image")), row.get("text"), row.get("label")
    labels: object = [label] if isinstance(label, str) else label
    if not (isinstance(image, str) and isinstance(text, str) and is_strings(labels)):
        raise ValueError(
            "Every line must be an object with `img` (or `image`), `text` and `label` (a string, "
            f"or a list of them), but line {number} of {path} has {', '.join(row) or 'none'}."
        )
    return Listed(
        id=PurePosixPath(image).stem,
        split=split,
        where=f"{path.name}, line {number}",
        text=clean(text),
        labels=tuple(labels),
    )
