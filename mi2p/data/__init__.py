"""Data sets by name: pictures with a text and labels, checked as they are read.

`DATASETS` is the one place where names meet readers. Nothing here imports torch, Ray or even
NumPy, so that sweep scripts can name a data set cheaply; `views.py` decodes the pictures.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mi2p.data import openclipart
from mi2p.data.example import Dataset, Example
from mi2p.data.openclipart_files import FETCHED, DataUnavailable, fetch, locate

__all__ = ["DATASETS", "Dataset", "Example", "ensure", "read"]


def _openclipart(data_root: Path | None, *, task: openclipart.Task) -> Dataset:
    return openclipart.read(locate(data_root), task=task)


# Each takes the folder the user gave, or None to look in the usual places.
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "openclipart": partial(_openclipart, task="openclipart"),
    "openclipart-tags": partial(_openclipart, task="openclipart-tags"),
}


def read(name: str, root: Path | None = None) -> Dataset:
    """Return the data set of that name; ValueError, listing the known names, if there is none."""
    _known(name)
    return DATASETS[name](root)


def _known(name: str) -> None:
    if name not in DATASETS:
        raise ValueError(f"A data set must be one of {', '.join(DATASETS)}, but got {name!r}.")


def ensure(name: str, root: Path | None, echo: Callable[[str], None]) -> Path:
    """The folder of the data set, fetched first if it is the packaged one and nowhere yet.

    `echo` is told what is being fetched. A folder that the user named is never fetched into.
    """
    _known(name)
    try:
        return locate(root)
    except DataUnavailable:
        if root is not None:
            raise
    return locate(fetch(FETCHED, echo=echo))
