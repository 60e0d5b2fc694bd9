"""Describe a user's copy of a data set: text, LaTeX, JSON and a figure beside the paper's tables.

The same copy gives the same bytes, wherever it lies: nothing names a path or the time.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

from analysis import table1, table2
from analysis.describing import description_text
from analysis.describing.description import facts
from analysis.describing.leaks import find_leaks
from analysis.describing.pictures import scan
from analysis.figures.dataset import draw
from analysis.typesetting.latex_table import to_latex
from mi2p.data.example import Dataset
from mi2p.data.images import limited
from mi2p.data.protocols import Protocol
from mi2p.files import write_whole

MAX_WORKERS = 8


def describe(
    dataset: Dataset,
    protocol: Protocol,
    why: str,
    folder: Path,
    *,
    progress: Callable[[int], None] | None = None,
    max_images: int = 0,
) -> list[Path]:
    """Write `<folder>/<dataset>-description.{txt,tex,json,png}`; return the paths in this order.

    `why` says why the sizes of the splits are those of the paper's Table 1, or are not. All
    images are opened, and decoded to be compared: at most `max_images` of each split, evenly
    spaced, or all for 0. `progress` is called with the number of images dealt with, up to that
    of the examples. Images that cannot be used are counted, and raise nothing.

    Raises ValueError when `protocol` is that of another data set.
    """
    if protocol.data.name != dataset.name:
        raise ValueError(
            f"The protocol must be that of the data set {dataset.name!r}, but it is that of "
            f"{protocol.data.name!r}."
        )
    compared = {example.id for example in limited(dataset, max_images).examples}
    pictures = scan(
        [example.image for example in dataset.examples],
        hashed={i for i, example in enumerate(dataset.examples) if example.id in compared},
        workers=min(MAX_WORKERS, os.cpu_count() or 1),
        progress=progress or (lambda done: None),
    )
    described = facts(dataset, pictures, max_tokens=protocol.data.max_tokens)
    leaks = find_leaks(dataset, pictures)
    tables = [
        table1.table(dataset.name, described.sizes),
        table2.table(protocol),
        *description_text.class_tables(described, rows=description_text.ROWS_PER_PAGE),
    ]
    record = {
        "description": dataclasses.asdict(described),
        "leaks": dataclasses.asdict(leaks),
        "protocol": dataclasses.asdict(protocol),
        "why": why,
    }
    contents: dict[str, str | bytes] = {
        "txt": description_text.text(described, leaks, protocol, why),
        "tex": "\n".join(to_latex(table) for table in tables),
        "json": json.dumps(record, indent=1, ensure_ascii=False) + "\n",
        "png": draw(dataset, described),
    }
    return [
        write_whole(folder / f"{dataset.name}-description.{suffix}", content)
        for suffix, content in contents.items()
    ]
