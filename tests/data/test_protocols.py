"""Defaults per data set, against the paper's printed tables and the sweeps' former constants."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mi2p.backbones import textual_card
from mi2p.data import DATASETS
from mi2p.data.crisismmd import LABELS
from mi2p.data.food101 import CLASSES as FOODS
from mi2p.data.mmimdb import GENRES
from mi2p.data.openclipart import SPLITS_FILE, TAGS_FILE
from mi2p.data.protocols import PROTOCOLS, protocol
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from tests.crisismmd_layout import write_crisismmd
from tests.food101_layout import write_food101
from tests.mmimdb_layout import write_mmimdb

PRINTED = Path(__file__).parents[2] / "analysis" / "paper" / "table2.csv"
PAPERS = ("crisismmd_task1", "crisismmd_task2", "crisismmd_task3", "food101", "mmimdb")


def printed() -> list[tuple[str, str, float]]:
    with PRINTED.open(encoding="utf-8", newline="") as file:
        return [
            (row["dataset"], row["metric"], float(row["value"])) for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize(("name", "metric", "value"), printed())
def test_training_is_as_the_papers_table_2_says(name: str, metric: str, value: float) -> None:
    field = {"batch_size": "batch_size", "epochs": "epochs", "learning_rate": "lr"}[metric]
    chosen = protocol(name)
    assert getattr(chosen.visual_train, field) == value
    assert getattr(chosen.textual_train, field) == value


def test_table_2_has_three_numbers_of_every_data_set_of_the_paper() -> None:
    assert len(printed()) == 15
    assert {name for name, _, _ in printed()} == set(PAPERS)


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_data_are_seen_as_photos_by_densenet_and_bert(name: str) -> None:
    chosen = protocol(name)
    tokens = 64 if name.startswith("crisismmd") else 512
    assert chosen.data == DataSpec(
        name=name, image_size=256, max_tokens=tokens, view="crop", augment="crop_flip"
    )
    assert (chosen.visual, chosen.textual) == ("densenet121", "bert-base-uncased")
    assert chosen.visual_train.head_lr_multiplier == 1
    assert chosen.textual_train.head_lr_multiplier == 1


@pytest.mark.parametrize("name", ["openclipart", "openclipart-tags"])
def test_openclipart_keeps_the_values_that_its_published_table_was_made_with(name: str) -> None:
    chosen = protocol(name)
    assert chosen.data == DataSpec(name=name)
    assert (chosen.data.image_size, chosen.data.max_tokens) == (128, 16)
    assert (chosen.data.view, chosen.data.augment) == ("fit", "none")
    assert (chosen.visual, chosen.textual) == ("efficientnet_lite0", "minilm")
    visual = TrainSpec(lr=3e-4, batch_size=32, epochs=2, head_lr_multiplier=10)
    textual = TrainSpec(lr=1e-4, batch_size=32, epochs=3, head_lr_multiplier=10)
    assert (chosen.visual_train, chosen.textual_train) == (visual, textual)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_makes_legal_trials_with_the_papers_heads(name: str) -> None:
    chosen = protocol(name)
    assert chosen.data.name == name
    card = textual_card(chosen.textual)
    for model, train, units in (
        ("me_cnn", chosen.visual_train, UnitSpec(attach=(1, 2, 3, 4), heads=8)),
        ("me_bert", chosen.textual_train, UnitSpec(attach=(1,), heads=card.num_heads)),
    ):
        made = ModelSpec(
            name=model,  # type: ignore[arg-type]
            visual=chosen.visual,
            textual=chosen.textual,
            units=units,
        )
        assert TrialSpec(data=chosen.data, model=made, train=train).trial_id


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"one of openclipart, .*mmimdb, but the data set is 'x'"):
        protocol("x")


def test_where_several_labels_may_hold_is_what_the_readers_say(
    tmp_path: Path, drawings: Path
) -> None:
    crisis = write_crisismmd(tmp_path / "crisis")
    folders = {name: crisis for name in PAPERS if name.startswith("crisismmd")} | {
        "food101": write_food101(tmp_path / "food101"),
        "mmimdb": write_mmimdb(tmp_path / "mmimdb"),
        "openclipart": drawings,
    }
    for name, folder in folders.items():
        read = DATASETS[name].read(folder, DataSpec(name=name))
        assert protocol(name).multilabel == read.multilabel
    # The keywords of the real drawings are needed to read these.
    assert set(PROTOCOLS) == set(DATASETS) == {*folders, "openclipart-tags"}
    assert protocol("openclipart-tags").multilabel


def test_classes_are_as_many_as_the_readers_find() -> None:
    # What the readers hold the data to, where small samples do not have all of it.
    with SPLITS_FILE.open(encoding="utf-8") as file:
        labels = {line["label"] for line in csv.DictReader(file)}
    with TAGS_FILE.open(encoding="utf-8") as file:
        tags = {tag for line in csv.DictReader(file) for tag in line["tags"].split(";")}
    found = {"openclipart": len(labels), "openclipart-tags": len(tags)}
    found |= {task: len({name for name in LABELS[task].values() if name}) for task in LABELS}
    found |= {"food101": FOODS, "mmimdb": len(GENRES)}
    assert {name: chosen.num_classes for name, chosen in PROTOCOLS.items()} == found
