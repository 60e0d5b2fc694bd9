"""How many seeds two rows need for their difference to be found, from the seeds they have.

`python analysis/seed_planner.py [results] --plan NAME --rows A B [--difference POINTS]
[--power 0.8] [--metric NAME] [--dataset NAME]` prints how many seeds of each row the test of
`analysis/inference/pairs.py` needs to find the difference with this power at the level 0.05, or
that no number of seeds will do, as the noise of the test examples alone is too large.
`analysis/inference/power.py` says how it is computed. Without `--difference` it is the one that
the pilot shows, whose luck is then in the plan: name the difference that would matter.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.inference.pairs import LEVEL, measured
from analysis.inference.power import MOST, Pilot, needed, outlook, pilot
from analysis.part import Part, parts
from analysis.predictions import of_rows
from analysis.typesetting.tabular import MINUS
from mi2p.plan import Plan, read_plan
from mi2p.store import load

POWER = 0.8
LADDER = (2, 3, 5, 10, 20, 50, 100)
"""Numbers of seeds that are shown beside the one that is needed."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What so many seeds of each row give."""

    seeds: int | None
    """None: any number."""
    power: float
    """With which the difference is found."""
    resolvable: float
    """The difference that is found with the wanted power, a fraction."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """How many seeds find a difference of two rows, and how far the pilot tells."""

    labels: tuple[str, str]
    dataset: str
    metric: str
    pilot: Pilot
    difference: float
    """To be found; a fraction above 0."""
    observed: bool
    """Whether it is the one that the pilot shows."""
    power: float
    """Wanted."""
    seeds: int | None
    """Of each row; None: more than `MOST`, or none will do."""
    fewest: int | None
    """The same with the smallest variance between seeds that the pilot leaves open (95 %)."""
    most: int | None
    """With the largest one, and the largest noise of the test examples."""
    surely: float
    """The difference that any number of seeds finds with that noise, a fraction."""
    steps: tuple[Step, ...]
    """The last is of any number of seeds."""

    @property
    def hopeless(self) -> bool:
        """Whether no number of seeds will do."""
        return self.steps[-1].power < self.power

    @property
    def uncertain(self) -> bool:
        """Whether the pilot leaves open that no number of seeds will do."""
        return self.surely > self.difference

    @property
    def examples(self) -> int:
        """How many test examples are needed, at least, with any number of seeds."""
        times = (self.steps[-1].resolvable / self.difference) ** 2
        return math.ceil(times * self.pilot.num_examples)


def planned(
    results: Path,
    plan: Plan,
    rows: tuple[str, str],
    *,
    dataset: str | None = None,
    metric: str | None = None,
    difference: float | None = None,
    power: float = POWER,
) -> Planned:
    """From the predictions of a plan's trials; `difference` is a fraction, or else the pilot's.

    The metric is the primary one unless it is named. `ValueError` where the rows are not there,
    share fewer than two seeds with predictions, tell nothing, or nothing can be asked for.
    """
    part = _part(results, plan, rows, dataset)
    metric = metric or part.primary
    methods = of_rows(results, part.rows, multilabel=part.multilabel)
    lacking = [key for key in rows if key not in methods]
    if lacking:
        raise ValueError(
            f"a pilot needs stored predictions of both rows, but {lacking[0]!r} has none in "
            f"{results / 'predictions'}"
        )
    found = pilot(measured(methods, [metric])[metric], *rows)
    wanted = abs(found.difference.mean) if difference is None else difference
    if not 0 < wanted < 1:
        raise ValueError(
            "the difference to be found must be above 0 and below 100 points, but "
            f"{'the pilot shows' if difference is None else 'it is'} {100 * wanted:g}; name "
            "one with --difference"
        )
    if not LEVEL < power < 1:
        raise ValueError(f"{LEVEL} < power < 1 must hold, but {power=}")
    labels = {row.row.key: row.row.label for row in part.rows}
    low, high = found.range()
    return Planned(
        labels=(labels[rows[0]], labels[rows[1]]),
        dataset=part.dataset,
        metric=metric,
        pilot=found,
        difference=wanted,
        observed=difference is None,
        power=power,
        seeds=(seeds := needed(found, wanted, power)),
        fewest=needed(low, wanted, power),
        most=needed(high, wanted, power),
        surely=outlook(high, math.inf).resolvable(power),
        steps=_steps(found, seeds, wanted, power),
    )


def text(plan: Planned) -> str:
    """What is planned, in words and as a table."""
    pilot_seeds = len(plan.pilot.difference.seeds)
    low, high = plan.pilot.difference.interval
    mean = plan.pilot.difference.mean
    lines = [
        f"{plan.labels[0]} against {plan.labels[1]}: {plan.metric} on {plan.pilot.num_examples} "
        f"test examples of {plan.dataset}.",
        f"Pilot: with {pilot_seeds} seeds each the difference is {_points(mean)} points "
        f"(95 %: {_points(low)} to {_points(high)}).",
        "",
        *_answer(plan),
        "",
        *_table(plan),
        "",
        f"Paired test at {LEVEL}, of this pair alone: among many pairs, adjusted p needs more.",
    ]
    if plan.observed:
        lines.append(
            "The difference is the one that the pilot happens to show, which is as uncertain as "
            "its interval says: name with --difference the one that would matter."
        )
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many seeds are needed."""
    parser = argparse.ArgumentParser(
        description="Say how many seeds two rows need for their difference to be found."
    )
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--plan", metavar="NAME", required=True)
    parser.add_argument("--rows", metavar="KEY", nargs=2, required=True)
    parser.add_argument("--difference", metavar="POINTS", type=float, help="default: the pilot's")
    parser.add_argument("--power", type=float, default=POWER, help="default: %(default)s")
    parser.add_argument("--metric", help="default: accuracy, or micro_f1 of several labels")
    parser.add_argument("--dataset", help="needed when the plan has several")
    options = parser.parse_args(arguments)
    points = options.difference
    try:
        found = planned(
            options.results,
            read_plan(options.results / "plans" / f"{options.plan}.json"),
            tuple(options.rows),
            dataset=options.dataset,
            metric=options.metric,
            difference=None if points is None else points / 100,
            power=options.power,
        )
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    print(text(found), end="")


