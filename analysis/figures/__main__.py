"""`python -m analysis.figures [results] [--plan NAME] [--only dots ...]` draws what is stored.

Writes `results/figures/<name>.{pdf,png}` for every plan in `results/plans`, or the one named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.figures.catalogue import FIGURES
from mi2p.plan import Plan, read_plan


def write(results: Path, plan: Plan, only: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """Write the figures of a plan; where they are, and the errors of those that failed."""
    paths: list[Path] = []
    errors = []
    for name, draw in FIGURES.items():
        if only and name not in only:
            continue
        try:
            for drawn in draw(results, plan):
                paths += drawn.write(results / "figures")
        except (OSError, ValueError) as error:  # a damaged file is either
            errors.append(f"{name} of {plan.name}: {error}")
    return paths, errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Print where figures are written; ends with an error if one failed or there is none."""
    parser = argparse.ArgumentParser(prog="figures", description="Draw figures of stored trials.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--plan", metavar="NAME", help="default: all plans")
    parser.add_argument("--only", nargs="+", choices=tuple(FIGURES), default=(), metavar="FIGURE")
    options = parser.parse_args(arguments)
    try:
        plans = _plans(options.results, options.plan)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    written, errors = 0, []
    for plan in plans:
        paths, failed = write(options.results, plan, options.only)
        for path in paths:
            print(path)
        written += len(paths)
        errors += failed
    for told in errors:
        print(f"error: {told}", file=sys.stderr)
    if not written and not errors:
        print("error: no trial to draw is finished yet", file=sys.stderr)
    if errors or not written:
        raise SystemExit(1)


def _plans(results: Path, name: str | None) -> list[Plan]:
    folder = results / "plans"
    if name is not None:
        return [read_plan(folder / f"{name}.json")]
    plans = [read_plan(path) for path in sorted(folder.glob("*.json"))]
    if not plans:
        raise FileNotFoundError(f"no plan in {folder}; run a sweep first")
    return plans


if __name__ == "__main__":
    main()
