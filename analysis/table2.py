"""Table 2: batch size, epochs and learning rate, in the paper and in our trials.

`python analysis/table2.py [results]` writes `results/tables/table2.{tex,md,html,csv}`: what the
finished trials of all plans really used. `table` is our protocol for a data set, for `describe`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analysis.table1 import SETTINGS
from analysis.typesetting.formats import main_of, texts_of, write_texts
from analysis.typesetting.tabular import EMPTY, Row, Table, Value
from mi2p.backbones import textual_card, visual_card
from mi2p.data.protocols import Protocol
from mi2p.plan import Plan, read_plan
from mi2p.spec import TrainSpec, TrialSpec
from mi2p.store import load

PAPER = Path(__file__).parent / "paper" / "table2.csv"
MOST_LISTED = 3
"""Values that are listed; of more, the range is told."""
TITLES = {"batch_size": "Batch size", "epochs": "Epochs", "learning_rate": "Learning rate"}


def paper(dataset: str) -> dict[str, float]:
    """Batch size, epochs and learning rate as printed, or nothing about other data sets."""
    with PAPER.open(encoding="utf-8", newline="") as file:
        return {
            row["metric"]: float(row["value"])
            for row in csv.DictReader(file)
            if row["dataset"] == dataset
        }


def table(protocol: Protocol) -> Table:
    """The paper's numbers beside ours for both modalities, then what the paper leaves open."""
    name = protocol.data.name
    setting, printed = SETTINGS.get(name, name), paper(name)
    ours = {"visual": _printed(protocol.visual_train), "textual": _printed(protocol.textual_train)}
    told = tuple(
        Row(
            cells=(
                title,
                _number(printed.get(metric)),
                *(_number(values[metric]) for values in ours.values()),
            )
        )
        for metric, title in TITLES.items()
    )
    beside = ", beside the paper's Table 2" if printed else "; the paper has no such data set"
    return Table(
        caption=f"How models of {setting} are trained by default{beside}.",
        label=f"tab:table2-{name}",
        heads=(setting, "paper", "visual", "textual"),
        groups=(told, _open(protocol, known=bool(printed))),
        footnotes=(
            "visual, textual: models whose CNN or whose transformer is trained. Below the rule: "
            "what the paper does not print per data set.",
        ),
    )


def write(results: Path) -> list[Path]:
    """Write what the finished trials of all plans in `results` used, in all formats.

    `FileNotFoundError` if there are no trials, or none of a plan is finished.
    """
    trials = load(results)
    done = set(trials["trial_id"][(trials["status"] == "done") & (trials["stage"] == "confirm")])
    plans, torn = _plans(results)
    specs = {spec.trial_id: spec for plan in plans for spec in plan.specs()}
    used = [spec for spec in specs.values() if spec.trial_id in done and not spec.averages]
    if not used:
        raise FileNotFoundError(
            f"Table 2 needs finished trials of plans, but {results} has none; run a sweep first"
        )
    made = of_trials(used, torn)
    return write_texts(results / "tables", "table2", texts_of([made], list(_records(used))))


def _plans(results: Path) -> tuple[list[Plan], list[str]]:
    """Those of a results folder, and the names of files that are none: one must not hide all."""
    plans, torn = [], []
    for path in sorted((results / "plans").glob("*.json")):
        try:
            plans.append(read_plan(path))
        except (ValueError, TypeError, KeyError):
            torn.append(path.name)
    return plans, torn


