"""MM-IMDB on generated copies of both layouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from mi2p.data import mmimdb
from mi2p.data.example import Dataset, Example
from mi2p.data.places import VARIABLE, DataUnavailable
from tests.mmimdb_layout import LOOKS, Layout, write_mmimdb

# In the order of the data set's own publication, by frequency.
GENRES = (
    "Drama Comedy Romance Thriller Crime Action Adventure Horror Documentary Mystery Sci-Fi "
    "Fantasy Family Biography War History Music Animation Musical Western Sport Short Film-Noir"
).split()


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def change(root: Path, movie: str, **fields: object) -> None:
    """Set fields of a movie's JSON file; None removes one."""
    path = root / "dataset" / f"{movie}.json"
    content = json.loads(path.read_text()) | {k.replace("_", " "): v for k, v in fields.items()}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def by_id(dataset: Dataset) -> dict[str, Example]:
    return {example.id: example for example in dataset.examples}


# The first three movies of every generated copy.
A, B, C = "0100000", "0100017", "0100034"


@pytest.mark.parametrize("layout", ["dataset", "images"])
def test_both_layouts_are_read(tmp_path: Path, layout: Layout) -> None:
    root = write_mmimdb(tmp_path, layout=layout, movies=16)
    dataset = mmimdb.read(root)
    assert (dataset.name, dataset.multilabel) == ("mmimdb", True)
    assert list(dataset.classes) == GENRES
    splits = json.loads((root / "split.json").read_text())
    assert [(e.id, e.split) for e in dataset.examples] == [
        (movie, {"dev": "val"}.get(key, key)) for key, ids in splits.items() for movie in ids
    ]
    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [8, 4, 4]
    folder = "dataset" if layout == "dataset" else "images"
    assert all(e.image == root / folder / f"{e.id}.jpeg" for e in dataset.examples)
    assert dataset.notes == (
        f"texts: plot_longest of {'dataset' if layout == 'dataset' else 'labels'}/; "
        "splits: split.json",
    )


def test_labels_are_the_places_of_the_genres_in_the_list(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path)
    change(root, B, genres=["Film-Noir", "Drama", "Sci-Fi", "Drama"])
    examples = by_id(mmimdb.read(root))
    # Drama is 0, Comedy 1, Horror 7, Sci-Fi 10, Film-Noir 22. Movies 0 and 3 have two genres.
    assert examples[A].labels == (0, 1)
    assert examples[B].labels == (0, 10, 22)
    assert examples[C].labels == (7,)
    assert examples["0100051"].labels == (0, 10)


def test_genres_beyond_the_23_are_ignored_and_their_movies_kept(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, movies=12)
    change(root, A, genres=["News"])
    change(root, B, genres=["News", "War", "Adult"])
    change(root, C, genres=[])
    dataset = mmimdb.read(root)
    examples = by_id(dataset)
    assert [examples[movie].labels for movie in (A, B, C)] == [(), (14,), ()]
    assert len(dataset.examples) == 12
    assert dataset.notes[1:] == (
        "genres that are not among the 23, and their movies: Adult 1, News 2",
        "2 movies with none of the 23 genres; kept",
    )


def test_the_text_field_chooses_the_text(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, movies=12)
    change(root, A, plot=["Short.", "The\nlongest  one", "Middling"], plot_outline="An outline.")
    change(root, B, plot="A plain  string", plot_outline=["In a list", "and more"])

    def texts(field: mmimdb.TextField) -> list[str]:
        examples = by_id(mmimdb.read(root, text_field=field))
        return [examples[movie].text for movie in (A, B)]

    assert texts("plot_longest") == ["The longest one", "A plain string"]
    assert texts("plot_first") == ["Short.", "A plain string"]
    assert texts("plot_outline") == ["An outline.", "In a list"]


def test_equally_long_plots_give_the_first(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, movies=12)
    change(root, A, plot=["1", "abc", "xyz", "22"])
    assert by_id(mmimdb.read(root))[A].text == "abc"


def test_movies_without_a_text_are_kept_and_counted(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, movies=12)
    change(root, A, plot=None, plot_outline=None)
    change(root, B, plot=[" \n"])
    change(root, C, plot=[])
    dataset = mmimdb.read(root)
    assert [by_id(dataset)[movie].text for movie in (A, B, C)] == ["", "", ""]
    assert dataset.notes[1:] == ("3 movies with an empty text; kept",)
    outline = mmimdb.read(root, text_field="plot_outline")
    assert outline.notes == (
        "texts: plot_outline of dataset/; splits: split.json",
        "1 movies with an empty text; kept",
    )


def test_an_unknown_text_field_is_an_error(tmp_path: Path) -> None:
    field = cast(mmimdb.TextField, "plot")
    with pytest.raises(ValueError, match="plot_longest, plot_first, plot_outline, but got 'plot'"):
        mmimdb.read(write_mmimdb(tmp_path), text_field=field)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"genres": None}, "`genres`, a list of strings"),
        ({"genres": "Drama"}, "`genres`, a list of strings"),
        ({"plot": 3}, "`plot` of .* must be a string or a list of strings, but is 3"),
        ({"plot": [None]}, r"must be a string or a list of strings, but is \[None\]"),
    ],
)
def test_a_damaged_movie_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    root = write_mmimdb(tmp_path)
    change(root, B, **fields)
    with pytest.raises(ValueError, match=message) as error:
        mmimdb.read(root)
    assert f"{B}.json" in str(error.value)


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path)
    (root / "dataset" / f"{C}.json").write_text('{"genres": [],\n"plot": [}')
    with pytest.raises(ValueError, match=rf"{C}\.json must be valid JSON, but line 2: "):
        mmimdb.read(root)


