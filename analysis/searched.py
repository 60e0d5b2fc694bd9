"""What the searches of a plan's rows found on validation.

`python analysis/searched.py [results] [--plan NAME]` writes
`results/tables/<plan>-search.{tex,md,html,csv}` of every plan with searched rows unless one is
named, from the plan and the stored trials alone; tables write these, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analysis.budgets import method
from analysis.configurations import Candidate, Changes, Found, assignments, find, told
from analysis.part import NAMES
from analysis.sideways import setting
from analysis.typesetting.formats import texts_of, write_texts
from analysis.typesetting.tabular import EMPTY, Row, Table, Value, number, percent
from mi2p.options import SEARCH_SEED
from mi2p.plan import Plan, read_plan
from mi2p.store import load

LINE = 44
"""Letters of a configuration in a line of LaTeX, which does not break cells; elsewhere all."""


def write(results: Path, plan: Plan) -> list[Path]:
    """Write what was found; nothing if no row of the plan was searched.

    `FileNotFoundError` if there are no trials; `ValueError` if one of a search has a spec that is
    none any more.
    """
    if not any(row.searched for row in plan.rows):
        return []
    found = find(plan, load(results))
    texts = texts_of(tables(plan, found), records(found), latex=tables(plan, found, LINE))
    return write_texts(results / "tables", f"{plan.name}-search", texts)


def tables(plan: Plan, found: Sequence[Found], line: int = sys.maxsize) -> list[Table]:
    """What was found and, where there were two objectives, the fronts.

    A configuration goes on in the next row after `line` letters.
    """
    fronts = [one for one in found if one.searched.against is not None]
    return [_summary(plan, found, line), *([_fronts(plan, fronts, line)] if fronts else [])]


def records(found: Sequence[Found]) -> Iterator[Mapping[str, Value]]:
    """A line for each search and for each configuration of a front; values in percent."""
    for one in found:
        searched = one.searched
        of = {"dataset": one.row.dataset, "row": one.row.key, "label": one.row.label}
        yield {
            **of,
            "what": "best",
            "study": searched.study,
            "method": method(searched),
            "wanted": searched.wanted,
            "tried": searched.tried,
            "pruned": searched.pruned,
            "failed": searched.failed,
            "metric": searched.metric,
            "declared": percent(searched.first),
            "value": percent(searched.best),
            "changes": None if one.changes is None else assignments(one.changes),
        }
        for candidate in one.front:
            yield {
                **of,
                "what": "front",
                "study": searched.study,
                "metric": searched.metric,
                "value": percent(candidate.value),
                "against": searched.against,
                "cost": candidate.cost,
                "changes": None if candidate.changes is None else assignments(candidate.changes),
                "trial_id": candidate.trial_id,
            }


def _summary(plan: Plan, found: Sequence[Found], line: int) -> Table:
    return Table(
        caption=(
            f"What the searches of {plan.name} found: {_metrics(found)} on validation of each row "
            "as declared and of the best configuration tried, and what that has otherwise."
        ),
        label=f"tab:{plan.name}-search",
        heads=("Row", "tried", "declared (%)", "best (%)", "chosen"),
        groups=tuple(
            tuple(row for one in of for row in _lines(_cells(one), _chosen(one), line))
            for of in _by_dataset(found).values()
        ),
        titles=_titles(found),
        footnotes=tuple(_notes(plan, found)),
        comments=(
            f"Plan {plan.name} (plans/{plan.name}.json), written by analysis/searched.py.",
            *(f"{one.row.label}: study {one.searched.study}" for one in found),
        ),
        size="footnotesize",
    )


def _fronts(plan: Plan, found: Sequence[Found], line: int) -> Table:
    ordered = [one for of in _by_dataset(found).values() for one in of if one.front]
    several = len(_by_dataset(found)) > 1
    costs = dict.fromkeys(str(one.searched.against).replace("_", " ") for one in found)
    return Table(
        caption=(
            f"The fronts of the searches of {plan.name}: configurations that no other one tried "
            f"is better than in {_metrics(found)} on validation or in {' or '.join(costs)} and no "
            "worse in the other. The first of each row was chosen."
        ),
        label=f"tab:{plan.name}-search-front",
        heads=("Row", "validation (%)", " or ".join(costs), "otherwise than declared"),
        groups=tuple(
            tuple(
                row
                for number, candidate in enumerate(one.front)
                for row in _lines(
                    ("" if number else one.row.label, *_point(candidate)),
                    _items(one, candidate.changes),
                    line,
                )
            )
            for one in ordered
        ),
        titles=tuple(setting(one.row.dataset) for one in ordered) if several else (),
        size="footnotesize",
    )


def _cells(one: Found) -> tuple[str, ...]:
    searched = one.searched
    details = [
        f"{count} {what}"
        for count, what in ((searched.pruned, "pruned"), (searched.failed, "failed"))
        if count
    ]
    tried = str(searched.tried)
    if searched.tried < searched.wanted:
        tried += f" of {searched.wanted}"
    tried += f" ({', '.join(details)})" if details else ""
    values = (number(value, None, n=1, want=1) for value in (searched.first, searched.best))
    return (one.row.label, tried, *values)


def _point(candidate: Candidate) -> tuple[str, str]:
    cost = candidate.cost
    return (
        number(candidate.value, None, n=1, want=1),
        f"{cost:,.0f}" if cost.is_integer() else f"{cost:.1f}",
    )


def _chosen(one: Found) -> list[str]:
    return _items(one, one.changes)


def _items(one: Found, changes: Changes | None) -> list[str]:
    """What a configuration has otherwise than the row as it is declared."""
    if changes is None:
        return [EMPTY]
    both = one.row.specs[0].model.textual_units is not None
    return told(changes, both=both) or ["as declared"]


def _lines(cells: tuple[str, ...], items: Sequence[str], line: int) -> Iterator[Row]:
    """Rows with the items in the last cell; rows after the first have nothing else."""
    texts = [""]
    for i, item in enumerate(items):
        item += "," * (i + 1 < len(items))
        if texts[-1] and len(texts[-1]) + 1 + len(item) > line:
            texts.append("")
        texts[-1] += " " * bool(texts[-1]) + item
    for i, text in enumerate(texts):
        yield Row(cells=(*(cells if not i else [""] * len(cells)), text))


def _by_dataset(found: Sequence[Found]) -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(one.row.dataset, []).append(one)
    return groups


def _titles(found: Sequence[Found]) -> tuple[str, ...]:
    """Of the groups, if there are several data sets."""
    datasets = _by_dataset(found)
    return tuple(map(setting, datasets)) if len(datasets) > 1 else ()


def _metrics(found: Sequence[Found]) -> str:
    names = (one.searched.metric.removeprefix("val/") for one in found)
    return " or ".join(dict.fromkeys(NAMES.get(name, name) for name in names))


def _notes(plan: Plan, found: Sequence[Found]) -> Iterator[str]:
    methods = ", ".join(dict.fromkeys(method(one.searched) for one in found))
    yield (
        f"Searched by {methods}; every configuration was trained once, with seed {SEARCH_SEED}. "
        "The best is the largest of many values and therefore flatters: what it is worth with "
        f"other seeds on the test split is in {plan.name}. Numbers are rounded to two digits; "
        "those in full are in the CSV file."
    )
    unknown = [one.row.label for one in found if one.changes is None]
    if unknown:
        yield f"{EMPTY}: the row as declared left no trial to compare with ({', '.join(unknown)})."
    if any(one.searched.first is None for one in found):
        yield f"declared {EMPTY}: that trial did not finish."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was found, and where it is written."""
    parser = argparse.ArgumentParser(description="Say what searches found on validation.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--plan", metavar="NAME", help="default: all plans with searched rows")
    options = parser.parse_args(arguments)
    try:
        for plan in _plans(options.results, options.plan):
            paths = write(options.results, plan)
            print(paths[1].read_text(encoding="utf-8"))
            for path in paths:
                print(path)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


def _plans(results: Path, name: str | None) -> list[Plan]:
    """Those with searched rows; `ValueError` if the named one has none."""
    folder = results / "plans"
    if name is None:
        plans = [read_plan(path) for path in sorted(folder.glob("*.json"))]
        wanted = f"a plan in {folder}"
    else:
        plans = [read_plan(folder / f"{name}.json")]
        wanted = f"plan {name!r}"
    found = [plan for plan in plans if any(row.searched for row in plan.rows)]
    if not found:
        raise ValueError(f"{wanted} must have searched rows; run its sweep with --search N first")
    return found


if __name__ == "__main__":
    main()
