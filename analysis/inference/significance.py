"""What a table says of its intervals and tests: what bold letters and marks mean."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.inference.pairs import LEVEL
from analysis.lines import DIFFERS, PLACES
from analysis.studied import Studied
from analysis.typesetting.tabular import EMPTY

UNTESTED = "No intervals, tests and verdicts: "
"""How the note begins that says why there are none."""


def sentence(found: Sequence[Studied]) -> str:
    """Of a caption, with a space before it: what bold is; empty if nothing is."""
    if not any(on.study.tested for on in found):
        return ""
    each = " and data set" if len(found) > 1 else ""
    return (
        " Bold: not significantly worse than the best of its metric"
        f"{each} (paired test over test examples and seeds, level {LEVEL}, Holm over all "
        "pairs of rows)."
    )


def notes(on: Studied) -> list[str]:
    """Which rows nothing is said of, and why."""
    if on.damaged:
        return [f"{UNTESTED}predictions of these trials are damaged, or not of the same examples."]
    finished = {row.row.key: row.row.label for row in on.part.rows if not row.finished.empty}
    without = [label for key, label in finished.items() if key in on.study.untested]
    if without and len(without) == len(finished):
        return [f"{UNTESTED}the predictions of these trials are not kept."]
    told = []
    if without:
        told.append(
            "No interval, test and verdict, as not all their predictions are kept: "
            f"{', '.join(without)}."
        )
    fixed = [
        label
        for key, label in finished.items()
        if label not in without and (key, on.part.primary) not in on.study.intervals
    ]
    if fixed:
        told.append(f"No interval, as nothing varies over resamples: {', '.join(fixed)}.")
    return told


def notes_of_differences(on: Studied, *, reference: str) -> list[str]:
    """What the mark of a row is that is compared with the row of `reference`."""
    if not on.study.against:
        return []
    count = sum(other is not None for other in on.references.values())
    test = (
        f"(paired test over test examples and seeds, level {LEVEL}, Holm over the {count} "
        f"row{'s' * (count > 1)} with a reference)"
    )
    if any(on.differs(row) for row in on.part.rows):
        told = [f"{DIFFERS}: significantly differs from the row of {reference} {test}."]
    else:
        told = [f"No row significantly differs from that of {reference} {test}."]
    return told


def note_of_paper(on: Sequence[Studied], *, printed_for: str) -> list[str]:
    """What stands under "paper", and what its marks are."""
    if not any(one.part.printed for one in on):
        return []
    where = f"there for {printed_for}" if printed_for else "there"
    told = [
        f"paper: as printed {where}, without deviation or number of runs; {EMPTY}: it has no such "
        "row."
    ]
    if any(
        one.verdict(row, metric)
        for one in on
        for row in one.part.rows
        for metric in one.part.metrics
    ):
        told.append(
            f"{PLACES['inside']}, {PLACES['above']}, {PLACES['below']}: the paper's number lies "
            "in, above or below the 95 % interval of our mean over seeds (of test examples and "
            "seeds together)."
        )
    return told
