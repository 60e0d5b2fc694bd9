"""Tables about a results folder itself: what is done, what it cost, and where it was computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from analysis.budgets import method
from analysis.reporting.folder import STATES, Folder
from analysis.sideways import setting
from analysis.typesetting.tabular import EMPTY, Row, Table
from mi2p.data.example import SPLITS
from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec

UNKNOWN = "unknown"
"""What the rows of older trials do not say."""
OF_STATES = (
    "failed: ended in an error; begun: has checkpoints but no row yet, so it runs or was stopped; "
    "missing: none of these."
)
OF_SECONDS = (
    "Seconds are those of training, by the clock, times the processes of a trial; of a trial that "
    "failed they are not known."
)
Stored = Mapping[str, Any]


def summary(folder: Folder) -> Table:
    """A row for each plan: how far it is."""
    rows = []
    for plan in folder.plans:
        specs = list(plan.specs())
        counts = (len(plan.methods), len(specs), *folder.states(specs).values())
        table = str(plan.table) if plan.table else EMPTY
        # Several names are wider than a page; the section of the plan has them.
        several = len(plan.datasets) != 1
        named = f"{len(plan.datasets)} sets" if several else setting(plan.datasets[0])
        rows.append(Row(cells=(plan.name, table, named, *(f"{n:,}" for n in counts))))
    return Table(
        caption="The plans of this folder, and the trials that each wants.",
        label="tab:report-plans",
        heads=("Plan", "of Table", "data", "rows", "trials", *STATES),
        groups=(tuple(rows),),
        footnotes=(OF_STATES, "Plans may share trials, which are run once."),
    )


def trials(folder: Folder, plan: Plan) -> Table:
    """What became of the trials of each row of a plan."""
    return Table(
        caption=f"The rows of {plan.name}, and what became of their trials.",
        label=f"tab:report-{plan.name}-trials",
        heads=("Row", "key", "seeds", *STATES),
        footnotes=(OF_STATES,),
        **_grouped(plan, lambda row: [_states(folder, row)]),
    )


def each(folder: Folder, plan: Plan) -> Table:
    """Every trial of a plan, by which a number is traced to its files."""
    return Table(
        caption=f"Every trial of {plan.name}.",
        label=f"tab:report-{plan.name}-each",
        heads=("Row", "seed", "trial", "state", "best epoch", "device", "code", "data"),
        **_grouped(plan, lambda row: [_trial(folder, row, spec) for spec in row.specs]),
    )


def budget(folder: Folder, plan: Plan) -> Table:
    """What the finished trials of each row took, on each device."""
    return Table(
        caption=f"What the finished trials of {plan.name} took.",
        label=f"tab:report-{plan.name}-budget",
        heads=("Row", "device", "trials", "processes", "device-seconds", "per trial"),
        footnotes=(OF_SECONDS,),
        **_grouped(plan, lambda row: _costs(folder, row)),
    )


def searches(folder: Folder, plan: Plan) -> Table | None:
    """What the search of each row tried and took; None if no row was searched."""
    if not any(row.searched for row in plan.rows):
        return None
    return Table(
        caption=f"What the searches of {plan.name} tried, and took.",
        label=f"tab:report-{plan.name}-searches",
        heads=("Row", "method", "wanted", "tried", "pruned", "failed", "device-seconds"),
        footnotes=(
            f"{OF_SECONDS} A trial that was stopped early counts with what it took; one that two "
            "searches tried was run once, and counts for both.",
        ),
        **_grouped(plan, lambda row: _searched(folder, row)),
    )


def total(folder: Folder) -> Table:
    """What all stored trials took, on each device, those of searches apart."""
    groups = _by(folder.rows.values(), ("device", "stage"))
    rows = []
    for (device, stage), found in groups:
        states = Counter(row["status"] for row in found)
        seconds = _seconds(found)
        numbers = (states["done"], states["pruned"], states["error"])
        rows.append(
            Row(
                cells=(
                    _shown_device(device, found),
                    stage,
                    *(f"{n:,}" for n in numbers),
                    EMPTY if seconds is None else f"{seconds:,.0f}",
                    EMPTY if seconds is None else f"{seconds / 3600:,.2f}",
                )
            )
        )
    return Table(
        caption="What all trials of this folder took, each counted once.",
        label="tab:report-budget",
        heads=("Device", "stage", "done", "pruned", "failed", "device-seconds", "hours"),
        groups=(tuple(rows),),
        footnotes=(f"stage: confirm, with the seeds of a table, or search. {OF_SECONDS}",),
    )


def environment(folder: Folder) -> Table:
    """Where trials were computed, and by what."""
    columns = ("device", "precision", "torch_version", "code_version", "code")
    ran = [row for row in folder.rows.values() if row["device"] is not None]
    return Table(
        caption="Where the trials of this folder were computed, and by which code.",
        label="tab:report-environment",
        heads=("Device", "precision", "torch", "mi2p", "code", "trials"),
        groups=(tuple(Row(cells=(*key, f"{len(of):,}")) for key, of in _by(ran, columns)),),
        footnotes=("code: hash of the sources that numbers depend on.",),
    )


def weights(folder: Folder) -> Table:
    """Which pretrained weights the backbones had."""
    columns = ("model.visual", "model.textual", "weights")
    # Trained ones stand before frozen ones in a row, which makes no difference here.
    ran = [
        {**row, "weights": ", ".join(sorted({*str(row["weights"]).split()}))}
        for row in folder.rows.values()
        if row["weights"]
    ]
    return Table(
        caption="Fingerprints of the pretrained weights that trials started from.",
        label="tab:report-weights",
        heads=("Visual backbone", "textual backbone", "weights", "trials"),
        groups=(
            tuple(
                Row(cells=(*(EMPTY if one == UNKNOWN else one for one in key), f"{len(of):,}"))
                for key, of in _by(ran, columns)
            ),
        ),
    )


def datasets(folder: Folder) -> Table:
    """The data sets that trials saw: sizes, and how many trials saw each."""
    seen = Counter(
        (str(row["data.name"]), str(row["data_fingerprint"]))
        for row in folder.rows.values()
        if row["data_fingerprint"] is not None
    )
    known = {(one.name, one.fingerprint): one for one in folder.summaries.values()}
    rows = []
    for key in sorted({*seen, *known}):
        one = known.get(key)
        counts = [one.counts[split].examples for split in SPLITS] if one else [None] * len(SPLITS)
        numbers = [len(one.classes) if one else None, *counts]
        cells = (EMPTY if number is None else f"{number:,}" for number in numbers)
        rows.append(Row(cells=(setting(key[0]), key[1], *cells, f"{seen[key]:,}")))
    return Table(
        caption="The data that trials saw, without what was left out of it.",
        label="tab:report-data",
        heads=("Data set", "fingerprint", "classes", *SPLITS, "trials"),
        groups=(tuple(rows),),
        footnotes=(f"{EMPTY}: an older sweep kept no sizes.",) if {*seen} - {*known} else (),
    )


def _grouped(plan: Plan, lines: Callable[[PlanRow], Iterable[tuple[str, ...]]]) -> dict[str, Any]:
    """The rows of a plan, those on one data set together if there are several."""
    groups = []
    for dataset in plan.datasets:
        of = [row for row in plan.rows if row.dataset == dataset]
        groups.append(tuple(Row(cells=cells) for row in of for cells in lines(row)))
    several = len(groups) > 1
    titles = tuple(setting(dataset) for dataset in plan.datasets) if several else ()
    return {"groups": tuple(groups), "titles": titles}


def _states(folder: Folder, row: PlanRow) -> tuple[str, ...]:
    seeds = ", ".join(str(spec.seed) for spec in row.specs)
    counts = folder.states(row.specs).values()
    return (row.label, row.key, seeds, *(f"{n:,}" for n in counts))


def _trial(folder: Folder, row: PlanRow, spec: TrialSpec) -> tuple[str, ...]:
    stored = folder.rows.get(spec.trial_id, {})
    facts = (stored.get(name) for name in ("best_epoch", "device", "code", "data_fingerprint"))
    epoch, *others = (EMPTY if fact is None else fact for fact in facts)
    # A column of integers with a gap is one of fractions in pandas.
    told = epoch if epoch == EMPTY else f"{int(epoch)}"
    return (row.label, str(spec.seed), spec.trial_id, folder.state(spec.trial_id), told, *others)


def _costs(folder: Folder, row: PlanRow) -> list[tuple[str, ...]]:
    found = [
        folder.rows[spec.trial_id] for spec in row.specs if folder.state(spec.trial_id) == "done"
    ]
    if not found:
        return [(row.label, *[EMPTY] * 5)]
    lines: list[tuple[str, ...]] = []
    for (device,), of in _by(found, ("device",)):
        seconds = _seconds(of)
        processes = sorted({_processes(one) for one in of})
        each = EMPTY if seconds is None else _number(seconds / len(of))
        whole = EMPTY if seconds is None else _number(seconds)
        told = ", ".join(map(str, processes))
        lines.append((row.label, device, f"{len(of):,}", told, whole, each))
    return lines


def _searched(folder: Folder, row: PlanRow) -> list[tuple[str, ...]]:
    one = row.searched
    if one is None:
        return [(row.label, "none, as declared", *[EMPTY] * 5)]
    found = [folder.rows[trial] for trial in dict.fromkeys(one.trials) if trial in folder.rows]
    seconds = _seconds(found)
    numbers = (one.wanted, one.tried, one.pruned, one.failed)
    cells = (*(f"{n:,}" for n in numbers), EMPTY if seconds is None else _number(seconds))
    return [(row.label, method(one), *cells)]


def _by(rows: Iterable[Stored], columns: Sequence[str]) -> list[tuple[tuple[str, ...], list[Any]]]:
    """Rows with the same values in these columns, in the order of the values."""
    groups: dict[tuple[str, ...], list[Stored]] = {}
    for row in rows:
        key = tuple(UNKNOWN if row[name] is None else str(row[name]) for name in columns)
        groups.setdefault(key, []).append(row)
    return sorted(groups.items())


def _shown_device(device: str, rows: Sequence[Stored]) -> str:
    failed = device == UNKNOWN and all(row["status"] == "error" for row in rows)
    return "not told by failed trials" if failed else device


def _seconds(rows: Sequence[Stored]) -> float | None:
    """Device-seconds of the rows that tell them; None if none does."""
    known = [float(row["seconds"]) * _processes(row) for row in rows if row["seconds"] is not None]
    return sum(known) if known else None


def _processes(row: Stored) -> int:
    # Older rows, and averages, have none.
    return int(row["processes"] or 1)


def _number(seconds: float) -> str:
    return f"{seconds:,.1f}"
