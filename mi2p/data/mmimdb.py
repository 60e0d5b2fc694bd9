"""Read MM-IMDB: movie posters with a plot, and which of 23 genres each movie has.

The archive has dataset/<id>.json and dataset/<id>.jpeg, a copy in use labels/<id>.json and
images/<id>.jpeg; both have the official splits in split.json.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mi2p.data.example import SPLITS, Dataset, Example
from mi2p.data.places import VARIABLE, find_folder
from mi2p.data.split_files import Listed, clean, first, is_strings, read_json, read_split_file

TextField = Literal["plot_longest", "plot_first", "plot_outline"]

NAMES = ("mmimdb",)
USUAL = Path("data/mmimdb")
OFFICIAL_SPLITS = "split.json"
# By frequency, as in the data set's own code; News, Adult, Talk-Show and Reality-TV, on 71 labels
# in all, are not among them.
GENRES = (
    *("Drama", "Comedy", "Romance", "Thriller", "Crime", "Action", "Adventure", "Horror"),
    *("Documentary", "Mystery", "Sci-Fi", "Fantasy", "Family", "Biography", "War", "History"),
    *("Music", "Animation", "Musical", "Western", "Sport", "Short", "Film-Noir"),
)

WHY = (
    "The official split.json has the paper's sizes (15,552 / 2,608 / 7,799), and every movie in "
    "it is kept, also those with none of the 23 genres. Other sizes mean another split file; "
    "MMBT's, for one, leaves out the movies with the genre News."
)
HOW_TO_GET_IT = f"""\
To get MM-IMDB:
  1. Fetch mmimdb.tar.gz from https://archive.org/download/mmimdb/ and unpack it. The other form,
     multimodal_imdb.hdf5, has no plots and will not do.
  2. Expected in the folder DIR that comes out: split.json, dataset/<id>.json and
     dataset/<id>.jpeg. Also legal: split.json, labels/<id>.json and images/<id>.jpeg.
  3. Point to it: `--data DIR` of the sweep scripts, or the environment variable {VARIABLE}=DIR;
     DIR may also be the folder that contains it as mmimdb."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Movie:
    """What is used of a movie; `genres` may hold names that are not among the 23."""

    text: str
    genres: tuple[str, ...]


def locate(data_root: Path | None) -> Path:
    """The absolute folder that contains split.json.

    Looks only in `data_root` if given, else in $MI2P_DATA, then in ./data/mmimdb.

    Raises DataUnavailable, naming every place looked at.
    """
    return find_folder(
        data_root,
        _movies_folder,
        usual=(USUAL,),
        expected="No MM-IMDB found. Expected split.json with dataset/, or with images/ and "
        "labels/, in the folder itself or below it in mmimdb/.",
        how=HOW_TO_GET_IT,
    )


def read(root: Path, *, text_field: TextField = "plot_longest", splits: str = "") -> Dataset:
    """Every movie of the splits, in the order of their file.

    The text is the longest plot (in characters; the first of equals), the first plot, or IMDb's
    one-sentence `plot outline`; it is empty where a movie has none. `splits` is a path below
    `root` of other splits: a .json file like split.json, or a folder with MMBT's train.jsonl,
    dev.jsonl and test.jsonl, whose texts and genres are used.

    Raises DataUnavailable when there is no such folder, and ValueError for an unknown text field,
    damaged files, movies without a file, or a split without movies.
    """
    if text_field not in get_args(TextField):
        raise ValueError(
            f"`text_field` must be one of {', '.join(get_args(TextField))}, but got "
            f"{text_field!r}."
        )
    folder = _movies_folder(root) or locate(root)  # locate raises, and says what was expected
    source = splits or OFFICIAL_SPLITS
    listed = read_split_file(folder, source)
    empty = set(SPLITS) - {sample.split for sample in listed}
    if empty:
        raise ValueError(
            f"Every split must have movies, but {folder / source} has none for "
            f"{', '.join(sorted(empty))}."
        )
    movies, posters, where = _read_movies(folder, listed, text_field, splits)
    examples = tuple(
        Example(
            id=sample.id,
            image=posters / f"{sample.id}.jpeg",
            text=movies[sample.id].text,
            labels=tuple(i for i, name in enumerate(GENRES) if name in movies[sample.id].genres),
            split=sample.split,
        )
        for sample in listed
    )
    return Dataset(
        name="mmimdb",
        classes=GENRES,
        multilabel=True,
        examples=examples,
        notes=(f"texts: {where}; splits: {source}", *_notes(examples, movies.values())),
    )


