"""What a search may change in a row, as data: conditional, and feasible by construction.

Searched are the learning rates of all groups of parameters, batch size and weight decay, the kind
of a late fusion, and of units: the taps that have one (any subset), heads, key size, kernel,
initialisation. The ranges are ours, around what the row declares, which is always in its space:
the paper says that its hyper-parameters "are determined on the validation set" (section 4.2), and
gives what was chosen (there and in Table 2), but not from what.

A row's domains are made in the order of its fields, taps before the heads that depend on them. A
kernel that is wider than the map is legal: it meets the zeros around it.

The spec of a row decides what is searched; its seed and stage are no part of the space.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mi2p.backbones import textual_card, visual_card
from mi2p.fields import identity
from mi2p.legality import MAX_LISTED_HEADS, legal_heads, require
from mi2p.model_spec import BOTH, LATE_FUSIONS, Modality, UnitSpec
from mi2p.paths import check_path, has, paths, replaced, value_at
from mi2p.search.domains import Asker, Choice, Domain, Heads, Label, Layers, Rate, units_of
from mi2p.spec import TrialSpec

WEIGHT_DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
KEY_SIZES = (16, 32, 64, 128)
KERNELS = (1, 3, 5, 7)
INITS = ("default", "zero_value", "gate")
LEAST_BATCH = 4
FACTOR = 10
"""A rate is searched from the row's own over this to the row's own times this."""


class _Replay:
    """Answers what is asked out of given parameters; `ValueError` where they do not."""

    def __init__(self, params: Mapping[str, Label]) -> None:
        self.given = params
        self.asked: dict[str, Label] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        value = self._answer(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, but got {value!r}")
        self.asked[name] = float(value)
        return float(value)

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Any:
        value = self._answer(name)
        for choice in choices:
            if value == choice and isinstance(value, bool) == isinstance(choice, bool):
                self.asked[name] = choice
                return choice
        legal = ", ".join(map(str, choices))
        raise ValueError(f"{name} must be one of {legal}, but got {value!r}")

    def _answer(self, name: str) -> Any:
        if name not in self.given:
            raise ValueError(f"{name!r} must be given, but got {', '.join(self.given) or 'none'}")
        return self.given[name]


@dataclass(frozen=True, kw_only=True)
class Space:
    """All configurations of a row: its own values outside the domains, and theirs inside.

    Making one raises `ValueError` or `TypeError` unless each value of each domain is legal for
    its path, and the row as it is declared is in the space.
    """

    base: TrialSpec
    domains: tuple[Domain, ...]

    def __post_init__(self) -> None:
        require(not self.base.averages, "a row is trained", averages=self.base.averages)
        require(len(self.domains) > 0, "a search varies something", domains=self.domains)
        require(len(set(self.paths)) == len(self.paths), "a path is once", paths=self.paths)
        one_head = {d.path: 1 for d in self.domains if isinstance(d, Heads)}
        for number, domain in enumerate(self.domains):
            check_path(domain.path)
            for values in domain.extremes():
                replaced(self.base, {**one_head, **values})
            attach = domain.path.rpartition(".")[0] + ".attach"
            require(
                not isinstance(domain, Heads) or attach not in self.paths[number:],
                "heads come after the taps that they depend on",
                paths=self.paths,
            )
        self.first()

    @property
    def paths(self) -> tuple[str, ...]:
        """What is searched, in the order in which it is drawn."""
        return tuple(domain.path for domain in self.domains)

    def sample(self, ask: Asker) -> TrialSpec:
        """The configuration that `ask` draws; seed and stage are those of the base."""
        values: dict[str, Any] = {}
        for domain in self.domains:
            values |= domain.draw(ask, self.base, values)
        return replaced(self.base, values)

    def params_of(self, spec: TrialSpec) -> dict[str, Label]:
        """What has to be drawn to get `spec`, whatever its seed and stage.

        `ValueError` if it is not in the space.
        """
        wanted = replace(spec, seed=self.base.seed, stage=self.base.stage)
        replay = _Replay({k: v for d in self.domains for k, v in d.params(wanted).items()})
        found = self.sample(replay)
        if found != wanted:
            apart = [
                f"{path}={value_at(wanted, path)!r}"
                for path in paths()
                if has(wanted, path)
                and not (has(found, path) and value_at(found, path) == value_at(wanted, path))
            ]
            raise ValueError(
                f"only {', '.join(self.paths)} may differ from the row, but got {', '.join(apart)}"
            )
        return replay.asked

    def spec_of(self, params: Mapping[str, Label]) -> TrialSpec:
        """The configuration that was drawn so; the inverse of `params_of`.

        `ValueError` for a value outside its domain, and for a parameter too many or too few.
        """
        replay = _Replay(params)
        spec = self.sample(replay)
        surplus = [name for name in params if name not in replay.asked]
        if surplus:
            raise ValueError(
                f"{', '.join(surplus)} is not asked for beside {', '.join(replay.asked)}"
            )
        return spec

    def first(self) -> dict[str, Label]:
        """The parameters of the row as it is declared."""
        return self.params_of(self.base)

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON types, the same for rows that differ in their seed or stage alone."""
        base = {k: v for k, v in identity(self.base).items() if k not in ("seed", "stage")}
        domains = [domain.to_dict() for domain in self.domains]
        plain: dict[str, Any] = json.loads(json.dumps({"base": base, "domains": domains}))
        return plain


