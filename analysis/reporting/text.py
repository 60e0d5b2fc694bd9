"""What a report says in sentences, the same on the page and in LaTeX."""

from __future__ import annotations

from collections import Counter

from analysis.notes import listing
from analysis.reporting.contents import Contents, Report
from analysis.reporting.folder import STATES, Folder
from analysis.sideways import setting
from mi2p.plan import Plan

EXPLAINED = (
    "The caption of a table says what its numbers, ± and bold ones are, and its footnotes what is "
    "missing, failed or unequal among its trials.",
    "Nothing is averaged over trials that differ in more than their seed: such a row is refused, "
    "and so is a table whose rows saw different data.",
)
TRACING = (
    "Each number of a table is made of finished trials. Their ids stand below the row in "
    "tables/<plan>.tex and, with the configuration, code and data of each cell, in "
    "tables/<plan>.json; in this page's tables under the name of the row.",
    "trials/<id>.parquet has the whole spec of a trial, its metrics and its environment; "
    "epochs/<id>.parquet its curves; predictions/<id>.parquet what it answered to each example.",
    "plans/<plan>.json names the trials that each row wants.",
    "python analysis/report.py --check names the cells whose code, data, spec or trials have "
    "changed since their table was written.",
)


def about(report: Report) -> str:
    """A title: which tables of the paper are in the report."""
    numbers = sorted({plan.table for plan in report.folder.plans if plan.table})
    if not numbers:
        return "Report of MI2P sweeps"
    many = "s" * (len(numbers) > 1)
    return f"Report of MI2P sweeps: Table{many} {listing(list(map(str, numbers)))}"


def progress(folder: Folder) -> str:
    """How far everything is, in sentences."""
    if not folder.plans:
        kept = f"{len(folder.trials):,} trials are stored" if len(folder.trials) else "nor a trial"
        return f"There is no plan that can be read; {kept}."
    specs = {spec.trial_id: spec for plan in folder.plans for spec in plan.specs()}
    counts = folder.states(list(specs.values()))
    plans = f"{len(folder.plans)} plan{'s want' if len(folder.plans) > 1 else ' wants'}"
    told = listing([f"{n:,} {state}" for state, n in counts.items() if n] or ["none"])
    others = len(folder.rows.keys() - specs.keys())
    rest = f" {others:,} more trials are stored, of searches or of other plans." if others else ""
    return f"{plans} {len(specs):,} trials: {told}.{rest}"


def progress_of(folder: Folder, of: Contents) -> str:
    """How far a plan is, and what it is about."""
    plan, counts = of.plan, folder.states(list(of.plan.specs()))
    table = f"Table {plan.table} of the paper" if plan.table else "A table that the paper has not"
    on = f" on {listing([setting(name) for name in plan.datasets])}" if plan.datasets else ""
    wanted = sum(counts.values())
    if not counts["done"]:
        return f"{table}{on}. No trial of {wanted:,} is finished, so there is no table yet."
    if counts["done"] == wanted:
        return f"{table}{on}. All {wanted:,} trials are finished."
    left = [f"{counts[state]:,} {state}" for state in STATES if state != "done" and counts[state]]
    verb = "are" if counts["done"] > 1 else "is"
    return (
        f"{table}{on}. {counts['done']:,} of {wanted:,} trials {verb} finished; {listing(left)}."
    )


def unpredicted(folder: Folder, plan: Plan) -> str:
    """A sentence on finished trials without predictions; empty if there are none."""
    found = folder.unpredicted(plan)
    if not found:
        return ""
    return (
        f"The predictions of {len(found):,} finished trial{'s' * (len(found) > 1)} are not in "
        f"predictions/, and so have no part in intervals and tests: {', '.join(found)}."
    )


def checked(report: Report) -> str:
    """What a check of the written tables found."""
    if not report.stale:
        return "Checked when this report was made: no cell is out of date."
    found = Counter(line.partition(":")[0] for line in report.stale)
    told = listing([f"{count} in {name}" for name, count in sorted(found.items())])
    return f"Checked when this report was made: out of date are {told}; see the summary."