def test_missing_files_make_one_error(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, movies=24)
    movies = sorted((root / "dataset").glob("*.json"))
    for file in movies[:7]:
        file.unlink()
    with pytest.raises(ValueError, match=r"Each of the 24 movies in split\.json must") as error:
        mmimdb.read(root)
    assert str(error.value).endswith(
        f"in {root}/dataset, but 7 have not: 0100000.json, 0100017.json, 0100034.json, "
        "0100051.json, 0100068.json, ... and 2 more."
    )


def test_a_movie_without_poster_stays_for_the_check_of_images(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, movies=24)
    whole = mmimdb.read(root)
    poster = sorted((root / "dataset").glob("*.jpeg"))[20]
    poster.unlink()
    assert mmimdb.read(root) == whole  # where the image should be is known
    assert poster in [example.image for example in whole.examples]


@pytest.mark.parametrize("below", ["", "mmimdb", "mmimdb/mmimdb"])
def test_the_folder_may_be_named_at_any_level(tmp_path: Path, below: str) -> None:
    made = write_mmimdb(tmp_path / "root" / below, movies=12)
    assert mmimdb.locate(tmp_path / "root") == made
    assert len(mmimdb.read(tmp_path / "root").examples) == 12


def test_the_usual_place_is_found_and_its_absence_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_mmimdb(tmp_path / "data/mmimdb", movies=12)
    assert mmimdb.locate(None) == made
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    assert mmimdb.locate(None) == made
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    (made / "split.json").unlink()
    with pytest.raises(DataUnavailable) as error:
        mmimdb.locate(None)
    for part in (
        "https://archive.org/download/mmimdb/",
        "dataset/<id>.json",
        "labels/<id>.json",
        "hdf5",
        f"{VARIABLE}=DIR",
    ):
        assert part in str(error.value)
    with pytest.raises(DataUnavailable):
        mmimdb.read(made)


def test_another_list_replaces_the_splits(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path)
    (root / "mine").mkdir()
    lists = {"train": [C], "val": [A], "test": [f"{B}.jpeg"]}
    (root / "mine/split.json").write_text(json.dumps(lists))
    dataset = mmimdb.read(root, splits="mine/split.json")
    assert [(e.id, e.split) for e in dataset.examples] == [(C, "train"), (A, "val"), (B, "test")]
    assert dataset.notes[0].endswith("splits: mine/split.json")
    (root / "mine/split.json").write_text(json.dumps(lists | {"val": []}))
    with pytest.raises(ValueError, match=r"mine/split\.json has none for val\."):
        mmimdb.read(root, splits="mine/split.json")
    (root / "split.json").write_text(json.dumps({"train": [A], "test": [A]}))
    with pytest.raises(ValueError, match="but has train, test"):
        mmimdb.read(root)


def test_jsonl_files_replace_splits_texts_and_genres(tmp_path: Path) -> None:
    root = write_mmimdb(tmp_path, layout="images")
    shutil.rmtree(root / "labels")
    (root / "labels").mkdir()  # those who have MMBT's files need no others
    for split, movie in (("train", A), ("dev", B), ("test", C)):
        row = {"id": movie, "label": ["War", "News", "Comedy"], "text": f"Plot  of {movie}"}
        image = {"image": f"dataset/{movie}.jpeg"}
        (root / f"{split}.jsonl").write_text(json.dumps(row | image))
    dataset = mmimdb.read(root, splits=".")
    assert [(e.id, e.split, e.text, e.labels) for e in dataset.examples] == [
        (A, "train", f"Plot of {A}", (1, 14)),
        (B, "val", f"Plot of {B}", (1, 14)),
        (C, "test", f"Plot of {C}", (1, 14)),
    ]
    assert dataset.notes[1:] == ("genres that are not among the 23, and their movies: News 3",)
    with pytest.raises(ValueError, match=r"left at plot_longest .* \(\.\), but is plot_first"):
        mmimdb.read(root, splits=".", text_field="plot_first")


def test_the_generator_puts_all_its_genres_into_each_split(tmp_path: Path) -> None:
    one, two = (write_mmimdb(tmp_path / str(seed), movies=16, seed=seed) for seed in (0, 1))
    dataset = mmimdb.read(one)
    for split in ("train", "val", "test"):
        labels = {label for example in dataset.split(split) for label in example.labels}
        assert labels == {GENRES.index(genre) for genre in LOOKS}
    assert any(len(example.labels) == 2 for example in dataset.split("test"))
    name = f"dataset/{A}.jpeg"
    with Image.open(one / name) as image:
        assert (image.format, image.size) == ("JPEG", (64, 96))
    assert (one / name).read_bytes() != (two / name).read_bytes()
    with pytest.raises(ValueError, match=r"at least 12, but got movies=11"):
        write_mmimdb(tmp_path / "small", movies=11)


def test_the_paper_is_compared_in_words() -> None:
    for number in ("15,552", "2,608", "7,799"):
        assert number in mmimdb.WHY
