"""Against games with known solutions, and literal averages over orders and subsets."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from analysis.attachment_effects import (
    EMPTY,
    Contrast,
    Subset,
    combined,
    effects,
    players_of,
    value,
)

Game = Callable[[Subset], float]


def subsets(players: int) -> list[Subset]:
    return [
        frozenset(chosen)
        for size in range(players + 1)
        for chosen in itertools.combinations(range(players), size)
    ]


def all_of(contrasts: Mapping[int, Contrast], game: Game, players: int) -> list[float]:
    values = {subset: game(subset) for subset in subsets(players)}
    return [value(contrasts[i], values) for i in range(players)]


def additive(subset: Subset) -> float:
    return 0.7 + sum((0.01, -0.02, 0.05)[i] for i in subset)


def together(subset: Subset) -> float:
    """Worth something only if all three are there."""
    return 6.0 if len(subset) == 3 else 0.0


def glove(subset: Subset) -> float:
    """Players 0 and 1 have a left glove, 2 has the right one; a pair is worth 1."""
    return float(2 in subset and (0 in subset or 1 in subset))


def airport(subset: Subset) -> float:
    """The runway that the largest of planes with costs 1, 2, 3 and 4 needs."""
    return max((i + 1.0 for i in subset), default=0.0)


def random_game(players: int, seed: int) -> Game:
    drawn = np.random.default_rng(seed).normal(size=2**players)
    values = dict(zip(subsets(players), drawn.tolist(), strict=True))
    return values.__getitem__


@pytest.mark.parametrize(
    ("game", "players", "shapley"),
    [
        (additive, 3, [0.01, -0.02, 0.05]),
        (together, 3, [2, 2, 2]),
        (glove, 3, [1 / 6, 1 / 6, 4 / 6]),
        # Each segment of the runway is shared by those who need it.
        (airport, 4, [1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1 / 2, 1 / 4 + 1 / 3 + 1 / 2 + 1]),
    ],
)
def test_shapley_values_of_known_games(game: Game, players: int, shapley: list[float]) -> None:
    found = effects(players, subsets(players))
    assert found.kind == "exact"
    assert all_of(found.shapley, game, players) == pytest.approx(shapley)


@pytest.mark.parametrize("players", [2, 3, 5])
def test_effects_are_literal_averages(players: int) -> None:
    game, everyone = random_game(players, players), range(players)
    found = effects(players, subsets(players))
    by_order: dict[int, list[float]] = {i: [] for i in everyone}
    for order in itertools.permutations(everyone):
        for place, i in enumerate(order):
            before = frozenset(order[:place])
            by_order[i].append(game(before | {i}) - game(before))
    means = [statistics.fmean(by_order[i]) for i in everyone]
    assert all_of(found.shapley, game, players) == pytest.approx(means)
    main = [
        statistics.fmean(game(s) for s in subsets(players) if i in s)
        - statistics.fmean(game(s) for s in subsets(players) if i not in s)
        for i in everyone
    ]
    assert all_of(found.main, game, players) == pytest.approx(main)
    values = {subset: game(subset) for subset in subsets(players)}
    for i, j in itertools.combinations(everyone, 2):
        rest = [s for s in subsets(players) if not s & {i, j}]
        told = [game(s | {i, j}) - game(s | {i}) - game(s | {j}) + game(s) for s in rest]
        assert value(found.pairs[i, j], values) == pytest.approx(statistics.fmean(told))


def test_what_single_layers_and_all_identify() -> None:
    there = [EMPTY, *(frozenset([i]) for i in range(3)), frozenset(range(3))]
    found = effects(3, there)
    assert (found.kind, found.main, found.shapley, found.pairs) == ("alone", {}, {}, {})
    values = dict(zip(there, [50.0, 53.0, 49.0, 52.0, 60.0], strict=True))
    assert [value(found.alone[i], values) for i in range(3)] == [3, -1, 2]
    assert found.whole and found.total and found.interaction
    assert value(found.whole, values) == 10
    assert value(found.total, values) == 4
    assert value(found.interaction, values) == 6


def test_what_is_missing_is_not_made_up() -> None:
    found = effects(3, [EMPTY, frozenset([0]), frozenset(range(3))])
    assert list(found.alone) == [0]
    assert found.whole is not None and found.total is None and found.interaction is None
    without_all = effects(2, [EMPTY, frozenset([0]), frozenset([1])])
    assert without_all.total is not None and without_all.whole is None
    with pytest.raises(ValueError, match="at least 5 subsets that tell 3 layers apart, but got 2"):
        effects(3, [frozenset([0]), frozenset(range(3))])
    with pytest.raises(ValueError, match="at least 2 layers, but got 1"):
        effects(1, [EMPTY, frozenset([0])])


def test_the_kernel_gives_the_shapley_value_of_all_subsets() -> None:
    # The theorem that the fit rests on: leaving out nothing, it is exact for any game.
    from analysis.attachment_effects import _fitted_shapley

    game = random_game(4, 9)
    exact = all_of(effects(4, subsets(4)).shapley, game, 4)
    assert all_of(_fitted_shapley(4, subsets(4)), game, 4) == pytest.approx(exact)


@pytest.mark.parametrize("left_out", [0, 5])
def test_a_fit_to_some_subsets_recovers_an_additive_game(left_out: int) -> None:
    there = [subset for n, subset in enumerate(subsets(3)) if n != left_out]
    found = effects(3, there)
    assert found.kind == "fitted"
    assert all_of(found.main, additive, 3) == pytest.approx([0.01, -0.02, 0.05])
    if left_out:
        assert all_of(found.shapley, additive, 3) == pytest.approx([0.01, -0.02, 0.05])
    else:  # without the model without units nothing says what all gain
        assert found.shapley == {}


def test_a_fit_is_least_squares_and_sums_to_the_gain_of_all() -> None:
    game = random_game(3, 4)
    there = [subset for subset in subsets(3) if subset != frozenset([0, 1])]
    found = effects(3, there)
    design = np.array([[1, *(i in s for i in range(3))] for s in there], float)
    solved = np.linalg.lstsq(design, np.array([game(s) for s in there]), rcond=None)[0]
    assert all_of(found.main, game, 3) == pytest.approx(solved[1:].tolist())
    gain = game(frozenset(range(3))) - game(EMPTY)
    assert sum(all_of(found.shapley, game, 3)) == pytest.approx(gain)
    # Weighted least squares under the constraint, by elimination of the last player.
    proper = [s for s in there if 0 < len(s) < 3]
    members = np.array([[i in s for i in range(3)] for s in proper], float)
    gains = np.array([game(s) - game(EMPTY) for s in proper])
    root = np.sqrt([2 / (3 * len(s) * (3 - len(s))) for s in proper])
    left = (members[:, :2] - members[:, 2:]) * root[:, None]
    first = np.linalg.lstsq(left, (gains - members[:, 2] * gain) * root, rcond=None)[0]
    by_hand = [*first.tolist(), gain - first.sum()]
    assert all_of(found.shapley, game, 3) == pytest.approx(by_hand)


def test_layers_that_are_never_apart_are_one_player() -> None:
    assert players_of([(1,), (2,), (1, 2, 3, 4)]) == ((1,), (2,), (3, 4))
    assert players_of([(1, 2), (3, 4), (1, 2, 3, 4)]) == ((1, 2), (3, 4))
    assert players_of([()]) == ()


def test_contrasts_add_up() -> None:
    first, second = {EMPTY: 1.0}, {EMPTY: 2.0, frozenset([0]): 1.0}
    assert combined([(1.0, first), (-1.0, second)]) == {EMPTY: -1.0, frozenset([0]): -1.0}
