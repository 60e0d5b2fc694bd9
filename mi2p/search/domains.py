"""What one path of a spec may hold in a search, as data that draws its values.

Heads are drawn from the counts that are legal for the taps drawn before them. A categorical
parameter of Optuna's cannot change its choices, so its name says which these are:
`model.units.heads in 1 2 4 8 16`. Standard library only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from mi2p.legality import MAX_LISTED_HEADS, legal_heads
from mi2p.model_spec import FusionSpec, Modality, UnitSpec
from mi2p.paths import value_at
from mi2p.spec import TrialSpec

Label = bool | int | float | str
"""What Optuna can store of a parameter."""
Values = Mapping[str, Any]
"""By the paths of a spec."""


class Asker(Protocol):
    """What draws values; a trial of Optuna's is one."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from `low` to `high`."""

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Any:
        """One of `choices`."""


@dataclass(frozen=True, kw_only=True)
class Domain(ABC):
    """What one path of a spec may hold."""

    path: str

    @abstractmethod
    def draw(self, ask: Asker, base: TrialSpec, drawn: Values) -> Values:
        """Values drawn by `ask`, beside those that earlier domains have drawn."""

    @abstractmethod
    def params(self, spec: TrialSpec) -> dict[str, Label]:
        """The answers with which `draw` gives what `spec` has; there may be more than it asks."""

    @abstractmethod
    def extremes(self) -> Iterator[Values]:
        """Values that are all legal in the base, each alone, if the domain is, given 1 head."""

    def to_dict(self) -> dict[str, Any]:
        """The domain as plain data."""
        return {"domain": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Rate(Domain):
    """A number from `low` to `high`, drawn by its logarithm."""

    low: float
    high: float

    def draw(self, ask: Asker, base: TrialSpec, drawn: Values) -> Values:
        return {self.path: ask.suggest_float(self.path, self.low, self.high, log=True)}

    def params(self, spec: TrialSpec) -> dict[str, Label]:
        return {self.path: value_at(spec, self.path)}

    def extremes(self) -> Iterator[Values]:
        yield from ({self.path: self.low}, {self.path: self.high})


@dataclass(frozen=True, kw_only=True)
class Choice(Domain):
    """One of some values. A `FusionSpec` is one with all its fields, and a study has its kind."""

    values: tuple[Label | FusionSpec, ...]

    def draw(self, ask: Asker, base: TrialSpec, drawn: Values) -> Values:
        by_label = {v.kind if isinstance(v, FusionSpec) else v: v for v in self.values}
        return self._at(by_label[ask.suggest_categorical(self.path, tuple(by_label))])

    def params(self, spec: TrialSpec) -> dict[str, Label]:
        return {self.path: value_at(spec, self.path)}

    def extremes(self) -> Iterator[Values]:
        yield from map(self._at, self.values)

    def _at(self, value: Label | FusionSpec) -> Values:
        if isinstance(value, FusionSpec):
            part = self.path.rpartition(".")[0]
            return {f"{part}.{name}": item for name, item in value.to_dict().items()}
        return {self.path: value}


@dataclass(frozen=True, kw_only=True)
class Layers(Domain):
    """The taps that have a unit: some of `of`, at least one; a boolean for each."""

    of: tuple[int, ...]

    def draw(self, ask: Asker, base: TrialSpec, drawn: Values) -> Values:
        *earlier, last = self.of
        chosen = [tap for tap in earlier if self._asked(ask, tap)]
        # If none of the others has a unit the last one has, and nothing is asked of it.
        if not chosen or self._asked(ask, last):
            chosen.append(last)
        return {self.path: tuple(chosen)}

    def _asked(self, ask: Asker, tap: int) -> bool:
        return bool(ask.suggest_categorical(f"{self.path}.{tap}", (False, True)))

    def params(self, spec: TrialSpec) -> dict[str, Label]:
        attach = value_at(spec, self.path)
        return {f"{self.path}.{tap}": tap in attach for tap in self.of}

    def extremes(self) -> Iterator[Values]:
        yield {self.path: self.of}


@dataclass(frozen=True, kw_only=True)
class Heads(Domain):
    """The counts up to `most` that are legal for the taps drawn before; not asked if only one."""

    most: int = MAX_LISTED_HEADS

    def draw(self, ask: Asker, base: TrialSpec, drawn: Values) -> Values:
        legal = self._legal(base, drawn)
        if len(legal) == 1:
            return {self.path: legal[0]}
        return {self.path: ask.suggest_categorical(self._name(legal), legal)}

    def params(self, spec: TrialSpec) -> dict[str, Label]:
        heads = value_at(spec, self.path)
        return {self._name(self._legal(spec, {})): heads}

    def extremes(self) -> Iterator[Values]:
        yield {self.path: 1}

    def _legal(self, spec: TrialSpec, drawn: Values) -> tuple[int, ...]:
        part = self.path.rpartition(".")[0]
        modality, units = units_of(spec)[part]
        units = replace(units, attach=drawn.get(f"{part}.attach", units.attach))
        return legal_heads(spec.model, units, modality, spec.data.image_size, most=self.most)

    def _name(self, legal: tuple[int, ...]) -> str:
        return f"{self.path} in {' '.join(map(str, legal))}"


def units_of(spec: TrialSpec) -> dict[str, tuple[Modality, UnitSpec]]:
    """The parts of a spec that are units, and the modality of the backbone that has them."""
    found: dict[str, tuple[Modality, UnitSpec]] = {}
    for modality in spec.model.trains:
        units = spec.model.units_of(modality)
        if units is not None:
            found["model.textual_units" if found else "model.units"] = (modality, units)
    return found
