from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from analysis.figures import parallel
from mi2p.plan import Plan
from tests.analysis.conftest import CNN, ME_CNN, Lab
from tests.analysis.figures.conftest import Remember, assert_readable, places
from tests.analysis.figures.test_axes_of_search import search


def drawn(lab: Lab, *rows: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return parallel.draw(lab.results, Plan(name="models-lab", table=0, rows=rows))


def test_each_configuration_is_a_line_and_the_best_is_on_top(lab: Lab, remember: Remember) -> None:
    kept = remember(parallel)
    row = search(
        lab,
        CNN,
        [
            ({"train.lr": 1e-5}, 0.5, "done"),
            ({"train.lr": 1e-3}, 0.75, "done"),
            ({"train.lr": 1e-4}, 0.7, "done"),
            ({"train.lr": 1e-4, "train.weight_decay": 1e-4}, 0.9, "pruned"),
            ({"train.lr": 2e-5}, None, "error"),
        ],
    )
    (one,) = drawn(lab, row)
    assert one.name == "models-lab-parallel-row"
    panel = kept[0].axes[0]
    lines = [line for line in panel.lines if len(places(line)) == 3]
    ends = {tuple(round(y, 3) for _, y in places(line)) for line in lines}
    decays = {0.0: 0.0, 1e-4: 1.0}
    lost = {status: height for status, (height, _, _) in parallel.LOST.items()}
    assert ends == {
        (0.0, decays[0.0], 0.0),
        (1.0, decays[0.0], 1.0),
        (0.5, decays[0.0], 0.8),
        (0.5, decays[1e-4], lost["pruned"]),
        (round(np.log10(2) / 2, 3), decays[0.0], lost["error"]),
    }
    top = max(lines, key=lambda line: line.get_zorder())
    assert places(top)[-1][1] == 1.0 and top.get_path_effects()
    assert len({line.get_linestyle() for line in lines}) == 3  # not by colour alone
    texts = [text.get_text() for text in panel.texts]
    assert {"lr", "weight decay", "accuracy (%)", "pruned", "failed"} <= set(texts)
    assert "one of 5 configurations (3 finished, 1 pruned, 1 failed) suggested by TPE" in (
        one.caption
    )
    assert "Importances are not given: they need 10 that finished." in one.caption
    assert_readable(kept[0])


def test_more_axes_than_fit_go_into_a_second_panel(lab: Lab, remember: Remember) -> None:
    kept = remember(parallel)
    small: dict[str, Any] = {
        "model.units.heads": 4,
        "model.units.d_k": 16,
        "model.units.query_kernel": 1,
    }
    small |= {"model.units.lr_multiplier": 0.5, "train.batch_size": 64, "train.lr": 2e-5}
    small |= {"train.weight_decay": 1e-6, "model.units.attach": (4,)}
    row = search(lab, ME_CNN, [({}, 0.5, "done"), (small, 0.6, "done")])
    (one,) = drawn(lab, row)
    assert len(kept[0].axes) == 3  # and the bar of colours
    titles = [
        [t.get_text() for t in axes.texts if t.get_verticalalignment() == "bottom"]
        for axes in kept[0].axes[:2]
    ]
    assert [len(of) for of in titles] == [5, 5]
    assert titles[0][-1] == titles[1][-1] == "accuracy (%)"
    assert "over 8 hyper-parameters" in one.alternative
    assert_readable(kept[0])


@pytest.mark.parametrize("status", ["pruned", "error"])
def test_too_little_to_show_has_no_figure(status: Any, lab: Lab) -> None:
    row = search(lab, CNN, [({}, 0.5, "done"), ({"train.lr": 1e-5}, None, status)])
    assert drawn(lab, row) == []
    alike = search(lab, CNN, [({}, 0.5, "done")], key="alike")
    assert drawn(lab, alike) == []
    assert parallel.draw(lab.results, lab.plan()) == []
    assert parallel.draw(lab.results / "none", Plan(name="x", table=0, rows=(row,))) == []
