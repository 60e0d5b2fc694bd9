"""What a table says of the searches that chose the configurations of its rows.

Rows are comparable only if as much was tried for each: the caption names the budget if it is the
same for all, and a footnote lists them if it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from analysis.cells import RowTrials
from analysis.notes import listing
from analysis.typesetting.tabular import Value, percent
from mi2p.options import SEARCH_SEED
from mi2p.plan import PlanRow, Searched

SAMPLERS: Mapping[str, str] = MappingProxyType({"tpe": "TPE", "gp": "GP", "nsga2": "NSGA-II"})
SCHEDULERS: Mapping[str, str] = MappingProxyType({"asha": "ASHA", "median": "median stopping"})
"""What is printed, where it is not the option's own name."""

COLUMNS = (
    *("study", "search_wanted", "search_tried", "search_pruned", "search_failed"),
    *("search_metric", "search_best", "search_declared"),
)
"""What the CSV says of a search."""


def sentence(rows: Sequence[RowTrials]) -> str:
    """Of a caption, with a space after it: the budget of each row. Empty if none was searched."""
    found = [row.row.searched for row in _with_budget(rows)]
    searched = [one for one in found if one is not None]
    if not searched:
        return ""
    if equal(rows):
        chosen = (
            f"the best of {_configurations(searched)} on validation "
            f"({method(searched[0])}, search seed {SEARCH_SEED})"
        )
    else:
        chosen = (
            f"the best on validation of those tried (search seed {SEARCH_SEED}), which were not "
            "equally many for all rows"
        )
    return (
        f"Hyper-parameters of each row: {chosen}; only the best was trained with the seeds of "
        "the table. "
    )


def equal(rows: Sequence[RowTrials]) -> bool:
    """Whether as much was tried, in the same way, for each row that the table has numbers of.

    Averages have no budget of their own; rows without any finished trial are not compared.
    """
    return len({_budget(row.row.searched) for row in _with_budget(rows)}) <= 1


def notes(rows: Sequence[RowTrials], *, are_equal: bool) -> list[str]:
    """Footnotes on budgets that differ, on what was not finished of them, and on averages.

    `are_equal` is about the whole table, of which `rows` may be those on one data set.
    """
    searched = {row.row.label: row.row.searched for row in rows if row.row.searched is not None}
    told = [] if are_equal else _listed(rows)
    for what, counts in (
        ("were stopped early", {label: one.pruned for label, one in searched.items()}),
        ("failed", {label: one.failed for label, one in searched.items()}),
    ):
        some = ", ".join(f"{count} of {label}" for label, count in counts.items() if count)
        if some:
            told.append(
                f"Configurations that {what}, which count as tried and cannot be the best: "
                f"{sum(counts.values())} ({some})."
            )
    return [*told, *_averages(rows)]


def columns(row: RowTrials) -> dict[str, Value]:
    """What the CSV says of the search of a row; empty if there was none."""
    one = row.row.searched
    if one is None:
        return dict.fromkeys(COLUMNS)
    values = (
        *(one.study, one.wanted, one.tried, one.pruned, one.failed, one.metric),
        *(percent(one.best), percent(one.first)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def method(searched: Searched) -> str:
    """How configurations were suggested, such as `TPE with ASHA`."""
    told = SAMPLERS.get(searched.sampler, searched.sampler)
    if searched.scheduler != "none":
        told += f" with {SCHEDULERS.get(searched.scheduler, searched.scheduler)}"
    if searched.against is not None:
        told += f" against {searched.against.replace('_', ' ')}"
    return told


def _with_budget(rows: Sequence[RowTrials]) -> list[RowTrials]:
    """Rows that are trained, and have been searched or have a number."""
    return [
        row
        for row in rows
        if not row.row.specs[0].averages and (row.row.searched or not row.finished.empty)
    ]


def _budget(searched: Searched | None) -> tuple[int, str] | None:
    return None if searched is None else (searched.tried, method(searched))


def _configurations(alike: Sequence[Searched]) -> str:
    """Such as `20 configurations`, or `12 configurations (20 wanted)`, of rows with one budget."""
    tried, wanted = alike[0].tried, max(one.wanted for one in alike)
    told = f"{tried} configuration{'s' * (tried != 1)}"
    return f"{told} ({wanted} wanted)" if tried < wanted else told


def _listed(rows: Sequence[RowTrials]) -> list[str]:
    """The budget of each row, those with the same one together; nothing if there are no rows."""
    groups: dict[tuple[int, str] | None, list[PlanRow]] = {}
    shown = _with_budget(rows)
    for row in shown:
        groups.setdefault(_budget(row.row.searched), []).append(row.row)
    told = []
    for budget, of in groups.items():
        alike = [row.searched for row in of if row.searched is not None]
        what = f"{_configurations(alike)} by {budget[1]}" if budget else "none, as declared"
        labels = "all rows" if len(of) == len(shown) > 1 else ", ".join(row.label for row in of)
        told.append(f"{what}: {labels}")
    return [f"The budgets of rows are not equal. {'; '.join(told)}."] if told else []


def _averages(rows: Sequence[RowTrials]) -> list[str]:
    """Averages of rows that were searched have no search of their own."""
    owners = {spec.trial_id: row.row for row in rows for spec in row.row.specs}
    told = []
    for row in rows:
        parts = [owners[part] for part in row.row.specs[0].averages if part in owners]
        if any(part.searched for part in parts):
            names = listing([part.label for part in parts])
            told.append(f"{row.row.label} has the budgets of {names}, which it averages.")
    return told