def _movies_folder(folder: Path) -> Path | None:
    below = [folder / name for name in NAMES]
    for base in (folder, *below, *(outer / name for outer in below for name in NAMES)):
        if (base / OFFICIAL_SPLITS).is_file() and _layout(base) is not None:
            return base.absolute()
    return None


def _layout(folder: Path) -> tuple[Path, Path] | None:
    """The folders of the JSON files and of the posters; None if there are none."""
    for labels, posters in (("dataset", "dataset"), ("labels", "images")):
        if (folder / labels).is_dir() and (folder / posters).is_dir():
            return folder / labels, folder / posters
    return None


def _read_movies(
    folder: Path, listed: Sequence[Listed], text_field: TextField, splits: str
) -> tuple[dict[str, Movie], Path, str]:
    """The movies by id, the folder of the posters, and where the texts are from, in words."""
    layout = _layout(folder)
    assert layout is not None  # it is how the folder was recognised
    labels, posters = layout
    ids = [sample.id for sample in listed]
    if listed[0].text is None:
        _check_files(ids, labels, splits or OFFICIAL_SPLITS)
        movies = {name: _read_movie(labels / f"{name}.json", text_field) for name in ids}
        return movies, posters, f"{text_field} of {labels.name}/"
    if text_field != "plot_longest":
        # It would be the same data under another name.
        raise ValueError(
            f"`text_field` must be left at plot_longest when the texts come from the split file "
            f"({splits}), but is {text_field}."
        )
    movies = {
        sample.id: Movie(text=sample.text or "", genres=sample.labels or ()) for sample in listed
    }
    return movies, posters, splits


def _check_files(ids: Sequence[str], folder: Path, source: str) -> None:
    """ValueError with the number of movies without a JSON file, and the first few.

    Posters that are missing are found with all other bad images when they are decoded.
    """
    missing = {f"{name}.json" for name in ids} - {entry.name for entry in os.scandir(folder)}
    if missing:
        raise ValueError(
            f"Each of the {len(ids)} movies in {source} must have its file in {folder}, but "
            f"{len(missing)} have not: {first(missing)}."
        )


def _read_movie(path: Path, text_field: TextField) -> Movie:
    content = read_json(path, path.read_bytes())
    if not isinstance(content, dict) or not is_strings(content.get("genres")):
        raise ValueError(f"{path} must be an object with `genres`, a list of strings.")
    key = "plot outline" if text_field == "plot_outline" else "plot"
    value = content.get(key)
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not is_strings(texts):
        raise ValueError(
            f"`{key}` of {path} must be a string or a list of strings, but is {value!r:.100}."
        )
    if text_field == "plot_longest":
        # max takes the first of equals, as the data set's own code does.
        text = max(texts, key=len, default="")
    else:
        text = texts[0] if texts else ""
    return Movie(text=clean(text), genres=tuple(content["genres"]))


def _notes(examples: Sequence[Example], movies: Iterable[Movie]) -> list[str]:
    ignored = Counter(
        genre for movie in movies for genre in set(movie.genres) if genre not in GENRES
    )
    notes = []
    if ignored:
        named = ", ".join(f"{genre} {ignored[genre]}" for genre in sorted(ignored))
        notes.append(f"genres that are not among the {len(GENRES)}, and their movies: {named}")
    counts = [
        (sum(not example.labels for example in examples), f"none of the {len(GENRES)} genres"),
        (sum(not example.text for example in examples), "an empty text"),
    ]
    return notes + [f"{count} movies with {what}; kept" for count, what in counts if count]
