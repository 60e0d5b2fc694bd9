"""The texts of a comparison of trained models: captions, rows and footnotes in every format."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis import budgets
from analysis.cells import RowTrials
from analysis.inference import significance
from analysis.inference.resolution import resolution, resolutions, told_apart
from analysis.lines import line, line_of_paper
from analysis.notes import TUNED_NOTE, footnotes, runs
from analysis.part import NAMES, TUNED
from analysis.sideways import merged, sections, setting, wide, wide_paper
from analysis.studied import Studied
from analysis.typesetting.formats import Texts
from analysis.typesetting.html_table import to_html
from analysis.typesetting.latex_table import to_latex
from analysis.typesetting.tabular import EMPTY, Row, Table, records_csv
from mi2p.plan import Plan

if TYPE_CHECKING:
    from analysis.comparison import Comparison

TESTED = "Each trial is tested at its best epoch on validation."


def texts(comparison: Comparison, found: Sequence[Studied]) -> Texts:
    """Suffix to content, of all data sets of a plan.

    The paper's numbers stand beside ours in HTML and, for one data set, in LaTeX; in markdown,
    which a terminal shows in 100 columns, and on a page with several data sets they stand below.
    """
    several = len(found) > 1
    tables = {on.part.dataset: beside(comparison, found, on) for on in found}
    records = [
        {"dataset": dataset, **row.record} if several else row.record
        for dataset, table in tables.items()
        for row in table.rows
    ]
    below = {on.part.dataset: _below(comparison, on, tables[on.part.dataset]) for on in found}
    return {
        "tex": "\n".join(map(to_latex, _pages(comparison, found) if several else tables.values())),
        "md": sections(_caption(comparison, found, "Δ" if several else _delta(found[0])), below),
        "html": "".join(map(to_html, tables.values())),
        "csv": records_csv(records),
    }


def beside(comparison: Comparison, found: Sequence[Studied], on: Studied) -> Table:
    """The table of one of the data sets that were found, with the paper's numbers beside ours."""
    heads = [comparison.head]
    for name, title in on.part.metrics.items():
        heads += [f"{title} (%)", "paper"] if on.part.prints(name) else [f"{title} (%)"]
    several = len(found) > 1
    return Table(
        caption=_caption(comparison, [on], _delta(on)),
        label=f"tab:{on.plan.name}{f'-{on.part.dataset}' * several}",
        heads=(*heads, _delta(on)),
        groups=_groups(comparison, on, beside=True),
        footnotes=(*_notes(comparison, found, on), *_notes_of_numbers(comparison, on)),
        comments=_comments(comparison, on),
    )


def _below(comparison: Comparison, on: Studied, table: Table) -> list[Table]:
    """Our numbers, then the paper's, with the words of the table that has them side by side."""
    heads = tuple(f"{title} (%)" for title in on.part.metrics.values())
    ours = Table(
        caption=table.caption,
        label=table.label,
        heads=(comparison.head, *heads, _delta(on)),
        groups=_groups(comparison, on, beside=False),
        footnotes=table.footnotes,
    )
    if not on.part.printed:
        return [ours]
    titles = (title for name, title in on.part.metrics.items() if on.part.prints(name))
    theirs = Table(
        caption=f"{_of_paper(comparison)}, and our 95 % intervals:",
        label=table.label,
        heads=(comparison.head, *(f"{title}, paper" for title in titles)),
        groups=tuple(
            tuple(line_of_paper(row, on) for row in group) for group in _grouped(comparison, on)
        ),
    )
    return [ours, theirs]


def _pages(comparison: Comparison, found: Sequence[Studied]) -> list[Table]:
    """Several data sets side by side, and the paper's numbers in another table."""
    plan = found[0].plan
    notes = {on.part.dataset: _notes(comparison, found, on) for on in found}
    marks = {
        on.part.dataset: significance.notes_of_differences(on, reference=comparison.reference_name)
        for on in found
    }
    fine = {on.part.dataset: [*_resolvable(on), *on.rare] for on in found}
    sizes = _sizes(found)
    ours = wide(
        found,
        head=comparison.head,
        group=comparison.group,
        caption=(
            f"{comparison.subject(plan)} {runs(plan, sizes)} {_tested(found)}"
            f"{significance.sentence(found)}"
        ),
        label=f"tab:{plan.name}",
        footnotes=(
            *_absent(found),
            *merged(notes),
            *merged(marks),
            *_resolutions(found),
            *merged(fine),
        ),
        comments=_comments(comparison, found[0]),
    )
    if not any(on.part.printed for on in found):
        return [ours]
    theirs = wide_paper(
        found,
        head=comparison.head,
        group=comparison.group,
        caption=f"{_of_paper(comparison)}, all in %.",
        label=f"tab:{plan.name}-paper",
        footnotes=significance.note_of_paper(found, printed_for=comparison.printed_for),
    )
    return [ours, theirs]


