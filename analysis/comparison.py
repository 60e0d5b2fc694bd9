"""What tables of units share: rows with our numbers, the paper's, and what units add.

A `table<N>` declares a `Comparison`. It makes a plan and stored trials into a table, writes it as
LaTeX, markdown and CSV, and is the command line of its module.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.cells import Cell, RowTrials, find_plan, paired, select
from analysis.notes import footnotes, resolution, runs
from analysis.tabular import EMPTY, Row, Table, Value, number, to_csv, to_latex, to_markdown
from mi2p.files import write_whole
from mi2p.metrics import primary
from mi2p.plan import Plan
from mi2p.store import load

SINGLE_LABEL = {"accuracy": "Acc", "macro_f1": "M-F1", "weighted_f1": "W-F1"}
MULTILABEL = {"macro_f1": "Macro-F1", "micro_f1": "Micro-F1"}

Paper = Mapping[str, Mapping[str, float]]
"""Method to metric to percent."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One of the paper's tables that compares backbones with and without units."""

    number: int
    """Of the table in the paper, whose numbers are in `paper/table<number>.csv`."""
    head: str
    """Over the labels of the rows."""
    subject: Callable[[Plan], str]
    """The sentences of the caption that come first: what is compared."""
    printed_for: str = ""
    """What the paper's numbers are about, where its rows are not named as ours."""

    def paper(self, dataset: str) -> Paper:
        """What the paper prints, in percent, if its table is about `dataset`; else nothing."""
        printed = pd.read_csv(Path(__file__).parent / "paper" / f"table{self.number}.csv")
        printed = printed[printed["dataset"] == dataset]
        found: dict[str, dict[str, float]] = {}
        for method, metric, value in zip(
            printed["method"], printed["metric"], printed["value"], strict=True
        ):
            found.setdefault(method, {})[metric] = float(value)
        return found

    def table(
        self, plan: Plan, trials: pd.DataFrame, *, printed: Paper, num_test: int | None = None
    ) -> Table:
        """The table of `plan` from rows of `mi2p.store.load`.

        `printed` holds the paper's numbers to stand beside ours, and nothing when they are about
        another data set; `num_test` the size of the test split, if known.
        """
        rows = select(plan, trials)
        multilabel = _multilabel(plan, rows)
        titles = MULTILABEL if multilabel else SINGLE_LABEL
        metric = primary(multilabel=multilabel)
        heads = [self.head]
        for title in titles.values():
            heads += [f"{title} (%)", "paper"] if printed else [f"{title} (%)"]
        groups = itertools.groupby(rows, key=lambda row: row.row.specs[0].model.reads)
        notes = footnotes(rows)
        if printed:
            where = f"there for {self.printed_for}" if self.printed_for else "there"
            notes.append(
                f"paper: as printed {where}, without deviation or number of runs; "
                f"{EMPTY}: it has no such row."
            )
        if num_test and not multilabel:
            notes.append(resolution([row.cell("test/accuracy") for row in rows], num_test))
        return Table(
            caption=f"{self.subject(plan)} {_method(plan, titles[metric], num_test)}",
            label=f"tab:{plan.name}",
            heads=(*heads, f"Δ {titles[metric]}"),
            groups=tuple(
                tuple(_line(row, rows, titles, metric, printed) for row in group)
                for _, group in groups
            ),
            footnotes=tuple(notes),
            comments=(
                f"Plan {plan.name} (plans/{plan.name}.json), "
                f"written by analysis/table{self.number}.py.",
                "Under each row: the finished trials it is made of (trials/<id>.parquet).",
            ),
        )

    def write(self, results: Path, plan: Plan) -> list[Path]:
        """Write the table of `plan` as LaTeX, markdown and CSV, each whole or not at all.

        `ValueError` for a plan of another table, or one without any finished trial.
        """
        if plan.table != self.number:
            raise ValueError(
                f"a plan for table {self.number} is needed, but {plan.name!r} is for {plan.table}"
            )
        trials = load(results)
        made = self.table(
            plan,
            trials,
            printed=self.paper(plan.dataset),
            num_test=_num_test(results, plan, trials),
        )
        texts = {"tex": to_latex(made), "md": to_markdown(made), "csv": to_csv(made)}
        folder = results / "tables"
        return [
            write_whole(folder / f"{plan.name}.{suffix}", text) for suffix, text in texts.items()
        ]

    def build(self, results: Path, plan_name: str | None = None) -> list[Path]:
        """Write the table of a plan kept in `results/plans`; without a name, of the only one."""
        return self.write(results, find_plan(results, table=self.number, name=plan_name))

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Write the table and print where it is."""
        parser = argparse.ArgumentParser(
            description=f"Write Table {self.number} from stored trials."
        )
        parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
        parser.add_argument("--plan", metavar="NAME", help="needed when there are several plans")
        options = parser.parse_args(arguments)
        try:
            paths = self.build(options.results, options.plan)
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(f"error: {error}") from error
        for path in paths:
            print(path)


def _line(
    row: RowTrials,
    rows: Sequence[RowTrials],
    titles: Mapping[str, str],
    metric: str,
    printed: Paper,
) -> Row:
    cells = {name: row.cell(f"test/{name}") for name in titles}
    texts = [row.row.label]
    record: dict[str, Value] = {"row": row.row.key, "label": row.row.label}
    record |= {"n": cells[metric].n, "want": row.want, "failed": len(row.failed)}
    for name, cell in cells.items():
        texts += [number(cell.mean, cell.std, n=cell.n, want=cell.want)]
        record |= {f"{name}_mean": _percent(cell.mean), f"{name}_std": _percent(cell.std)}
        if printed:
            theirs = printed.get(row.row.paper, {}).get(name)
            texts += [EMPTY if theirs is None else f"{theirs:.1f}"]
            record |= {f"{name}_paper": theirs}
    gain = _gain(row, rows, f"test/{metric}")
    texts += [_signed(gain) if row.row.specs[0].model.units is not None else ""]
    record |= {
        f"delta_{metric}_mean": _percent(gain.mean if gain else None),
        f"delta_{metric}_standard_error": _percent(gain.standard_error if gain else None),
        f"delta_{metric}_n": gain.n if gain else None,
        "trial_ids": " ".join(cells[metric].trial_ids),
    }
    used = " ".join(cells[metric].trial_ids) or "none"
    return Row(cells=tuple(texts), record=record, comment=f"trials: {used}")


def _gain(row: RowTrials, rows: Sequence[RowTrials], metric: str) -> Cell | None:
    """What units add, seed by seed, to the first row with the same trained backbone alone."""
    model = row.row.specs[0].model
    if model.units is None:
        return None
    for other in rows:
        alone = other.row.specs[0].model
        if alone.units is None and alone.reads == model.reads:
            if getattr(alone, model.reads) == getattr(model, model.reads):
                return paired(row.cell(metric), other.cell(metric))
    return None


def _signed(gain: Cell | None) -> str:
    if gain is None:
        return EMPTY
    return number(gain.mean, gain.standard_error, n=gain.n, want=gain.want, signed=True)


def _percent(fraction: float | None) -> float | None:
    # Nine decimals: enough for anything, without the tail of binary fractions.
    return None if fraction is None else round(100 * fraction, 9)


def _multilabel(plan: Plan, rows: Sequence[RowTrials]) -> bool:
    """Whether trials have no accuracy, which `mi2p.metrics.score` omits for several labels."""
    finished = pd.concat([row.finished for row in rows])
    if finished.empty:
        failed = sorted({trial_id for row in rows for trial_id in row.failed})
        raise ValueError(
            f"a table needs at least one finished trial, but plan {plan.name!r} has none of "
            f"{len(list(plan.specs()))}; failed: {', '.join(failed) or 'none'}"
        )
    without = finished["test/accuracy"].isna()
    if without.nunique() > 1:
        raise ValueError(
            f"all trials of plan {plan.name!r} must have test/accuracy or none of them, but it "
            f"is missing in {', '.join(sorted(set(finished['trial_id'][without])))}"
        )
    return bool(without.iloc[0])


def _method(plan: Plan, title: str, num_test: int | None) -> str:
    """The sentences of the caption that say how the numbers came about."""
    several = any(len(row.specs) > 1 for row in plan.rows)
    return (
        f"{runs(plan, num_test)} Δ {title} is the paired difference, in points, to the "
        f"row of the same backbone without units{', ± its standard error over seeds' * several}. "
        "Each trial is tested at its best epoch on validation."
    )


def _num_test(results: Path, plan: Plan, trials: pd.DataFrame) -> int | None:
    """How many test examples a finished trial predicted; None if no predictions are kept."""
    planned = [spec.trial_id for spec in plan.specs()]
    finished = set(trials["trial_id"][trials["status"] == "done"])
    for trial_id in planned:
        # One file, not `load_predictions`, which reads those of every trial.
        path = results / "predictions" / f"{trial_id}.parquet"
        if trial_id in finished and path.exists():
            split = pd.read_parquet(path, columns=["split"])["split"]
            return int((split == "test").sum())
    return None
