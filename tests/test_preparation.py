"""Before the first trial: data found, images checked, stores made, everything told."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mi2p.data import DATASETS
from mi2p.data.cache import Recipe, Stored
from mi2p.data.example import Dataset
from mi2p.data.places import DataUnavailable
from mi2p.data.summary import read_summaries
from mi2p.data.views import BadImages
from mi2p.inputs import prepare
from mi2p.models.weights import WeightsUnavailable
from mi2p.preparation import find_inputs, make_here, prepare_stores, size_lines
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, ModelSpec, UnitSpec
from tests.planted import planted_xor, register

DATA = DataSpec(name="planted", image_size=32, max_tokens=12)
ME_CNN = ModelSpec(
    name="me_cnn",
    visual="tiny_densenet",
    textual="tiny_bert",
    units=UnitSpec(attach=(1,), heads=4),
)
MODELS = [ME_CNN, replace(ME_CNN, name="me_bert"), ModelSpec(name="bert", textual="tiny_bert")]


class Told:
    """A console, what it printed, and which stores were made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = io.StringIO()
        self.console = Console(file=self.text, width=200)
        self.made: list[str] = []

    def prepare(self, *datas: DataSpec) -> Runtime:
        runtime = Runtime(cache=self.folder / "cache", device="cpu")
        prepare_stores(
            self.console,
            {data: MODELS for data in datas},
            runtime,
            results=self.folder,
            make=self._make,
        )
        return runtime

    def _make(self, recipe: Recipe, runtime: Runtime, progress: object) -> Stored:
        if not recipe.path(runtime.stores).exists():
            self.made.append(recipe.kind)
        return make_here(recipe, runtime, lambda done: None)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    planted = planted_xor(tmp_path / "planted", count=48)
    register(monkeypatch, "planted", planted)
    return planted


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_every_store_is_made_once(told: Told, dataset: Dataset) -> None:
    told.prepare(DATA)
    assert told.made == ["images", "tokens", "words", "maps"]
    told.prepare(DATA, replace(DATA, max_tokens=11))  # as for a transformer that takes fewer
    assert told.made[4:] == ["tokens", "words"]
    assert told.text.getvalue().count("planted: 24 / 12 / 12 (train / val / test)") == 2


def test_with_augmentation_it_says_that_maps_are_not_kept(told: Told, dataset: Dataset) -> None:
    told.prepare(replace(DATA, augment="crop_flip"))
    assert told.made == ["images", "tokens", "words"]
    assert "augmentation is on: Z' is computed in every step" in told.text.getvalue()


def test_bad_images_stop_it_with_a_report_of_all(told: Told, dataset: Dataset) -> None:
    bad = [dataset.examples[i] for i in range(0, 48, 2)]  # more than an error shows
    for example in bad:
        example.image.write_bytes(example.image.read_bytes()[:300])
    with pytest.raises(BadImages, match="24 of 48 images cannot be used") as refused:
        told.prepare(DATA)
    assert told.made == ["images"]  # nothing was encoded in vain
    (report,) = (told.folder / "bad_images").glob("*.csv")
    (note,) = refused.value.__notes__
    assert str(report) in note and "--on-bad-image skip" in note
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [example.id for example in bad]
    assert all(row["reason"] for row in rows)
    assert [row["path"] for row in rows] == [str(example.image) for example in bad]
    told.prepare(replace(DATA, on_bad_image="skip"))
    assert told.made == ["images", "tokens", "words", "maps"]  # not decoded again
    assert "note: 24 images cannot be used" in told.text.getvalue()
    assert "left: train 12, val 6, test 6" in told.text.getvalue()


def test_weights_that_cannot_be_had_stop_it(
    told: Told, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(name: str, folder: Path | None) -> str:
        raise WeightsUnavailable(f"no weights for {name}")

    monkeypatch.setattr("mi2p.models.weights.weights_fingerprint", refused)
    with pytest.raises(WeightsUnavailable, match="no weights for tiny_densenet"):
        told.prepare(DATA)
    assert told.made == []  # before anything that takes long


def test_sizes_beside_table_1(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(train: int, val: int, test: int) -> str:
        sizes = (train, val, test)
        source = replace(DATASETS["planted"], paper_sizes=sizes, why="Because.")
        monkeypatch.setitem(DATASETS, "planted", source)
        return "\n".join(size_lines(replace(dataset, notes=("Two texts are empty.",))))

    assert lines(24, 12, 12) == (
        "planted: 24 / 12 / 12 (train / val / test)\n"
        "  equal to Table 1: 24 / 12 / 12. Because.\n"
        "  Two texts are empty."
    )
    assert "the paper's Table 1: 24 / 13 / 12. Because." in lines(24, 13, 12)


@pytest.mark.parametrize("name", DATASETS)
def test_data_that_is_nowhere_says_what_to_get(
    name: str, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MI2P_DATA", raising=False)
    with pytest.raises(DataUnavailable, match=r"(?s)Looked at: .*nowhere\.\n.+") as refused:
        find_inputs(
            told.console, name, data=tmp_path / "nowhere", weights=None, cache=tmp_path / "cache"
        )
    assert len(refused.value.how) > 100


def test_weights_that_are_no_folder_are_refused(told: Told, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--weights must be a folder, but .*none is not one"):
        find_inputs(
            told.console, "planted", data=None, weights=tmp_path / "none", cache=tmp_path / "cache"
        )


def test_a_cache_that_cannot_be_used_is_refused_at_once(told: Told, tmp_path: Path) -> None:
    def find(cache: Path) -> None:
        find_inputs(told.console, "planted", data=None, weights=None, cache=cache)

    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--cache must be a folder or a new one: .*file"):
        find(tmp_path / "file")
    with pytest.raises(ValueError, match=r"every variable in .*must be set"):
        find(Path("$MI2P_TEST_NOT_SET/cache"))


def test_a_split_without_usable_images_stops_it(told: Told, dataset: Dataset) -> None:
    # Every trial would be trained and then fail.
    for example in dataset.split("val"):
        example.image.unlink()
    with pytest.raises(ValueError, match="none of the 12 of val can"):
        told.prepare(replace(DATA, on_bad_image="skip"))


def test_trials_open_what_was_prepared_by_name(
    told: Told, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = told.prepare(DATA)
    for example in dataset.examples:
        os.utime(example.image, ns=(0, 0))  # another machine's copy of the data has other times
    register(monkeypatch, "planted", replace(dataset))

    def never(*_: object) -> None:
        raise AssertionError("loaded or made again")

    for name in ("load_textual", "load_visual", "load_tokenizer", "weights_fingerprint", "stored"):
        monkeypatch.setattr(f"mi2p.features.{name}", never)
    for model in MODELS:
        inputs = prepare(DATA, model, prepared)
        assert inputs.tokens is not None and len(inputs.tokens) == 48
    with pytest.raises(AssertionError, match="made again"):
        prepare(DATA, MODELS[0], replace(prepared, prepared={}))
    # Other texts are other data: what was prepared is not for them.
    other = replace(
        dataset, examples=(replace(dataset.examples[0], text="x"), *dataset.examples[1:])
    )
    register(monkeypatch, "planted", other)
    with pytest.raises(AssertionError, match="made again"):
        prepare(DATA, MODELS[0], prepared)


def test_what_trials_see_of_the_data_is_summarised(told: Told, dataset: Dataset) -> None:
    told.prepare(replace(DATA, limit=5))
    (found,) = read_summaries(told.folder).values()
    assert found.name == "planted" and found.classes == dataset.classes
    assert found.counts["train"].examples == 5
