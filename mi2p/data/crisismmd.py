"""Read the three CrisisMMD v2.0 tasks: a tweet and its image, and what they say of a disaster.

Tasks 1 and 2 take the pairs whose text and image were given the same label: the files of the
agreed labels, or else those of all labels, filtered on `label_text_image`; both give the same
pairs. Task 2 must take the column `label`, because `label_text` and `label_image` already count
vehicles as infrastructure. Task 3 takes all pairs of the damage files.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from mi2p.data.crisismmd_files import (
    FORMS,
    TEXTS,
    Form,
    Task,
    data_folder,
    find_files,
    locate,
    shown,
    split_folders,
)
from mi2p.data.example import Dataset, Example
from mi2p.data.tables import Row, read_tsv
from mi2p.data.tweets import Clean, prepared

__all__ = ["LABELS", "WHY", "Task", "locate", "read"]

LABELS: dict[Task, dict[str, str | None]] = {
    "crisismmd_task1": {"not_informative": "not_informative", "informative": "informative"},
    "crisismmd_task2": {
        "infrastructure_and_utility_damage": "infrastructure_damage",
        "vehicle_damage": "vehicle_damage",
        "rescue_volunteering_or_donation_effort": "rescue_efforts",
        "affected_individuals": "affected_individuals",
        "injured_or_dead_people": "affected_individuals",
        "missing_or_found_people": "affected_individuals",
        "other_relevant_information": "others",
        "not_humanitarian": None,
    },
    "crisismmd_task3": {
        name: name for name in ("little_or_no_damage", "mild_damage", "severe_damage")
    },
}
"""The class of each label of the files, in the order of the classes; None leaves a pair out."""

WHY: dict[str, str] = {
    "crisismmd_task1": "The official files give the 9601 / 1573 / 1534 pairs of Table 1: all "
    "whose text and image agree on the label.",
    "crisismmd_task2": "The official files give the 2874 / 477 / 451 pairs of Table 1: those "
    "whose text and image agree on the label, without not_humanitarian.",
    "crisismmd_task3": "The official files have 2468 / 529 / 529 pairs, Table 1 says "
    "2461 / 529 / 530: six fewer in all and split anew, in a way that was not published. The "
    "official split is kept.",
}
"""Why the sizes of a task equal those of the paper's Table 1, or do not."""

# As the agreed labels are merged; `label` is finer.
_COARSE = {
    "vehicle_damage": "infrastructure_and_utility_damage",
    "injured_or_dead_people": "affected_individuals",
    "missing_or_found_people": "affected_individuals",
}
# The older damage files have one image whose text is nowhere. More of them mean wrong files.
_MAX_WITHOUT_TEXT = 0.01

_Rows = dict[str, list[Row]]
"""The rows of each split."""


def read(
    root: Path,
    *,
    task: Task,
    clean: Clean = "standard",
    fix_mojibake: bool = False,
    splits: str = "",
) -> Dataset:
    """Return a task's pairs, ordered by split and image id; `notes` say what was met.

    `root` is the folder with data_image/, or any that `locate` takes. `splits` names a folder
    below it whose files, named like the official ones, are read instead. `fix_mojibake` repairs
    texts before they are cleaned. Images are neither opened nor looked for.

    Raises DataUnavailable when files are missing, and ValueError for an unknown option or a
    defect, naming the file and the line.
    """
    if task not in LABELS:
        raise ValueError(f"`task` must be one of {', '.join(LABELS)}, but got {task!r}.")
    root = data_folder(root) or locate(root)  # locate raises, and says what was expected where
    form, files = find_files(task, FORMS[task], split_folders(root, splits))
    notes = [f"Read {shown(files, form, root)}."]
    rows = {split: read_tsv(file, form.columns) for split, file in files.items()}
    if "label_text_image" in form.columns:
        rows = _agreeing(form, rows, notes)
    if "tweet_text" not in form.columns:
        rows = _with_texts(root, splits, rows, notes)
    rows = _with_class(task, rows, notes)
    _check_ids(rows)
    published = {row.cells["image_id"]: row.cells["tweet_text"] for row in _all(rows)}
    texts, met = prepared(published, clean, fix_mojibake=fix_mojibake)
    notes += met
    _note_shared_tweets(rows, notes)
    classes = tuple(dict.fromkeys(name for name in LABELS[task].values() if name))
    index = {label: classes.index(name) for label, name in LABELS[task].items() if name}
    examples = tuple(
        Example(
            id=row.cells["image_id"],
            image=_image(root, row),
            text=texts[row.cells["image_id"]],
            labels=(index[row.cells["label"]],),
            split=split,
        )
        for split, of_split in rows.items()
        # One order for all forms of the files, so that equal data has an equal fingerprint.
        for row in sorted(of_split, key=lambda row: row.cells["image_id"])
    )
    return Dataset(
        name=task, classes=classes, multilabel=False, examples=examples, notes=tuple(notes)
    )


