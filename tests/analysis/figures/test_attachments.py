from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from analysis.figures import attachments
from mi2p.plan import Plan
from tests.analysis.conftest import CNN, ME_CNN, Lab
from tests.analysis.figures.conftest import Remember, answered, assert_readable, points
from tests.analysis.figures.test_axes_of_search import search
from tests.analysis.test_attachment_games import with_units


def table(lab: Lab, sets: Sequence[Sequence[int]]) -> Plan:
    rows = [lab.row("cnn", "DenseNet-121", CNN, seeds=(0, 1))]
    for attach in sets:
        name = "+".join(map(str, attach))
        model = with_units(ME_CNN, attach)
        rows.append(lab.row(f"me_cnn-{name}", f"CNN + MI2P{{{name}}}", model, seeds=(0, 1)))
    return Plan(name="table5-lab", table=5, rows=tuple(rows))


def fill(lab: Lab, plan: Plan, right: Sequence[int]) -> None:
    """Each row with so many of 20 test examples right, another seed with the others of them."""
    for row, count in zip(plan.rows, right, strict=False):
        hits = [1] * count + [0] * (20 - count)
        answered(lab, row, [hits, hits[::-1]])


def test_single_layers_and_all(lab: Lab, remember: Remember) -> None:
    kept = remember(attachments)
    plan = table(lab, [(1,), (2,), (3,), (1, 2, 3)])
    fill(lab, plan, [10, 12, 9, 11, 16])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one,) = attachments.draw(lab.results, plan)
    assert one.name == "table5-lab-attachments-me_cnn-1+2+3"
    (axes,) = kept[0].axes
    assert np.allclose(points(axes, "^"), [(10, 0), (-5, 1), (5, 2)])
    # The sum of these, all layers, and what is left.
    assert np.allclose(points(axes, "D"), [(10, 3), (30, 4), (20, 5)])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["layer 1", "layer 2", "layer 3", "sum of alone", "all layers", "interaction"]
    told = "Of 8 subsets of layers 5 are there, which tell neither main effects nor Shapley values"
    assert told in one.caption
    assert "95 % intervals" in one.caption
    assert "sum of alone +10.0, all layers +30.0 and interaction +20.0" in one.alternative
    assert_readable(kept[0])


def test_a_layer_without_trials_is_said_to_be_missing(lab: Lab, remember: Remember) -> None:
    kept = remember(attachments)
    plan = table(lab, [(1,), (2,), (1, 2, 3), (3,)])
    fill(lab, plan, [10, 12, 9, 16])
    (one,) = attachments.draw(lab.results, plan)
    (axes,) = kept[0].axes
    assert [(text.get_text(), text.get_position()[1]) for text in axes.texts] == [
        ("no finished trial", 2)
    ]
    assert np.allclose(points(axes, "D"), [(30, 3)])
    assert "interaction" not in one.caption


@pytest.mark.parametrize("left_out", [None, (1, 2)])
def test_all_subsets_and_most_of_them(
    left_out: tuple[int, ...] | None, lab: Lab, remember: Remember
) -> None:
    kept = remember(attachments)
    every = [s for n in (1, 2, 3) for s in itertools.combinations((1, 2, 3), n)]
    plan = table(lab, [subset for subset in every if subset != left_out])
    gains = {1: 1, 2: 2, 3: 3}
    sets = [(), *(subset for subset in every if subset != left_out)]
    fill(lab, plan, [10 + sum(gains[i] for i in subset) for subset in sets])
    (one,) = attachments.draw(lab.results, plan)
    axes = kept[0].axes[0]
    for marker in "os^":  # an additive game: all effects are the gains
        assert np.allclose([x for x, _ in points(axes, marker)], [5, 10, 15])
    assert len(kept[0].axes) == (2 if left_out is None else 1)
    if left_out is None:
        assert "All 8 subsets of layers are there." in one.caption
        numbers = [text.get_text() for text in kept[0].axes[1].texts]
        assert {number.lstrip("+\N{MINUS SIGN}") for number in numbers} == {"0.0"}
        assert len(numbers) == 3
    else:
        assert "Of 8 subsets of layers 7 are there." in one.caption
        assert "additive model" in one.caption
    assert_readable(kept[0])


def test_a_search_of_layers_alone_is_told_on_validation(lab: Lab, remember: Remember) -> None:
    kept = remember(attachments)
    every = [s for n in (1, 2, 3) for s in itertools.combinations((1, 2, 3), n)]
    tries = [
        ({"model.units.attach": subset}, 0.5 + 0.1 * (1 in subset), "done") for subset in every
    ]
    row = search(lab, ME_CNN, [*tries, ({"train.lr": 1e-5}, 0.9, "done")])  # type: ignore[list-item]
    (one,) = attachments.draw(lab.results, Plan(name="models-lab", table=0, rows=(row,)))
    assert one.name == "models-lab-attachments-row-search-visual"
    assert "validation" in one.caption and "from 7 configurations" in one.caption
    assert "no Shapley values" in one.caption
    assert np.allclose([x for x, _ in points(kept[0].axes[0], "o")], [10, 0, 0])


def test_where_nothing_differs_in_layers_there_is_no_figure(lab: Lab) -> None:
    plan = lab.plan()
    assert attachments.draw(lab.results, plan) == []
    for row in plan.rows:
        lab.fill(row, [0.5, 0.6, 0.7])
    assert attachments.draw(lab.results, plan) == []
