"""Which of the paper's claims hold in a results folder ("From Table 3 ...", section 4.3).

`python analysis/claims.py [results] [--plan NAME]` compares methods in pairs, on the stored
predictions of the same test examples (`analysis/pairs.py` says how), prints what became of the
claims and writes `results/tables/claims-<plan>.{tex,md,csv}`. Tables 3 and 4 write these, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from analysis.cells import find_plan
from analysis.observations import observe
from analysis.part import parts, sizes_of_test
from analysis.verdicts import csv_text, latex, markdown
from mi2p.files import write_whole
from mi2p.plan import Plan
from mi2p.store import load

TABLES = (3, 4)


def write(results: Path, plan: Plan) -> list[Path]:
    """Write what became of the claims; nothing if no pair has predictions of both methods.

    `ValueError` for a plan of another table than 3 and 4, or one without any finished trial.
    """
    if plan.table not in TABLES:
        raise ValueError(
            f"a plan for table 3 or 4 is needed, but {plan.name!r} is for {plan.table}"
        )
    trials = load(results)
    found = observe(results, parts(plan, trials, {}, sizes_of_test(results, plan, trials)))
    if not any(observed.begun for observed in found):
        return []
    texts = {"tex": latex(plan, found), "md": markdown(plan, found), "csv": csv_text(found)}
    folder = results / "tables"
    return [
        write_whole(folder / f"claims-{plan.name}.{suffix}", text)
        for suffix, text in texts.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what became of the claims, and where it is written."""
    parser = argparse.ArgumentParser(description="Say which of the paper's claims hold.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--plan", metavar="NAME", help="needed when there are several plans")
    options = parser.parse_args(arguments)
    try:
        plan = find_plan(options.results, table=TABLES, name=options.plan)
        paths = write(options.results, plan)
        if not paths:
            raise ValueError(
                f"a pair of methods needs predictions of a seed that both have, but plan "
                f"{plan.name!r} has no such pair in {options.results / 'predictions'}"
            )
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    for path in paths:
        if path.suffix == ".md":
            print(path.read_text(encoding="utf-8"))
    for path in paths:
        print(path)


if __name__ == "__main__":
    main()