def of_trials(specs: Sequence[TrialSpec], torn: Sequence[str] = ()) -> Table:
    """The paper's numbers above ours for each data set, by the backbones that are trained.

    `torn` are plans that cannot be read, which a footnote names.
    """
    rank = {name: place for place, name in enumerate(SETTINGS)}
    names = sorted(
        {spec.data.name for spec in specs}, key=lambda name: (rank.get(name, len(rank)), name)
    )
    groups = []
    for name in names:
        printed = paper(name)
        cells = (_number(printed.get(metric)) for metric in TITLES)
        rows = [Row(cells=("paper", *cells))] if printed else []
        groups.append((*rows, *_used([spec for spec in specs if spec.data.name == name])))
    return Table(
        caption=(
            "How models were trained, by the backbones that are trained, beside the paper's "
            "Table 2."
        ),
        label="tab:table2",
        heads=("Trained", *TITLES.values()),
        groups=tuple(groups),
        titles=tuple(SETTINGS.get(name, name) for name in names),
        footnotes=(
            "Learning rate where both are trained: the transformer's; the CNN's may be another.",
            "Several values: those of different rows or plans, as searches and options set them; "
            "the CSV file has how many trials used which. Without a row of the paper: it has no "
            "such data set.",
            *([f"Left out, as it cannot be read: plans/{', plans/'.join(torn)}."] if torn else []),
        ),
        comments=("Written by analysis/table2.py from plans/*.json and trials/*.parquet.",),
    )


def _used(specs: Sequence[TrialSpec]) -> Iterator[Row]:
    """A row for each kind of backbones that is trained."""
    kinds: dict[str, list[dict[str, float]]] = {}
    for spec in specs:
        kinds.setdefault(" and ".join(spec.model.trains), []).append(_printed(spec.train))
    for kind in sorted(kinds, key=lambda kind: ("and" in kind, kind != "visual")):
        values = ({used[metric] for used in kinds[kind]} for metric in TITLES)
        yield Row(cells=(kind, *(_several(sorted(found)) for found in values)))


def _several(values: Sequence[float]) -> str:
    """All of a few values, the range of many."""
    if len(values) <= MOST_LISTED:
        return ", ".join(map(_number, values))
    return f"{_number(values[0])} to {_number(values[-1])} ({len(values)} values)"


def _records(specs: Sequence[TrialSpec]) -> Iterator[Mapping[str, Value]]:
    """How many trials used what, with the paper's."""
    counts: Counter[tuple[str, str, tuple[float, ...]]] = Counter()
    for spec in specs:
        used = tuple(_printed(spec.train).values())
        counts[spec.data.name, " and ".join(spec.model.trains), used] += 1
    for (name, kind, used), count in sorted(counts.items()):
        printed = paper(name)
        record: dict[str, Value] = {"dataset": name, "trained": kind}
        for metric, value in zip(TITLES, used, strict=True):
            record |= {metric: value, f"{metric}_paper": printed.get(metric)}
        yield record | {"trials": count}


def _open(protocol: Protocol, *, known: bool) -> tuple[Row, ...]:
    data = protocol.data
    cnn, transformer = visual_card(protocol.visual), textual_card(protocol.textual)
    multipliers = (
        _number(protocol.visual_train.head_lr_multiplier),
        _number(protocol.textual_train.head_lr_multiplier),
    )
    lines = (
        ("Backbone", "DenseNet, BERT" if known else EMPTY, cnn.title, transformer.title),
        ("Learning rate of classifier (times)", EMPTY, *multipliers),
        ("Image side (pixels)", EMPTY, str(data.image_size), str(data.image_size)),
        ("Image view", EMPTY, data.view, data.view),
        ("Image augmentation", EMPTY, data.augment, data.augment),
        ("Longest text (tokens)", EMPTY, str(data.max_tokens), str(data.max_tokens)),
    )
    return tuple(Row(cells=cells) for cells in lines)


def _printed(train: TrainSpec) -> dict[str, float]:
    """What Table 2 prints, by its names."""
    return {
        "batch_size": train.batch_size,
        "epochs": train.epochs,
        "learning_rate": train.lr,
    }


def _number(value: float | None) -> str:
    """As Table 2 prints it: 128, 3.5e-5."""
    if value is None:
        return EMPTY
    # Python writes the exponent with two digits, 3.5e-05.
    return f"{value:g}".replace("e-0", "e-") if value < 1e-3 else f"{value:g}"


if __name__ == "__main__":
    main_of(write, "Write Table 2: how the models of all data sets were trained.")