def _agreeing(form: Form, rows: _Rows, notes: list[str]) -> _Rows:
    """Only the pairs whose text and image have the same label."""
    legal = ("Positive",) if form.agreed else ("Positive", "Negative")
    for row in _all(rows):
        value = row.cells["label_text_image"]
        if value not in legal:
            raise ValueError(
                f"{row}: label_text_image must be {' or '.join(legal)} in a file named {form}, "
                f"but is {value!r}."
            )
    kept = {
        split: [row for row in of_split if row.cells["label_text_image"] == "Positive"]
        for split, of_split in rows.items()
    }
    if not form.agreed:
        counts = _per_split(rows, lambda split: f"{len(kept[split])} of {len(rows[split])}")
        notes.append(f"Kept the pairs whose text and image have the same label: {counts}.")
    differing = [row.cells["image_id"] for row in _all(kept) if _differs(row)]
    if differing:
        notes.append(
            f"{len(differing)} pairs have a label that is not that of their text and image, "
            f"although these are said to agree; the first is {differing[0]}."
        )
    return kept


def _with_texts(root: Path, splits: str, rows: _Rows, notes: list[str]) -> _Rows:
    """The rows with a tweet_text, joined by image_id from the informative files."""
    folders = split_folders(root, splits) if splits else []
    what = "crisismmd_task3, whose files have no texts,"
    form, files = find_files(what, TEXTS, [*folders, *split_folders(root)])
    texts = {
        row.cells["image_id"]: row.cells["tweet_text"]
        for file in files.values()
        for row in read_tsv(file, form.columns)
    }
    ids = [row.cells["image_id"] for row in _all(rows)]
    without = [id for id in ids if id not in texts]
    read_from = shown(files, form, root)
    if len(without) > max(1, int(_MAX_WITHOUT_TEXT * len(ids))):
        raise ValueError(
            f"At most 1 in 100 images may be without a text, but {len(without)} of {len(ids)} "
            f"in the damage files are, such as {without[0]!r}; texts are from {read_from}. The "
            "files of all labels (crisismmd_datasplit_all) have them."
        )
    notes.append(f"Took the texts from {read_from}.")
    return {
        split: [
            row._replace(cells={**row.cells, "tweet_text": texts.get(row.cells["image_id"], "")})
            for row in of_split
        ]
        for split, of_split in rows.items()
    }


def _with_class(task: Task, rows: _Rows, notes: list[str]) -> _Rows:
    """The rows whose label has a class."""
    classes = LABELS[task]
    for row in _all(rows):
        _check_label(task, row)
    kept = {
        split: [row for row in of_split if classes[row.cells["label"]] is not None]
        for split, of_split in rows.items()
    }
    for label in (label for label, name in classes.items() if name is None):
        dropped = _per_split(rows, lambda split: str(len(rows[split]) - len(kept[split])))
        notes.append(f"Left out the pairs labelled {label}: {dropped}.")
    empty = [split for split, of_split in kept.items() if not of_split]
    if empty:
        raise ValueError(
            f"Every split of {task} must have pairs, but {empty[0]} has none. {' '.join(notes)}"
        )
    return kept


def _check_label(task: Task, row: Row) -> None:
    label = row.cells["label"]
    if label in LABELS[task]:
        return
    owners = [other for other, labels in LABELS.items() if label in labels]
    hint = f" It is a label of {owners[0]}: is this a file of that task?" if owners else ""
    raise ValueError(
        f"{row}: a label of {task} must be one of {', '.join(LABELS[task])}, but is "
        f"{label!r}.{hint}"
    )


def _differs(row: Row) -> bool:
    names = ("label", "label_text", "label_image")
    return len({_COARSE.get(row.cells[name], row.cells[name]) for name in names}) > 1


def _check_ids(rows: _Rows) -> None:
    first: dict[str, Row] = {}
    for row in _all(rows):
        id = row.cells["image_id"]
        if not id:
            raise ValueError(f"{row}: image_id must not be empty.")
        if id in first:
            raise ValueError(
                f"{row}: every image_id must stand in one row of one split, but {id!r} stands "
                f"in {first[id]} too."
            )
        first[id] = row


def _image(root: Path, row: Row) -> Path:
    image = row.cells["image"]
    if not image.startswith("data_image/"):
        raise ValueError(
            f"{row}: the column image must have a path that starts with data_image/, but has "
            f"{image!r}."
        )
    return root / image


def _note_shared_tweets(rows: _Rows, notes: list[str]) -> None:
    """Task 3 is split by image, and a tweet may have several."""
    training = {_tweet(row) for row in rows["train"]}
    for split in ("val", "test"):
        shared = sum(_tweet(row) in training for row in rows[split])
        if shared:
            notes.append(
                f"{shared} of {len(rows[split])} {split} images have a tweet, and so a text, "
                "that is also in train."
            )


def _tweet(row: Row) -> str:
    return row.cells["image_id"].rpartition("_")[0]


def _all(rows: _Rows) -> Iterator[Row]:
    return itertools.chain.from_iterable(rows.values())


def _per_split(rows: _Rows, said: Callable[[str], str]) -> str:
    return ", ".join(f"{said(split)} in {split}" for split in rows)
