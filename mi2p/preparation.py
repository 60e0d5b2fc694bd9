"""What a sweep does before its first trial: find the data, check it, make the stores.

Everything that would make a trial fail for want of an input is found here, once: data that is not
there, images that cannot be used, weights that cannot be had.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bar

from mi2p.data import DATASETS, Dataset, ensure
from mi2p.data.cache import Recipe, Stored, expanded, stored
from mi2p.data.example import SPLITS
from mi2p.data.images import (
    check_images,
    check_splits,
    image_recipe,
    read_dataset,
    without,
    write_report,
)
from mi2p.data.summary import summarised
from mi2p.data.views import BadImages
from mi2p.spec import DataSpec, ModelSpec

if TYPE_CHECKING:
    from mi2p.runtime import Runtime

MakeStore = Callable[[Recipe, "Runtime", Callable[[int], None]], Stored]
"""Makes a store, telling its last argument how many examples are done."""

VERBS = {
    "images": "decoding images",
    "tokens": "reading texts",
    "words": "features T'",
    "maps": "features Z'",
}


def make_here(recipe: Recipe, runtime: Runtime, progress: Callable[[int], None]) -> Stored:
    """Make a store in this process."""
    return stored(runtime.stores, recipe, progress=progress, verify=True)


def find_inputs(
    console: Console, name: str, *, data: Path | None, weights: Path | None, cache: Path
) -> tuple[Path, Path | None]:
    """The absolute folders of the data set, fetched if need be, and of weights, if any.

    Raises DataUnavailable for data, ValueError for weights that are not there or a folder of
    stores that cannot be written to.
    """
    _check_cache(expanded(absolute_cache(cache)))
    named = weights or os.environ.get("MI2P_WEIGHTS")
    folder = Path(named).absolute() if named else None
    if folder is not None and not folder.is_dir():
        raise ValueError(f"--weights must be a folder, but {folder} is not one")
    return ensure(name, data, echo=console.print).absolute(), folder


def _check_cache(folder: Path) -> None:
    """Better now than after an hour of reading."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--cache must be a folder or a new one: {error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"--cache must be a folder that can be written to, but {folder} cannot")


def absolute_cache(cache: Path) -> Path:
    """The folder of stores; one that begins with a variable is for each machine to expand."""
    return cache if str(cache).startswith("$") else cache.absolute()


def size_lines(dataset: Dataset) -> Iterator[str]:
    """The sizes of the splits, beside the paper's Table 1 where it has them, and the notes."""
    source = DATASETS[dataset.name]
    sizes = tuple(len(dataset.split(split)) for split in SPLITS)
    yield f"{dataset.name}: {_sized(sizes)} (train / val / test)"
    if source.paper_sizes is not None:
        differ = "equal to" if sizes == source.paper_sizes else "the paper's"
        yield f"  {differ} Table 1: {_sized(source.paper_sizes)}. {source.why}"
    for note in dataset.notes:
        yield f"  {note}"


def prepare_stores(
    console: Console,
    wanted: Mapping[DataSpec, Iterable[ModelSpec]],
    runtime: Runtime,
    *,
    results: Path,
    make: MakeStore = make_here,
) -> None:
    """Make the stores of all images, and all others that the models of each data set read.

    Their names are added to `runtime.prepared`, by which trials open them.
    What trials see of a data set is summarised in `results`. Bad images end this with BadImages,
    which names their report there, or are reported and left out, as the spec says. Raises what
    loading weights raises.
    """
    from mi2p.features import recipes, stored_features
    from mi2p.inputs import NOT_CACHED
    from mi2p.models.weights import weights_fingerprint

    pairs = [(data, model) for data, models in wanted.items() for model in dict.fromkeys(models)]
    for name in dict.fromkeys(name for _, m in pairs for name in (m.visual, m.textual)):
        if name is not None:
            weights_fingerprint(name, runtime.weights)  # loads them: what is wrong shows now
    told = set[str]()
    for data in wanted:
        dataset = read_dataset(data, runtime.data)
        for line in size_lines(dataset):
            if line not in told:  # specs that differ in the length of texts have the same sizes
                console.print(line, markup=False, soft_wrap=True)
                told.add(line)
        images = _make_shown(console, image_recipe(data, dataset), runtime, make)
        if images.failures:
            dataset = _report_failures(console, data, dataset, images, results / "bad_images")
        summarised(dataset).write(results)
    for data, model in pairs:
        for recipe in recipes(data, model, runtime):
            if recipe.label not in runtime.prepared:
                _make_shown(console, recipe, runtime, make)
    if any(stored_features(data, model) != model.frozen for data, model in pairs):
        console.print(f"note: {NOT_CACHED}")


def _report_failures(
    console: Console, data: DataSpec, dataset: Dataset, images: Stored, reports: Path
) -> Dataset:
    """Write the report; what is left of the data set."""
    rest = without(dataset, images)
    report = write_report(dataset, images, rest, reports)
    if data.on_bad_image == "fail":
        try:
            check_images(dataset, images)
        except BadImages as error:
            error.add_note(
                f"All of them are in {report}. Replace or remove them, or leave these examples "
                "out of every trial with --on-bad-image skip."
            )
            raise
    check_splits(dataset, rest)
    left = ", ".join(f"{split} {len(rest.split(split))}" for split in SPLITS)
    console.print(
        f"note: {len(images.failures)} images cannot be used ({report}); left: {left}",
        markup=False,
        soft_wrap=True,
    )
    return rest


def _make_shown(console: Console, recipe: Recipe, runtime: Runtime, make: MakeStore) -> Stored:
    """Make a store with a bar on a terminal, and a line that stays when something was made."""
    start, done = time.monotonic(), 0

    def progress(count: int) -> None:
        nonlocal done
        done = count
        bar.update(task, completed=count)

    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(VERBS[recipe.kind], total=recipe.count)
        store = make(recipe, runtime, progress)
    runtime.prepared[recipe.label] = store.path.name
    if done:
        size, seconds = store.nbytes / 1e6, time.monotonic() - start
        console.print(
            f"{VERBS[recipe.kind]}: {done} examples, {size:.1f} MB, {seconds:.1f} s",
            soft_wrap=True,
        )
    return store


def _sized(sizes: tuple[int, ...]) -> str:
    return " / ".join(map(str, sizes))