def space_of(
    base: TrialSpec, *, fixed: Collection[str] = (), largest_batch: int | None = None
) -> Space:
    """The space of the row that `base` is declared in.

    Paths in `fixed` keep the value of the base; those that it has not are ignored. A batch is at
    most `largest_batch`, if it is not the base's own. `ValueError` for an unknown path, for an
    average, and where nothing is left to search.
    """
    for path in fixed:
        check_path(path)
    found = (*_of_training(base, largest_batch), *_of_units(base, fixed), *_of_fusion(base, fixed))
    domains = tuple(
        d
        for d in found
        if d.path not in fixed and not (isinstance(d, Choice) and len(d.values) == 1)
    )
    return Space(base=base, domains=domains)


def _rate(base: TrialSpec, path: str) -> Rate:
    value = value_at(base, path)
    return Rate(path=path, low=value / FACTOR, high=value * FACTOR)


def _choice(base: TrialSpec, path: str, values: Collection[Label]) -> Choice:
    """One of these values and the base's own, which goes last if it is another."""
    return Choice(path=path, values=tuple(dict.fromkeys((*values, value_at(base, path)))))


def _of_training(base: TrialSpec, largest_batch: int | None) -> Iterator[Domain]:
    yield _rate(base, "train.lr")
    if base.model.trains == BOTH:
        yield _rate(base, "train.visual_lr_multiplier")
    yield _rate(base, "train.head_lr_multiplier")
    yield _choice(base, "train.batch_size", _batch_sizes(base, largest_batch))
    yield _choice(base, "train.weight_decay", WEIGHT_DECAYS)


def _batch_sizes(base: TrialSpec, largest: int | None) -> tuple[int, ...]:
    """Half the base's own, the same and the double, where these are legal."""
    own, least = base.train.batch_size, max(LEAST_BATCH, base.train.micro_batch + 1)
    most = 2 * own if largest is None else largest
    return tuple(n for n in (own // 2, own, 2 * own) if n == own or least <= n <= most)


def _of_units(base: TrialSpec, fixed: Collection[str]) -> Iterator[Domain]:
    for part, (modality, units) in units_of(base).items():
        taps = _taps(base, modality, units, heads_are_fixed=f"{part}.heads" in fixed)
        if len(taps) > 1:
            yield Layers(path=f"{part}.attach", of=taps)
        yield Heads(path=f"{part}.heads", most=max(MAX_LISTED_HEADS, units.heads))
        yield _choice(base, f"{part}.d_k", KEY_SIZES)
        yield _choice(base, f"{part}.query_kernel", KERNELS)
        yield _choice(base, f"{part}.init", INITS)
        yield _rate(base, f"{part}.lr_multiplier")


def _taps(
    base: TrialSpec, modality: Modality, units: UnitSpec, *, heads_are_fixed: bool
) -> tuple[int, ...]:
    """The taps of the backbone; those that take the heads of the base if these stay."""
    model, size, heads = base.model, base.data.image_size, units.heads
    card = (visual_card if modality == "visual" else textual_card)(getattr(model, modality))
    taps = range(1, card.num_taps + 1)
    if not heads_are_fixed:
        return tuple(taps)
    alone = {tap: replace(units, attach=(tap,), heads=1) for tap in taps}
    return tuple(
        tap for tap in taps if heads in legal_heads(model, alone[tap], modality, size, most=heads)
    )


def _of_fusion(base: TrialSpec, fixed: Collection[str]) -> Iterator[Domain]:
    """The paper's three kinds. A fusion is one choice: if any of its fields is fixed, all are."""
    fusion = base.model.fusion
    if fusion is not None and not any(path.startswith("model.fusion.") for path in fixed):
        values = {**LATE_FUSIONS, fusion.kind: fusion}
        yield Choice(path="model.fusion.kind", values=tuple(values.values()))
