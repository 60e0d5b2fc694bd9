"""What each layer adds when it carries units, from the values of models with units at subsets.

The layers are players of a cooperative game: the value of a subset is the metric of the model with
units at these layers. Every effect here is a weighted sum of the subsets' values, a `Contrast`, so
that an error of the values gives that of the effect, whatever it is.

- *Alone*: the value of {i} minus that of {}. The *sum* of these equals the gain of all layers if
  they add up; the *interaction* is the gain of all minus the sum.
- *Main effect* of i: the mean value with i minus that without i, over all subsets. If some are
  missing it is i's coefficient in an additive model (a constant and a number for each player),
  fitted by least squares.
- *Shapley value* of i: what i adds to the players before it, averaged over all orders. These sum
  to the gain of all. If some subsets are missing it is i's number in the additive model that is
  exact at {} and at all, fitted to the others by least squares with Shapley's kernel as weights
  (Lundberg and Lee 2017, theorem 2): of all subsets it is the Shapley value itself.
- *Pairs*: what i adds with j minus what it adds without j, the mean over subsets of the others.

A fitted effect is one of a stated model and not identified by the data alone. From {}, single
players and all, least squares would share the interaction equally, whatever the truth; there
nothing is fitted, and what is alone is all there is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Subset = frozenset[int]
"""Numbers of players from 0."""
Contrast = Mapping[Subset, float]
"""Weights of the values of subsets."""
EMPTY: Subset = frozenset()


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What the subsets at hand tell; what they do not is missing."""

    kind: Literal["exact", "fitted", "alone"]
    """From all subsets, by an additive model, or only what single players add."""
    main: Mapping[int, Contrast]
    shapley: Mapping[int, Contrast]
    alone: Mapping[int, Contrast]
    pairs: Mapping[tuple[int, int], Contrast]
    """Only of all subsets."""
    whole: Contrast | None
    """The gain of all players."""
    total: Contrast | None
    """The sum of `alone`, if all players have one."""
    interaction: Contrast | None
    """`whole` minus `total`."""


def players_of(subsets: Iterable[Collection[int]]) -> tuple[tuple[int, ...], ...]:
    """The groups of layers that all these sets have together or not at all, by first layer."""
    sets = [frozenset(subset) for subset in subsets]
    groups: dict[tuple[bool, ...], list[int]] = {}
    for layer in sorted(frozenset().union(*sets)):
        groups.setdefault(tuple(layer in subset for subset in sets), []).append(layer)
    return tuple(map(tuple, groups.values()))


def effects(players: int, subsets: Collection[Subset]) -> Effects:
    """All effects of so many players that these subsets give.

    `ValueError` if they give none: two players are needed, and either the model without units and
    one with units of a single player, or more subsets than the additive model has numbers.
    """
    if players < 2:
        raise ValueError(f"effects of attachment need at least 2 layers, but got {players}")
    there = set(subsets)
    everyone = frozenset(range(players))
    singles = [i for i in range(players) if {EMPTY, frozenset([i])} <= there]
    alone = {i: {frozenset([i]): 1.0, EMPTY: -1.0} for i in singles}
    whole = {everyone: 1.0, EMPTY: -1.0} if {EMPTY, everyone} <= there else None
    total = combined([(1.0, one) for one in alone.values()]) if len(alone) == players else None
    kind: Literal["exact", "fitted", "alone"] = "alone"
    main: Mapping[int, Contrast] = {}
    shapley: Mapping[int, Contrast] = {}
    if len(there) == 2**players:
        kind = "exact"
        main = {i: _main(i, players) for i in range(players)}
        shapley = {i: _shapley(i, players) for i in range(players)}
    elif _may_be_fitted(players, there):
        kind = "fitted"
        main, shapley = _fitted_main(players, there), _fitted_shapley(players, there)
    elif not alone:
        raise ValueError(
            "effects of attachment need the model without units and one with units at a single "
            f"layer, or at least {players + 2} subsets that tell {players} layers apart, but got "
            f"{len(there)}"
        )
    pairs = itertools.combinations(range(players), 2) if kind == "exact" else ()
    return Effects(
        kind=kind,
        main=main,
        shapley=shapley,
        alone=alone,
        pairs={pair: _pair(*pair, players) for pair in pairs},
        whole=whole,
        total=total,
        interaction=combined([(1.0, whole), (-1.0, total)]) if whole and total else None,
    )