def _groups(comparison: Comparison, on: Studied, *, beside: bool) -> tuple[tuple[Row, ...], ...]:
    return tuple(
        tuple(line(row, on, beside=beside) for row in group) for group in _grouped(comparison, on)
    )


def _grouped(comparison: Comparison, on: Studied) -> list[tuple[RowTrials, ...]]:
    """The rows between rules."""
    return [tuple(group) for _, group in itertools.groupby(on.part.rows, key=comparison.group)]


def _of_paper(comparison: Comparison) -> str:
    return f"The paper's numbers (its Table {comparison.number})"


def _delta(on: Studied) -> str:
    return f"Δ {on.part.primary_head}"


def _caption(comparison: Comparison, found: Sequence[Studied], delta: str) -> str:
    plan = _plan(found)
    several = any(len(row.specs) > 1 for row in plan.rows)
    return (
        f"{comparison.subject(plan)} {runs(plan, _sizes(found))} {delta} is the paired "
        f"difference, in points, to the row of {comparison.reference_name}"
        f"{', ± its standard error over seeds' * several}. {_tested(found)}"
        f"{significance.sentence(found)}"
    )


def _plan(found: Sequence[Studied]) -> Plan:
    """The plan with the rows of these data sets alone."""
    plan, datasets = found[0].plan, {on.part.dataset for on in found}
    return replace(plan, rows=tuple(row for row in plan.rows if row.dataset in datasets))


def _comments(comparison: Comparison, on: Studied) -> tuple[str, ...]:
    name, number = on.plan.name, comparison.number
    module = f"table{number}" if number else "search_table"
    return (
        f"Plan {name} (plans/{name}.json), written by analysis/{module}.py.",
        "Under each row: what it is made of (trials/<id>.parquet); "
        f"every cell is in {name}.json beside this file.",
    )


def _notes(comparison: Comparison, found: Sequence[Studied], on: Studied) -> list[str]:
    """What is to be told of the trials, and of the searches that chose them."""
    part = on.part
    return [
        *footnotes(part.rows),
        *budgets.notes(part.rows, are_equal=budgets.equal(_rows(found))),
        *comparison.notes(part.rows),
        *([TUNED_NOTE] if TUNED.keys() & part.metrics.keys() else []),
        *significance.notes(on),
    ]


def _notes_of_numbers(comparison: Comparison, on: Studied) -> list[str]:
    told = significance.notes_of_differences(on, reference=comparison.reference_name)
    told += significance.note_of_paper([on], printed_for=comparison.printed_for)
    accuracies = on.part.accuracies()
    if on.part.num_test and accuracies:
        told.append(resolution(accuracies, on.part.num_test))
    return [*_unreferenced(comparison, on), *told, *_resolvable(on), *on.rare]


def _unreferenced(comparison: Comparison, on: Studied) -> list[str]:
    """Which rows lack what they would be compared with."""
    lone = [row.row.label for row in on.part.rows if on.references.get(row.row.key, row) is None]
    if not lone:
        return []
    return [
        f"{_delta(on)} {EMPTY}: the plan has no row of {comparison.reference_name} for "
        f"{', '.join(lone)}."
    ]


def _absent(found: Sequence[Studied]) -> list[str]:
    """Where a row that stands beside others is not of the plan."""
    labels = {row.row.key: row.row.label for row in _rows(found)}
    told = []
    for on in found:
        there = {row.row.key for row in on.part.rows}
        lacking = [label for key, label in labels.items() if key not in there]
        if lacking:
            told.append(f"on {setting(on.part.dataset)}: {', '.join(lacking)}")
    return [f"{EMPTY} where the plan has no such row: {'; '.join(told)}."] if told else []


def _resolvable(on: Studied) -> list[str]:
    widths = on.study.resolvable.get(on.part.primary)
    if widths is None or not on.part.num_test:
        return []
    seeds = [len(row.finished) for row in on.part.rows if not row.finished.empty]
    name = NAMES[on.part.primary]
    return [told_apart(widths, name, num_test=on.part.num_test, seeds=seeds)]


def _resolutions(found: Sequence[Studied]) -> list[str]:
    best = {}
    for on in found:
        accuracies = [cell.mean for cell in on.part.accuracies() if cell.mean is not None]
        if accuracies and on.part.num_test:
            best[setting(on.part.dataset)] = (max(accuracies), on.part.num_test)
    return [resolutions(best)] if best else []


def _tested(found: Sequence[Studied]) -> str:
    """The sentences of a caption on what was searched and what is tested."""
    return budgets.sentence(_rows(found)) + TESTED


def _rows(found: Sequence[Studied]) -> list[RowTrials]:
    return [row for on in found for row in on.part.rows]


def _sizes(found: Sequence[Studied]) -> dict[str, int]:
    return {on.part.dataset: on.part.num_test for on in found if on.part.num_test}
