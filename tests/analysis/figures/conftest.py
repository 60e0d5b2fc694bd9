"""Figures without their files: drawn and laid out, but not written as PNG and PDF."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType, ModuleType

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from analysis.figures import canvas
from analysis.figures.canvas import Drawn
from mi2p.metrics import score
from mi2p.plan import PlanRow
from mi2p.spec import TrialSpec
from mi2p.store import Status, Store, trial_row
from tests.analysis.conftest import ENVIRONMENT, Lab

Remember = Callable[[ModuleType], list[Figure]]


@pytest.fixture
def remember(monkeypatch: pytest.MonkeyPatch) -> Remember:
    """Makes a module of figures keep them in the list that is returned, and write no files."""

    def patched(module: ModuleType) -> list[Figure]:
        kept: list[Figure] = []

        @contextmanager
        def figure(width: float, height: float) -> Iterator[Figure]:
            with canvas.figure(width, height) as made:
                kept.append(made)
                yield made

        def drawn(made: Figure, *, name: str, caption: str, alternative: str) -> Drawn:
            made.draw_without_rendering()
            return Drawn(name=name, caption=caption, alternative=alternative, png=b"", pdf=b"")

        monkeypatch.setattr(module, "figure", figure)
        monkeypatch.setattr(module, "drawn", drawn)
        return kept

    return patched


def trained(
    lab: Lab,
    spec: TrialSpec,
    accuracies: Sequence[float],
    *,
    losses: Sequence[float] = (),
    status: Status = "done",
    test: Mapping[str, float] = MappingProxyType({}),
    **environment: object,
) -> None:
    """A trial with these accuracies on validation, the best of which it also has on test.

    `test` has other metrics of test.
    """
    best = max(range(len(accuracies)), key=lambda i: accuracies[i])
    metrics = {"val/accuracy": accuracies[best], "val/macro_f1": accuracies[best]}
    if status == "done" and spec.stage == "confirm":
        metrics |= {f"test/{name}": accuracies[best] for name in ("accuracy", "macro_f1")}
        metrics |= {"test/weighted_f1": accuracies[best]}
        metrics |= {f"test/{name}": value for name, value in test.items()}
    store = Store(lab.results)
    store.write_epochs(
        spec.trial_id,
        [
            {"epoch": i + 1, "train/loss": loss, "val/accuracy": accuracy}
            for i, (accuracy, loss) in enumerate(
                itertools.zip_longest(accuracies, losses, fillvalue=1.0)
            )
        ],
    )
    store.write_trial(
        trial_row(
            spec,
            status=status,
            metrics=metrics,
            environment={**ENVIRONMENT, "seconds": 10.0, "processes": 1, **environment},
            best_epoch=best + 1,
            error="boom" if status == "error" else None,
        )
    )


def answered(lab: Lab, row: PlanRow, right: Sequence[Sequence[int]]) -> None:
    """Trials of a row that answered each test example rightly or not: a list of 0, 1 per seed."""
    for spec, hits in zip(row.specs, right, strict=True):
        probabilities = np.where(np.array(hits)[:, None] == [1, 0], 0.9, 0.1)
        scores = score(probabilities, np.zeros(len(hits), np.int64), multilabel=False)
        trained(lab, spec, [scores["accuracy"]], test=scores)
        Store(lab.results).write_predictions(
            spec.trial_id,
            [
                {
                    "split": "test",
                    "example_id": f"e{i:03d}",
                    "labels": [0],
                    "probabilities": given.tolist(),
                }
                for i, given in enumerate(probabilities)
            ],
        )


def texts(made: Figure) -> Iterator[Text]:
    """Every text of the panels that is drawn."""
    for axes in made.axes:
        yield from axes.texts
        if axes.axison:
            yield from (axes.title, axes.xaxis.label, axes.yaxis.label)
            yield from _of_ticks(axes)
    for legend in made.legends:
        yield from legend.get_texts()


def _of_ticks(axes: Axes) -> Iterator[Text]:
    for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        for label in axis.get_ticklabels():
            # There may be ticks beyond the ends, which are not drawn.
            if low <= label.get_position()[place] <= high and label.get_visible():
                yield label


def assert_readable(made: Figure, *, inside_only: bool = False) -> None:
    """No text leaves the figure or, but for `inside_only`, covers another."""
    renderer = made.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [(t, t.get_window_extent(renderer)) for t in texts(made) if t.get_text()]
    assert boxes
    for text, box in boxes:
        assert box.x0 >= -0.5 and box.y0 >= -0.5, text
        assert box.x1 <= made.bbox.width + 0.5 and box.y1 <= made.bbox.height + 0.5, text
    if inside_only:
        return
    for (one, box), (other, second) in itertools.combinations(boxes, 2):
        across = min(box.x1, second.x1) - max(box.x0, second.x0)
        down = min(box.y1, second.y1) - max(box.y0, second.y0)
        # A pixel of common border is no overlap.
        assert across < 1 or down < 1, (one, other)


def points(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Places of all marks of this kind."""
    return [place for line in axes.lines if line.get_marker() == marker for place in places(line)]


def places(line: Line2D) -> list[tuple[float, float]]:
    """Where a line goes."""
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
