"""Every table of a results folder.

`python analysis/tables.py [results]` writes all of them to `results/tables`, says of each plan
without a table why it has none, and exits with 1 if there is no table at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from analysis import search_table, table1, table2, table3, table4, table5, table6
from analysis.comparison import Comparison
from mi2p.plan import Plan, read_plan

COMPARISONS: Mapping[int, Comparison] = MappingProxyType(
    {
        one.number: one
        for one in (
            table3.TABLE,
            table4.TABLE,
            table5.TABLE,
            table6.TABLE,
            search_table.TABLE,
        )
    }
)
"""By the number of a plan's table in the paper; 0 for searched models, which it has not."""
OF_ALL: Mapping[str, Callable[[Path], list[Path]]] = MappingProxyType(
    {"table1": table1.write, "table2": table2.write}
)
"""Tables of all plans together."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a plan's tables, or of a table of all plans."""

    name: str
    """Of the plan (the stem of its file), or `table1` and `table2`."""
    paths: tuple[Path, ...] = ()
    """LaTeX, markdown, HTML, CSV and JSON of the table itself, then what stands beside it."""
    reason: str = ""
    """Why there are no files."""


def write_all(results: Path) -> list[Written]:
    """Write Tables 1 and 2, then the tables of every plan with what stands beside them.

    What cannot be written has a reason and is no exception: plans without a finished trial, mixed
    conditions, damaged files. `FileNotFoundError` if `results` is no folder.
    """
    if not results.is_dir():
        raise FileNotFoundError(f"a results folder is needed, but {results} is none")
    made = [_written(name, partial(write, results)) for name, write in OF_ALL.items()]
    for path in sorted((results / "plans").glob("*.json")):
        made.append(_written(path.stem, partial(_of_file, results, path)))
    return made


def of_plan(results: Path, plan: Plan) -> list[Path]:
    """Write the tables of a plan; `ValueError` as `Comparison.write` has it, or if none is its."""
    if plan.table not in COMPARISONS:
        known = ", ".join(map(str, sorted(COMPARISONS)))
        raise ValueError(f"{plan.name} is for table {plan.table}, but there are {known}")
    return COMPARISONS[plan.table].write(results, plan)


def _of_file(results: Path, path: Path) -> list[Path]:
    return of_plan(results, read_plan(path))


def _written(name: str, write: Callable[[], list[Path]]) -> Written:
    try:
        return Written(name=name, paths=tuple(write()))
    # A plan that was edited by hand can lack what its reader takes for granted.
    except (OSError, ValueError, TypeError, KeyError) as error:
        return Written(name=name, reason=f"{type(error).__name__}: {error}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print where the tables are, and why others are not."""
    parser = argparse.ArgumentParser(description="Write every table of a results folder.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    try:
        made = write_all(parser.parse_args(arguments).results)
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from error
    for one in made:
        if one.paths:
            print(*one.paths, sep="\n")
        else:
            print(f"no {one.name}: {one.reason}", file=sys.stderr)
    if not any(one.paths for one in made):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
