"""Which of the paper's claims hold in a results folder ("From Table 3 ...", section 4.3).

`python analysis/claims.py [results] [--plan NAME]` compares methods in pairs, on the stored
predictions of the same test examples (`analysis/inference/pairs.py` says how,
`analysis/judging.py` when a claim holds), prints what became of the claims and writes
`results/tables/claims-<plan>.{tex,md,html,csv}`, of every plan for Table 3 or 4 unless one is
named. Tables 3 and 4 write these, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from analysis.cells import find_plans
from analysis.observations import observe
from analysis.part import parts, printed_in, sizes_of_test
from analysis.typesetting.formats import SUFFIXES, Texts, write_texts
from analysis.verdicts import texts
from mi2p.plan import Plan, read_plan
from mi2p.store import load

TABLES = (3, 4)


def write(results: Path, plan: Plan) -> list[Path]:
    """Write what became of the claims; nothing if no pair has predictions of both methods.

    What was written before is gone if it cannot be said any more. `ValueError` for a plan of
    another table than 3 and 4, one without any finished trial, or predictions that are damaged.
    """
    if plan.table not in TABLES:
        raise ValueError(
            f"a plan for table 3 or 4 is needed, but {plan.name!r} is for {plan.table}"
        )
    folder, stem = results / "tables", f"claims-{plan.name}"
    made: Texts = {}
    try:
        made = _texts(results, plan)
    finally:
        if not made:
            for suffix in SUFFIXES:
                (folder / f"{stem}.{suffix}").unlink(missing_ok=True)
    return write_texts(folder, stem, made)


def _texts(results: Path, plan: Plan) -> Texts:
    """By the suffixes of the files; none if no pair can be compared."""
    trials = load(results)
    printed = {dataset: printed_in(plan.table, dataset) for dataset in plan.datasets}
    found = observe(results, parts(plan, trials, printed, sizes_of_test(results, plan, trials)))
    if not any(observed.begun for observed in found):
        return {}
    return texts(plan, found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what became of the claims, and where it is written."""
    parser = argparse.ArgumentParser(description="Say which of the paper's claims hold.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--plan", metavar="NAME", help="default: all plans for Table 3 or 4")
    options = parser.parse_args(arguments)
    problems = []
    try:
        plans = (
            find_plans(options.results, tables=TABLES)
            if options.plan is None
            else [read_plan(options.results / "plans" / f"{options.plan}.json")]
        )
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    for plan in plans:
        try:
            _show(options.results, plan)
        except (FileNotFoundError, ValueError) as error:  # the other plans are told all the same
            problems.append(f"error: {error}")
    if problems:
        raise SystemExit("\n".join(problems))


def _show(results: Path, plan: Plan) -> None:
    paths = write(results, plan)
    if not paths:
        raise ValueError(
            "a pair of methods needs predictions of a seed that both have, but plan "
            f"{plan.name!r} has no such pair in {results / 'predictions'}"
        )
    for path in paths:
        if path.suffix == ".md":
            print(path.read_text(encoding="utf-8"))
    for path in paths:
        print(path)


if __name__ == "__main__":
    main()
