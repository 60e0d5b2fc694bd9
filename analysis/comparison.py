"""What tables of trained models share: rows with our numbers, the paper's, and differences.

A `table<N>` declares a `Comparison`. It makes a plan and stored trials into a table, writes it as
LaTeX, markdown and CSV, and is the command line of its module.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis import budgets, searched
from analysis.cells import Cell, RowTrials, find_plan, paired
from analysis.kinds import Matches, same_backbone_alone, trained_modality
from analysis.notes import TUNED_NOTE, footnotes, runs
from analysis.part import SINGLE_LABEL, TUNED, Heads, Paper, Part, parts, printed_in, sizes_of_test
from analysis.resolution import resolution
from analysis.sideways import sections, wide
from analysis.tabular import (
    EMPTY,
    Row,
    Table,
    Value,
    number,
    percent,
    records_csv,
    to_csv,
    to_latex,
    to_markdown,
)
from mi2p.files import write_whole
from mi2p.plan import Plan
from mi2p.store import load

TESTED = "Each trial is tested at its best epoch on validation."


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
    of_delta: str = ""
    """A footnote on ± of the differences, with `{plan}` for the plan's name."""
    beside: Callable[[Path, Plan], list[Path]] = lambda results, plan: []
    """Writes what stands beside the table, from the same results.

    The table is there first: a `ValueError` is a warning.
    """

    def paper(self, dataset: str) -> Paper:
        """What the paper prints, in percent, if its table is about `dataset`; else nothing."""
        return printed_in(self.number, dataset) if self.number else {}

    def table(
        self,
        plan: Plan,
        trials: pd.DataFrame,
        *,
        printed: Paper,
        num_test: int | None = None,
        tuned: bool = False,
    ) -> Table:
        """The table of `plan`, which is on one data set, from rows of `mi2p.store.load`.

        `printed` holds the paper's numbers to stand beside ours, and nothing when they are about
        another data set; `num_test` the size of the test split, if known; `tuned` adds metrics at
        a tuned threshold.
        """
        (dataset,) = plan.datasets
        sizes = {} if num_test is None else {dataset: num_test}
        found = parts(plan, trials, {dataset: printed}, sizes, self.metrics, tuned=tuned)
        (part,) = found
        return self._of_part(plan, part, _equal(found))

    def write(self, results: Path, plan: Plan, *, tuned: bool = False) -> list[Path]:
        """Write the table of `plan` as LaTeX, markdown and CSV, each whole or not at all.

        Several data sets stand side by side in LaTeX and one below the other elsewhere.
        `ValueError` for a plan of another table, or one without any finished trial.
        """
        if plan.table != self.number:
            raise ValueError(
                f"a plan for table {self.number} is needed, but {plan.name!r} is for {plan.table}"
            )
        trials = load(results)
        printed = {dataset: self.paper(dataset) for dataset in plan.datasets}
        sizes = sizes_of_test(results, plan, trials)
        found = parts(plan, trials, printed, sizes, self.metrics, tuned=tuned)
        texts = self._one(plan, *found) if len(found) == 1 else self._several(plan, found)
        folder = results / "tables"
        paths = [
            write_whole(folder / f"{plan.name}.{suffix}", text) for suffix, text in texts.items()
        ]
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

    def _one(self, plan: Plan, part: Part) -> dict[str, str]:
        made = self._of_part(plan, part, _equal([part]))
        return {"tex": to_latex(made), "md": to_markdown(made), "csv": to_csv(made)}

    def _several(self, plan: Plan, found: Sequence[Part]) -> dict[str, str]:
        are_equal = _equal(found)
        tables = {part.dataset: self._of_part(plan, part, are_equal) for part in found}
        sideways = wide(
            found,
            head=self.head,
            group=self.group,
            caption=f"{self.subject(plan)} {runs(plan, _sizes(found))} {_tested(found)}",
            label=f"tab:{plan.name}",
            notes={part.dataset: self._notes(part, are_equal) for part in found},
            comments=self._comments(plan),
        )
        records = [
            {"dataset": dataset, **row.record}
            for dataset, table in tables.items()
            for row in table.rows
        ]
        caption = self._caption(plan, found, "Δ")
        return {
            "tex": to_latex(sideways),
            "md": sections(caption, tables),
            "csv": records_csv(records),
        }

    def _of_part(self, plan: Plan, part: Part, are_equal: bool) -> Table:
        heads = [self.head]
        for name, title in part.metrics.items():
            heads += [f"{title} (%)", "paper"] if part.prints(name) else [f"{title} (%)"]
        delta = f"Δ {part.primary_head}"
        return Table(
            caption=self._caption(plan, [part], delta),
            label=f"tab:{plan.name}",
            heads=(*heads, delta),
            groups=tuple(
                tuple(self._line(row, part) for row in group)
                for _, group in itertools.groupby(part.rows, key=self.group)
            ),
            footnotes=(*self._notes(part, are_equal), *self._notes_of_numbers(plan, part)),
            comments=self._comments(plan),
        )

    def _caption(self, plan: Plan, found: Sequence[Part], delta: str) -> str:
        several = any(len(row.specs) > 1 for row in plan.rows)
        return (
            f"{self.subject(plan)} {runs(plan, _sizes(found))} {delta} is the paired difference, "
            f"in points, to the row of {self.reference_name}"
            f"{', ± its standard error over seeds' * several}. {_tested(found)}"
        )

    def _comments(self, plan: Plan) -> tuple[str, ...]:
        module = f"table{self.number}" if self.number else "search_table"
        return (
            f"Plan {plan.name} (plans/{plan.name}.json), written by analysis/{module}.py.",
            "Under each row: the finished trials it is made of (trials/<id>.parquet).",
        )

    def _notes(self, part: Part, are_equal: bool) -> list[str]:
        """What is to be told of the trials, and of the searches that chose them."""
        tuned = TUNED.keys() & part.metrics.keys()
        return [
            *footnotes(part.rows),
            *budgets.notes(part.rows, are_equal=are_equal),
            *self.notes(part.rows),
            *([TUNED_NOTE] if tuned else []),
        ]

    def _notes_of_numbers(self, plan: Plan, part: Part) -> list[str]:
        notes = []
        if self.of_delta and any(row.want > 1 for row in part.rows):
            notes.append(self.of_delta.format(plan=plan.name))
        if part.printed:
            where = f"there for {self.printed_for}" if self.printed_for else "there"
            notes.append(
                f"paper: as printed {where}, without deviation or number of runs; "
                f"{EMPTY}: it has no such row."
            )
        accuracies = part.accuracies()
        if part.num_test and accuracies:
            notes.append(resolution(accuracies, part.num_test))
        return notes

    def _line(self, row: RowTrials, part: Part) -> Row:
        main = part.main_cell(row)
        texts = [row.row.label]
        record: dict[str, Value] = {"row": row.row.key, "label": row.row.label}
        if any(other.row.searched for other in part.rows):
            record |= budgets.columns(row)
        record |= {"n": main.n, "want": row.want, "failed": len(row.failed)}
        for name, cell in part.cells(row).items():
            texts += [number(cell.mean, cell.std, n=cell.n, want=cell.want)]
            record |= {f"{name}_mean": percent(cell.mean), f"{name}_std": percent(cell.std)}
            if part.prints(name):
                theirs = part.printed.get(row.row.paper, {}).get(name)
                texts += [EMPTY if theirs is None else f"{theirs:.1f}"]
                record |= {f"{name}_paper": theirs}
        matches = self.reference(row)
        gain = None
        if matches is not None:
            other = next((other for other in part.rows if matches(other)), None)
            gain = paired(main, part.main_cell(other)) if other else None
        texts += ["" if matches is None else _signed(gain)]
        delta = f"delta_{part.primary}"
        record |= {
            f"{delta}_mean": percent(gain.mean if gain else None),
            f"{delta}_standard_error": percent(gain.standard_error if gain else None),
            f"{delta}_n": gain.n if gain else None,
            "trial_ids": " ".join(main.trial_ids),
        }
        return Row(cells=tuple(texts), record=record, comment=row.provenance())


def _tested(found: Sequence[Part]) -> str:
    """The sentences of a caption on what was searched and what is tested."""
    return budgets.sentence([row for part in found for row in part.rows]) + TESTED


def _equal(found: Sequence[Part]) -> bool:
    return budgets.equal([row for part in found for row in part.rows])


def _sizes(found: Sequence[Part]) -> dict[str, int]:
    return {part.dataset: part.num_test for part in found if part.num_test}


def _signed(gain: Cell | None) -> str:
    if gain is None:
        return EMPTY
    return number(gain.mean, gain.standard_error, n=gain.n, want=gain.want, signed=True)