def _part(results: Path, plan: Plan, rows: tuple[str, str], dataset: str | None) -> Part:
    if dataset is None and len(plan.datasets) > 1:
        raise ValueError(f"name one of the plan's data sets: {', '.join(plan.datasets)}")
    found = {part.dataset: part for part in parts(plan, load(results), {}, {})}
    wanted = dataset or plan.datasets[0]
    if wanted not in found:
        raise ValueError(f"dataset must be one of {', '.join(found)}, but is {wanted!r}")
    keys = [row.row.key for row in found[wanted].rows]
    if unknown := [key for key in rows if key not in keys]:
        raise ValueError(f"rows must be two of {', '.join(keys)}, but got {unknown[0]!r}")
    if rows[0] == rows[1]:
        raise ValueError(f"rows must be two of {', '.join(keys)}, but both are {rows[0]!r}")
    return found[wanted]


def _steps(pilot: Pilot, seeds: int | None, difference: float, power: float) -> tuple[Step, ...]:
    shown = sorted({*LADDER, len(pilot.difference.seeds), *([seeds] if seeds else [])})
    found = []
    for count in (*shown, math.inf):
        then = outlook(pilot, count)
        found.append(
            Step(
                seeds=None if math.isinf(count) else int(count),
                power=then.power(difference),
                resolvable=then.resolvable(power),
            )
        )
    return tuple(found)


def _answer(plan: Planned) -> list[str]:
    """How many seeds."""
    wanted = f"{100 * plan.difference:.1f} points with a power of {100 * plan.power:.0f} %"
    if plan.hopeless:
        return [
            f"No number of seeds finds {wanted}: the noise of the test examples alone is too "
            f"large. With any number of seeds, {100 * plan.steps[-1].resolvable:.1f} points can "
            f"be found; {100 * plan.difference:.1f} need at least {plan.examples} test examples "
            f"(there are {plan.pilot.num_examples})."
        ]
    if plan.uncertain:
        return [
            f"To find {wanted}: {_count(plan.seeds)} seeds of each row by the pilot's estimates, "
            "but it is not known whether any number will do: the noise of the test examples may "
            f"be as large as all that the pilot shows, and then no less than "
            f"{100 * plan.surely:.1f} points are found with any number of seeds.",
            "What seeds change is known from few: by its 95 % interval, at least "
            f"{_count(plan.fewest)} seeds.",
        ]
    return [
        f"To find {wanted}: {_count(plan.seeds)} seeds of each row.",
        f"What seeds change is known from few: by its 95 % interval, from {_count(plan.fewest)} "
        f"to {_count(plan.most)} seeds.",
    ]


def _table(plan: Planned) -> list[str]:
    lines = [f"seeds of each  power  points found with {100 * plan.power:.0f} %"]
    for step in plan.steps[:-1] if not plan.pilot.floor else plan.steps:
        seeds = "any number" if step.seeds is None else str(step.seeds)
        lines.append(f"{seeds:>13}  {100 * step.power:3.0f} %  {100 * step.resolvable:.1f}")
    if not plan.pilot.floor:
        lines += [
            "",
            "The pilot shows no noise of the test examples beyond chance answers of single "
            "trials, and the table has none.",
        ]
    return lines


def _count(seeds: int | None) -> str:
    return f"more than {MOST}" if seeds is None else str(seeds)


def _points(fraction: float) -> str:
    return format(100 * fraction, "+z.1f").replace("-", MINUS)


if __name__ == "__main__":
    main()
