"""Table 2: batch size, epochs and learning rate, in the paper and in our protocol."""

from __future__ import annotations

import csv
from pathlib import Path

from analysis.table1 import SETTINGS
from analysis.tabular import EMPTY, Row, Table
from mi2p.backbones import textual_card, visual_card
from mi2p.data.protocols import Protocol
from mi2p.spec import TrainSpec

PAPER = Path(__file__).parent / "paper" / "table2.csv"
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
