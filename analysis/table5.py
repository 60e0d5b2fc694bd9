"""Table 5: MI2P units at different layers of the visual and the textual backbone.

`python analysis/table5.py [results] [--plan NAME]` writes `results/tables/<plan>.{tex,md,csv}`
from the trials that are stored now; the sweep calls `write` when it ends.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis.cells import Cell, RowTrials, find_plan, paired, select
from analysis.notes import footnotes, resolution, runs
from analysis.tabular import EMPTY, Row, Table, Value, number, to_csv, to_latex, to_markdown
from mi2p.metrics import primary
from mi2p.plan import Plan
from mi2p.store import load

NUMBER = 5
PAPER = Path(__file__).parent / "paper" / "table5.csv"
"""What the paper prints, in percent; no number of runs and no deviation are given there."""

SINGLE_LABEL = {"accuracy": "Acc", "macro_f1": "M-F1", "weighted_f1": "W-F1"}
MULTILABEL = {"macro_f1": "Macro-F1", "micro_f1": "Micro-F1"}

Paper = Mapping[str, Mapping[str, float]]
"""Method to metric to percent."""


def paper(dataset: str) -> Paper:
    """The paper's Table 5 if it is about `dataset`, else nothing."""
    printed = pd.read_csv(PAPER)
    printed = printed[printed["dataset"] == dataset]
    found: dict[str, dict[str, float]] = {}
    for method, metric, value in zip(
        printed["method"], printed["metric"], printed["value"], strict=True
    ):
        found.setdefault(method, {})[metric] = float(value)
    return found


def table(
    plan: Plan, trials: pd.DataFrame, *, printed: Paper, num_test: int | None = None
) -> Table:
    """Table 5 of `plan` from rows of `mi2p.store.load`.

    `printed` holds the paper's numbers to stand beside ours, and nothing when they are about
    another data set; `num_test` the size of the test split, if known.
    """
    rows = select(plan, trials)
    multilabel = _multilabel(plan, rows)
    titles = MULTILABEL if multilabel else SINGLE_LABEL
    metric = primary(multilabel=multilabel)
    heads = ["Model design"]
    for title in titles.values():
        heads += [f"{title} (%)", "paper"] if printed else [f"{title} (%)"]
    groups = itertools.groupby(rows, key=lambda row: row.row.specs[0].model.reads)
    notes = footnotes(rows)
    if printed:
        notes.append(
            "paper: as printed there for DenseNet and BERT, without deviation or number of runs; "
            f"{EMPTY}: it has no such row."
        )
    if num_test and not multilabel:
        notes.append(resolution([row.cell("test/accuracy") for row in rows], num_test))
    return Table(
        caption=_caption(plan, titles[metric], num_test),
        label=f"tab:{plan.name}",
        heads=(*heads, f"Δ {titles[metric]}"),
        groups=tuple(
            tuple(_line(row, rows, titles, metric, printed) for row in group)
            for _, group in groups
        ),
        footnotes=tuple(notes),
        comments=(
            f"Plan {plan.name} (plans/{plan.name}.json), written by analysis/table5.py.",
            "Under each row: the finished trials it is made of (trials/<id>.parquet).",
        ),
    )


def write(results: Path, plan: Plan) -> list[Path]:
    """Write the table of `plan` as LaTeX, markdown and CSV, each whole or not at all."""
    if plan.table != NUMBER:
        raise ValueError(
            f"a plan for table {NUMBER} is needed, but {plan.name!r} is for {plan.table}"
        )
    trials = load(results)
    made = table(
        plan, trials, printed=paper(plan.dataset), num_test=_num_test(results, plan, trials)
    )
    texts = {"tex": to_latex(made), "md": to_markdown(made), "csv": to_csv(made)}
    folder = results / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{plan.name}.{suffix}"
        partial = folder / f".{path.name}.{os.getpid()}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
        paths.append(path)
    return paths


def build(results: Path, plan_name: str | None = None) -> list[Path]:
    """Write the table of a plan kept in `results/plans`; without a name, of the only one."""
    return write(results, find_plan(results, table=NUMBER, name=plan_name))


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


def _caption(plan: Plan, title: str, num_test: int | None) -> str:
    several = any(len(row.specs) > 1 for row in plan.rows)
    return (
        "MI2P units attached to different layers: MI2P{1-4} has one at each of layers (or blocks) "
        f"1 to 4. {runs(plan, num_test)} Δ {title} is the paired difference, in points, to the "
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table and print where it is."""
    parser = argparse.ArgumentParser(description="Write Table 5 from stored trials.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--plan", metavar="NAME", help="needed when there are several plans")
    options = parser.parse_args(arguments)
    try:
        paths = build(options.results, options.plan)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    for path in paths:
        print(path)


if __name__ == "__main__":
    main()
