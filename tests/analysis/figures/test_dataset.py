"""The figure of a data set: that it reads well was judged by eye, here nothing overlaps."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from PIL import Image

from analysis.describing.description import facts
from analysis.describing.pictures import Picture
from analysis.figures import canvas, dataset
from mi2p.data.example import Dataset
from tests.described import made_up

GOOD = Picture(size=(4, 3), format="PNG", digest="0", hash=0)


def drawn(made: Dataset) -> bytes:
    described = facts(made, [GOOD] * len(made.examples), max_tokens=16)
    with warnings.catch_warnings():
        # Of glyphs that the font has not, and of a layout that does not fit.
        warnings.simplefilter("error")
        return dataset.draw(made, described)


@contextmanager
def remembering() -> Iterator[list[Figure]]:
    """The figures drawn in the block, for a look at their parts."""
    kept: list[Figure] = []

    @contextmanager
    def remembered(width: float, height: float) -> Iterator[Figure]:
        with canvas.figure(width, height) as made:
            kept.append(made)
            yield made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "figure", remembered)
        yield kept


@pytest.fixture
def figures() -> Iterator[list[Figure]]:
    with remembering() as kept:
        yield kept


@dataclass(frozen=True)
class Drawn:
    made: Dataset
    figure: Figure
    png: bytes


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Drawn]:
    """The two large data sets, drawn once: that takes a second each."""
    found = {}
    for make in (food, movies):
        made = make(tmp_path_factory.mktemp(make.__name__))
        with remembering() as kept:
            png = drawn(made)
        (figure,) = kept
        found[make.__name__] = Drawn(made, figure, png)
    return found


def food(folder: Path) -> Dataset:
    """101 classes with long names, on texts with characters that fonts and formulas trip over."""
    rows = [("train", "$x_1$ \u4e2d\U0001f600 " * (40 * i + 1), (i,)) for i in range(101)]
    rows += [("val", "", (7,)), ("test", "soup", (8,))]
    names = [f"strawberry_shortcake_no_{i}" for i in range(101)]
    return made_up(folder, rows, classes=names, name="food101")


def movies(folder: Path) -> Dataset:
    every = tuple(range(23))
    rows = [("train", "A long plot. " * 30, every[: i + 1]) for i in range(23)]
    rows += [("train", "", ()), ("test", "plot", (0,))]
    names = [f"Genre-{i}" for i in every]
    return made_up(folder, rows, classes=names, name="mmimdb", multilabel=True)


def texts(made: Figure) -> Iterator[Text]:
    """Every text that is drawn, of which there is more than meets `Figure.texts`."""
    for part in made.subfigs:
        yield from part.texts
    for axes in made.axes:
        if axes.axison:
            yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
            for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
                low, high = sorted(axis.get_view_interval())
                for label in axis.get_ticklabels():
                    # There may be ticks beyond the ends, which are not drawn.
                    if low <= label.get_position()[place] <= high:
                        yield label


@pytest.mark.parametrize("name", ["food", "movies"])
def test_no_texts_overlap_and_none_leaves_the_figure(name: str, both: Mapping[str, Drawn]) -> None:
    made = both[name].figure
    renderer = made.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = {text: text.get_window_extent(renderer) for text in texts(made) if text.get_text()}
    assert len(boxes) > 40
    for label, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0
        inside &= box.x1 <= made.bbox.width and box.y1 <= made.bbox.height
        assert inside, label
    for (one, box), (other, second) in itertools.combinations(boxes.items(), 2):
        # A pixel of common border is no overlap.
        across = min(box.x1, second.x1) - max(box.x0, second.x0)
        down = min(box.y1, second.y1) - max(box.y0, second.y0)
        assert across < 1 or down < 1, (one, other)


def test_every_class_is_named_and_counted_once(both: Mapping[str, Drawn]) -> None:
    made = both["food"].made
    panels = [
        axes for axes in both["food"].figure.axes if axes.get_xlabel().startswith("examples")
    ][1:]
    names = [label.get_text() for axes in panels for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(made.classes)
    assert [len(axes.get_yticklabels()) for axes in panels] == [34, 34, 33]
    val = np.concatenate([np.asarray(axes.lines[1].get_xdata()) for axes in panels])
    assert val.sum() == 1
    assert val[names.index(made.classes[7])] == 1


@pytest.mark.parametrize(
    ("counts", "scale"), [((60, 30), "linear"), ((60, 3), "log"), ((60, 0), "symlog")]
)
def test_counts_far_apart_are_on_a_log_scale(
    counts: tuple[int, int], scale: str, tmp_path: Path, figures: list[Figure]
) -> None:
    rows = [
        (split, "", (label,))
        for split in ("train", "val", "test")
        for label, count in enumerate(counts)
        for _ in range(count)
    ]
    drawn(made_up(tmp_path, rows, classes=("a", "b")))
    axes = figures[0].axes[2]
    assert axes.get_xscale() == scale
    assert axes.get_xlim()[0] <= min(counts)
    assert ("log" in axes.get_xlabel()) == (scale != "linear")


def test_the_papers_sizes_stand_beside_ours(both: Mapping[str, Drawn]) -> None:
    told = [text.get_text().strip() for text in both["food"].figure.axes[0].texts]
    assert told == [
        "101 here (-58,030)", "58,131 in the paper",
        "1 here (-6,451)", "6,452 in the paper",
        "1 here (-21,518)", "21,519 in the paper",
    ]  # fmt: skip


def shares(axes: Axes) -> list[int]:
    """Sum of each histogram."""
    return [round(sum(p.get_data()[0])) for p in axes.patches if isinstance(p, StepPatch)]


def test_histograms_hold_every_text_that_is_not_empty(
    tmp_path: Path, both: Mapping[str, Drawn], figures: list[Figure]
) -> None:
    drawn(made_up(tmp_path, [("train", "w " * i, (0,)) for i in range(60)], classes=("a",)))
    log, linear = (figure.axes[1] for figure in (both["food"].figure, *figures))
    assert shares(log) == [100, 0, 100]
    assert log.get_legend_handles_labels()[1] == ["train", "val (1 empty, not shown)", "test"]
    assert shares(linear) == [100]
    assert linear.get_legend_handles_labels()[1] == ["train (1 empty)"]


def test_samples_are_spread_over_classes_and_skip_unusable_images(
    tmp_path: Path, both: Mapping[str, Drawn]
) -> None:
    rows = [("train", "", (i % 5,)) for i in range(50)] + [("test", "", (0,))]
    made = made_up(tmp_path, rows, classes=("a", "b", "c", "d", "e"))
    shown = [example for example, _ in dataset.samples(made)]
    assert [example.labels[0] for example in shown] == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]
    assert {example.split for example in shown} == {"train"}
    shown[0].image.unlink()
    shown[1].image.write_bytes(b"no picture")
    again = [example for example, _ in dataset.samples(made)]
    assert [example.labels for example in again] == [example.labels for example in shown]
    assert not {shown[0].id, shown[1].id} & {example.id for example in again}
    assert len({example.id for example in again}) == 12

    many = both["food"].made
    labels = [example.labels[0] for example, _ in dataset.samples(many)]
    assert (labels[0], labels[-1], len(set(labels))) == (0, 100, 12)


def test_data_without_a_training_example_or_a_text_are_drawn(tmp_path: Path) -> None:
    only_test = made_up(tmp_path, [("test", "", (0,))], classes=("a",))
    unlabelled = made_up(tmp_path, [("train", "", ())], classes=("a",), multilabel=True)
    for made in (only_test, unlabelled):
        with Image.open(io.BytesIO(drawn(made))) as image:
            assert image.width == 12 * canvas.DPI


def test_the_same_data_give_the_same_bytes(both: Mapping[str, Drawn]) -> None:
    assert drawn(both["movies"].made) == both["movies"].png
