"""What tables of trained models share: rows with our numbers, the paper's, and differences.

A `table<N>` declares a `Comparison`. It makes a plan and stored trials into a table
(`analysis/assembled.py`), writes it in all formats, and is the command line of its module.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis import assembled, searched
from analysis.cells import RowTrials, find_plan
from analysis.kinds import Matches, same_backbone_alone, trained_modality
from analysis.lines import entries
from analysis.part import SINGLE_LABEL, Heads, Paper, parts, printed_in, sizes_of_test
from analysis.studied import Studied, studied
from analysis.tracing.provenance import document
from analysis.typesetting.formats import write_texts
from mi2p.plan import Plan
from mi2p.store import load


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One of the paper's tables that compares trained models."""

    number: int
    """Of the table in the paper, whose numbers are in `paper/table<number>.csv`; 0 for one that
    the paper does not have."""
    head: str
    """Over the labels of the rows."""
    subject: Callable[[Plan], str]
    """The sentences of the caption that come first: what is compared."""
    printed_for: str = ""
    """What the paper's numbers are about, where its rows are not named as ours."""
    metrics: Heads = field(default_factory=lambda: SINGLE_LABEL)
    """Metrics and their heads where examples have one label."""
    group: Callable[[RowTrials], str] = trained_modality
    """A rule is drawn where it changes."""
    reference: Callable[[RowTrials], Matches | None] = same_backbone_alone
    """Which row a row is compared with, the first that matches; None if it is with none."""
    reference_name: str = "the same backbone without units"
    notes: Callable[[Sequence[RowTrials]], list[str]] = lambda rows: []
    """Footnotes that only this table needs."""
    beside: Callable[[Path, Plan], list[Path]] = lambda results, plan: []
    """Writes what stands beside the table, from the same results.

    The table is there first: a `ValueError` is a warning.
    """

    def paper(self, dataset: str) -> Paper:
        """What the paper prints, in percent, if its table is about `dataset`; else nothing."""
        return printed_in(self.number, dataset) if self.number else {}

    def studied(self, results: Path, plan: Plan, *, tuned: bool = False) -> tuple[Studied, ...]:
        """What is told of each data set of `plan`; `tuned` adds metrics at a tuned threshold.

        `ValueError` for a plan of another table, one without any finished trial, or one that mixes
        conditions.
        """
        if plan.table != self.number:
            raise ValueError(
                f"a plan for table {self.number} is needed, but {plan.name!r} is for {plan.table}"
            )
        trials = load(results)
        printed = {dataset: self.paper(dataset) for dataset in plan.datasets}
        sizes = sizes_of_test(results, plan, trials)
        found = parts(plan, trials, printed, sizes, self.metrics, tuned=tuned)
        return studied(results, plan, found, self.reference)

    def write(self, results: Path, plan: Plan, *, tuned: bool = False) -> list[Path]:
        """Write the table of `plan` in all formats and what it is made of, each file whole.

        The LaTeX comes first, the JSON of `analysis/tracing/provenance.py` last; what stands
        beside the table follows. Several data sets stand side by side in LaTeX and one below the
        other elsewhere. Errors are those of `studied`.
        """
        found = self.studied(results, plan, tuned=tuned)
        made = assembled.texts(self, found)
        shown = {f"{plan.name}.{suffix}": text for suffix, text in made.items()}
        cells = [entry for on in found for row in on.part.rows for entry in entries(row, on)]
        made["json"] = document(results, plan, cells, shown)
        paths = write_texts(results / "tables", plan.name, made)
        for write in (searched.write, self.beside):
            try:
                paths += write(results, plan)
            except ValueError as error:
                warnings.warn(
                    f"the table is written, but not what stands beside it: {error}", stacklevel=2
                )
        return paths

    def build(
        self, results: Path, plan_name: str | None = None, *, tuned: bool = False
    ) -> list[Path]:
        """Write the table of a plan kept in `results/plans`; without a name, of the only one."""
        plan = find_plan(results, table=self.number, name=plan_name)
        return self.write(results, plan, tuned=tuned)

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Write the table and print where it is."""
        parser = argparse.ArgumentParser(description="Write this table from stored trials.")
        parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
        parser.add_argument("--plan", metavar="NAME", help="needed when there are several plans")
        parser.add_argument(
            "--tuned-threshold",
            action="store_true",
            help="where examples have several labels: also metrics at a tuned threshold",
        )
        options = parser.parse_args(arguments)
        try:
            paths = self.build(options.results, options.plan, tuned=options.tuned_threshold)
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(f"error: {error}") from error
        for path in paths:
            print(path)
