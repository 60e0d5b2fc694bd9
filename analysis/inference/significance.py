"""What a table says of its intervals and tests: what bold letters and marks mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.inference.pairs import LEVEL
from analysis.lines import DIFFERS, PLACES
from analysis.notes import listing
from analysis.studied import Studied
from analysis.typesetting.tabular import EMPTY

UNTESTED = "No intervals, tests and verdicts: "
"""How the note begins that says why there are none."""


def sentence(found: Sequence[Studied]) -> str:
    """Of a caption, with a space before it: what bold is; empty if nothing is."""
    if not any(on.study.not_worse for on in found):
        return ""
    each = " and data set" if len(found) > 1 else ""
    return (
        " Bold: not significantly worse than the best of its metric"
        f"{each} (paired test over test examples and seeds, level {LEVEL}, Holm over all "
        f"pairs of rows{_of_all(found[0])}, for each metric)."
    )


def _of_all(on: Studied) -> str:
    """What p is adjusted over, with a space before it."""
    return " of all data sets" if len(on.plan.datasets) > 1 else ""


def notes(on: Studied) -> list[str]:
    """Which rows nothing is said of, and why."""
    if on.damaged:
        return [
            f"{UNTESTED}predictions of these trials are damaged, not of the same examples, or do "
            "not give their metrics."
        ]
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
    if not on.study.of_methods:
        told.append(
            "With one seed per row nothing is said of methods: no tests. Intervals are over test "
            "examples only, of these trained models."
        )
    return [*told, *_of_best(on, finished)]


def _of_best(on: Studied, labels: Mapping[str, str]) -> list[str]:
    """Metrics whose best row is not tested, and rows that are not compared with the best."""
    heads, study = on.part.metrics, on.study
    unknown = [heads[metric] for metric in heads if study.not_worse.get(metric) == frozenset()]
    told = []
    if unknown:
        told.append(
            f"Nothing is bold in {listing(unknown)}: a row that is not tested has the highest "
            "mean."
        )
    apart: dict[frozenset[str], list[str]] = {}
    for metric in heads:
        if keys := study.apart.get(metric):
            apart.setdefault(keys, []).append(heads[metric])
    for keys, of in apart.items():
        named = ", ".join(label for key, label in labels.items() if key in keys)
        told.append(
            f"Not compared with the best of {listing(of)}, and so not bold, as no seed is common: "
            f"{named}."
        )
    return told


def notes_of_differences(on: Studied, *, reference: str) -> list[str]:
    """What the mark of a row is that is compared with the row of `reference`."""
    missing = _not_tested(on, reference) if on.study.not_worse else []
    if not on.study.against:
        return missing
    count = on.study.compared
    test = (
        f"(paired test over test examples and seeds, level {LEVEL}, Holm over the {count} "
        f"row{'s' * (count > 1)} with a reference{_of_all(on)})"
    )
    if any(on.differs(row) for row in on.part.rows):
        told = [f"{DIFFERS}: significantly differs from the row of {reference} {test}."]
    else:
        told = [f"No row significantly differs from that of {reference} {test}."]
    return [*told, *missing]


def _not_tested(on: Studied, reference: str) -> list[str]:
    """Rows that have a number beside that of their reference, and no test."""
    labels = [
        row.row.label
        for row in on.part.rows
        if not row.finished.empty
        and on.references.get(row.row.key) is not None
        and row.row.key not in on.study.against
    ]
    if not labels:
        return []
    return [
        f"Not tested against the row of {reference}, as not all predictions of both are there, or "
        f"no seed is common: {', '.join(labels)}."
    ]


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
            f"in, above or below the 95 % interval of {_interval(on)}."
        )
    return told


def _interval(on: Sequence[Studied]) -> str:
    """What intervals are of."""
    if any(one.study.of_methods for one in on):
        return "our mean over seeds (of test examples and seeds together)"
    return "our number (over test examples only, of these trained models)"