def combined(terms: Iterable[tuple[float, Contrast]]) -> Contrast:
    """The weighted sum of contrasts."""
    weights: dict[Subset, float] = {}
    for factor, contrast in terms:
        for subset, weight in contrast.items():
            weights[subset] = weights.get(subset, 0.0) + factor * weight
    return weights


def value(contrast: Contrast, values: Mapping[Subset, float]) -> float:
    """Of an effect, from the values of subsets."""
    return math.fsum(weight * values[subset] for subset, weight in contrast.items())


def _subsets(of: Collection[int]) -> list[Subset]:
    return [
        frozenset(chosen)
        for size in range(len(of) + 1)
        for chosen in itertools.combinations(sorted(of), size)
    ]


def _main(i: int, players: int) -> Contrast:
    every = _subsets(range(players))
    return {subset: (1.0 if i in subset else -1.0) / 2 ** (players - 1) for subset in every}


def _shapley(i: int, players: int) -> Contrast:
    others = [j for j in range(players) if j != i]
    weights = {}
    for subset in _subsets(others):
        # In so many of all orders exactly these come before i.
        weight = 1 / (players * math.comb(players - 1, len(subset)))
        weights[subset | {i}], weights[subset] = weight, -weight
    return weights


def _pair(i: int, j: int, players: int) -> Contrast:
    every = _subsets(range(players))
    return {
        subset: (1.0 if (i in subset) == (j in subset) else -1.0) / 2 ** (players - 2)
        for subset in every
    }


def _may_be_fitted(players: int, there: Collection[Subset]) -> bool:
    """Whether the subsets are more than the model has numbers, and tell the players apart.

    With no subset of several players but all of them, nothing tells how an interaction is shared.
    """
    if not any(1 < len(subset) < players for subset in there) or len(there) < players + 2:
        return False
    return bool(np.linalg.matrix_rank(_design(players, list(there))) == players + 1)


def _design(players: int, there: Collection[Subset]) -> NDArray[np.float64]:
    """(subsets, 1 + players): a constant, and who is in the subset."""
    return np.array([[1.0, *(float(i in s) for i in range(players))] for s in there])


def _fitted_main(players: int, there: Collection[Subset]) -> dict[int, Contrast]:
    ordered = sorted(there, key=sorted)
    weights = np.linalg.pinv(_design(players, ordered))
    return {
        i: {s: float(w) for s, w in zip(ordered, weights[i + 1], strict=True)}
        for i in range(players)
    }


def _fitted_shapley(players: int, there: Collection[Subset]) -> dict[int, Contrast]:
    """Nothing if the model without units or that with all is missing, or the rest is too little.

    With Z the members (subsets, players) and K the kernel, the numbers are G^-1 (Z'K y + l 1),
    where G is Z'K Z, y the gains of the subsets, and l such that they sum to the gain of all.
    """
    everyone = frozenset(range(players))
    proper = sorted((s for s in there if 0 < len(s) < players), key=sorted)
    members = _design(players, proper)[:, 1:]
    if not {EMPTY, everyone} <= set(there) or np.linalg.matrix_rank(members) < players:
        return {}
    kernel = np.array(
        [
            (players - 1) / (math.comb(players, len(s)) * len(s) * (players - len(s)))
            for s in proper
        ]
    )
    inverse = np.linalg.inv(members.T * kernel @ members)
    free = inverse @ (members.T * kernel)  # (players, subsets)
    shared = inverse.sum(1) / inverse.sum()  # (players,): of what is left to the gain of all
    weights = free - np.outer(shared, free.sum(0))
    found: dict[int, Contrast] = {}
    for i in range(players):
        mine = {s: float(w) for s, w in zip(proper, weights[i], strict=True)}
        mine[everyone] = float(shared[i])
        mine[EMPTY] = -math.fsum(mine.values())
        found[i] = mine
    return found
