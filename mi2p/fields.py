"""Dataclasses whose values are checked when they are made and go to plain data and back.

A field added after the first release carries `metadata={"absent": value}`: while it holds that
value it is left out of `identity`, so ids of older trials stay; its default may then change
without two different experiments sharing an id.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints


class Fields:
    """Types of dataclass fields are checked when the value is made; nesting round-trips dicts."""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            value = _coerced(f"{type(self).__name__}.{name}", getattr(self, name), hint)
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Rules between fields; subclasses raise `ValueError`."""

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain data (JSON types); `from_dict` is its inverse."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain data; an unknown field is a `ValueError` that lists the known ones."""
        hints = _hints(cls)
        for name in values:
            if name not in hints:
                known = ", ".join(hints)
                raise ValueError(f"unknown field {name!r} in {cls.__name__}; known: {known}")
        built = {}
        for name, value in values.items():
            nested = next((a for a in _alternatives(hints[name]) if _is_fields(a)), None)
            built[name] = (
                nested.from_dict(value) if nested and isinstance(value, Mapping) else value
            )
        return cls(**built)


_HINTS: dict[Any, dict[str, Any]] = {}


def _hints(cls: Any) -> dict[str, Any]:
    """Kept: evaluating annotations takes most of the time in which a spec is made."""
    if cls not in _HINTS:
        _HINTS[cls] = get_type_hints(cls)
    return _HINTS[cls]


def _is_fields(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Fields)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """`X | None` as (X, NoneType); anything else as itself."""
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def _coerced(where: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint` says (ints become floats, lists tuples), or `TypeError`."""
    for alternative in _alternatives(hint):
        if get_origin(alternative) is Literal:
            # By type, too: 3 == 3.0 and 1 == True, but their ids differ.
            if any(type(value) is type(c) and value == c for c in get_args(alternative)):
                return value
            legal = ", ".join(map(str, get_args(alternative)))
            raise ValueError(f"{where} must be one of {legal}, but got {value!r}")
        if get_origin(alternative) is tuple and isinstance(value, list | tuple):
            element = get_args(alternative)[0]
            return tuple(_coerced(where, item, element) for item in value)
        if alternative is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if alternative is int and isinstance(value, bool):
            continue
        if isinstance(alternative, type) and isinstance(value, alternative):
            return value
    raise TypeError(f"{where} must be {hint}, but got {value!r} of type {type(value).__name__}")


def later(default: Any) -> Any:
    """A field that came after the first release, absent from the identity at its default."""
    return field(default=default, metadata={"absent": default})


def identity(value: Fields) -> dict[str, Any]:
    """Nested plain data without fields that hold their `absent` value."""
    plain: dict[str, Any] = {}
    for entry in dataclasses.fields(value):  # type: ignore[arg-type]
        item = getattr(value, entry.name)
        if "absent" in entry.metadata and item == entry.metadata["absent"]:
            continue
        plain[entry.name] = identity(item) if isinstance(item, Fields) else item
    return plain
