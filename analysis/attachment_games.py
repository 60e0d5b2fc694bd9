"""The models of a plan that differ only in which layers carry units, as games of these layers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.attachment_effects import (
    EMPTY,
    Contrast,
    Effects,
    Subset,
    effects,
    players_of,
    value,
)
from analysis.inference.pairs import LEVEL, Measured
from analysis.inference.seeds import Variance, added, of_mean
from mi2p.model_spec import Modality
from mi2p.search.domains import units_of
from mi2p.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Game:
    """Models that differ only in the layers of one backbone that carry units."""

    modality: Modality
    """Of that backbone."""
    players: tuple[tuple[int, ...], ...]
    """Layers; those that no two models tell apart are one player."""
    values: Mapping[Subset, float]
    """Of those that are finished: the metric as a fraction."""
    keys: Mapping[Subset, str]
    """Of all: which row or trial it is."""
    effects: Effects

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys of what is not finished."""
        return tuple(key for subset, key in self.keys.items() if subset not in self.values)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of an effect, as a fraction."""

    mean: float
    half_width: float | None
    """Of the 95 % interval; None if it is not known."""


def games(
    models: Sequence[tuple[str, TrialSpec]], values: Mapping[str, float], *, plain: bool
) -> list[Game]:
    """The games of models, by their keys, of which any effect is identified.

    A model takes part if it has units, or where `plain` if it is another one without them and
    trained as that is. Seeds are not compared. `values` has those that are finished.
    """
    found = []
    for modality, attached in _groups(models):
        of = dict(attached)
        first = next(spec for key, spec in models if key == next(iter(of.values())))
        players = players_of(of)
        keys = {
            frozenset(i for i, player in enumerate(players) if set(player) <= set(layers)): key
            for layers, key in of.items()
        }
        alone = next((key for key, spec in models if plain and _is_plain(spec, first)), None)
        if alone is not None:
            keys[EMPTY] = alone
        known = {subset: values[key] for subset, key in keys.items() if key in values}
        try:
            told = effects(len(players), known)
        except ValueError:  # as of most models: nothing differs in its layers
            continue
        found.append(
            Game(modality=modality, players=players, values=known, keys=keys, effects=told)
        )
    return found


def estimate(game: Game, contrast: Contrast, measured: Measured | None) -> Estimate:
    """An effect with the interval that the tests of differences have, where keys are of rows.

    The variance over resamples of the test examples is that of the whole weighted sum, so that
    what is hard for all models does not count; that of the seeds is added for each subset.
    """
    mean = value(contrast, game.values)
    rows = {game.keys[subset]: weight for subset, weight in contrast.items() if weight}
    if measured is None or not rows.keys() <= measured.at.keys():
        return Estimate(mean=mean, half_width=None)
    moved, terms = np.zeros(len(measured.values.resampled)), []
    for key, weight in rows.items():
        places = list(measured.at[key].values())
        moved += weight * measured.values.resampled[:, places].mean(1)
        of_seeds = of_mean(measured.seeds[key], measured.usual, len(places))
        terms.append(Variance(weight**2 * of_seeds.value, of_seeds.freedom))
    total = added([Variance(float(moved.var(ddof=1)), measured.freedom), *terms])
    return Estimate(mean=mean, half_width=total.half_width(LEVEL) if total.value else None)


def _groups(
    models: Sequence[tuple[str, TrialSpec]],
) -> Iterator[tuple[Modality, Mapping[tuple[int, ...], str]]]:
    """Of models with units that are alike but for the layers of one backbone: layers to key."""
    groups: dict[tuple[Modality, str], dict[tuple[int, ...], str]] = {}
    for key, spec in models:
        for path, (modality, units) in units_of(spec).items():
            text = json.dumps(_without(spec, path), sort_keys=True)
            groups.setdefault((modality, text), {}).setdefault(units.attach, key)
    for (modality, _), attached in groups.items():
        yield modality, attached


def _without(spec: TrialSpec, path: str) -> dict[str, object]:
    """The spec as plain data, but for its seed and the layers of the units at `path`."""
    plain = spec.to_dict()
    del plain["seed"], plain["model"][path.removeprefix("model.")]["attach"]
    return plain


def _is_plain(spec: TrialSpec, expanded: TrialSpec) -> bool:
    """Whether a model is the other without units, trained on the same data in the same way."""
    ours, theirs = spec.model, expanded.model
    return (
        ours.units is None
        and not spec.averages
        and ours.trains == theirs.trains
        and ours.fusion == theirs.fusion
        and ours.head_dropout == theirs.head_dropout
        and not ours.traits.patches
        and len(units_of(expanded)) == 1
        and all(getattr(ours, part) == getattr(theirs, part) for part in ours.trains)
        and (spec.data, spec.train) == (expanded.data, expanded.train)
    )
