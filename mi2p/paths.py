"""Dotted paths into a `TrialSpec`, such as `train.lr` or `model.units.heads`, and their texts.

A path names one field, never a part with fields of its own. What identifies a trial beside its
configuration has no path: `seed`, `stage` and `averages`. Standard library only.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mi2p.fields import Fields
from mi2p.spec import TrialSpec

NOT_OF_A_CONFIGURATION = ("seed", "stage", "averages")

FieldsT = TypeVar("FieldsT", bound=Fields)


@cache
def paths() -> Mapping[str, Any]:
    """Every legal path, in the order of the fields, and the type of what it holds."""
    found = dict(_leaves(TrialSpec, ""))
    return MappingProxyType({p: h for p, h in found.items() if p not in NOT_OF_A_CONFIGURATION})


def _leaves(of: type[Fields], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, hint in get_type_hints(of).items():
        part = next((t for t in _alternatives(hint) if _is_part(t)), None)
        if part is not None:
            yield from _leaves(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """`X | None` as (X, NoneType); anything else as itself."""
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def _is_part(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Fields)


def check_path(path: str) -> None:
    """`ValueError` for what is no path; it lists those that may be meant, or all."""
    if path in paths():
        return
    inside = [known for known in paths() if known.startswith(f"{path}.")]
    if inside:
        raise ValueError(f"{path!r} is a part of several fields; legal: {', '.join(inside)}")
    part, _, name = path.rpartition(".")
    found = [known for known in paths() if part == known.rpartition(".")[0]]
    found += [known for known in paths() if name == known.rpartition(".")[2]]
    found = found or difflib.get_close_matches(path, paths())
    raise ValueError(f"unknown path {path!r}; legal: {', '.join(found or paths())}")


def has(spec: TrialSpec, path: str) -> bool:
    """Whether there is what `path` names: a CNN has no `model.units.heads` or `model.textual`.

    `ValueError` for an unknown path.
    """
    check_path(path)
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
        if value is None:
            return False
    return True


def value_at(spec: TrialSpec, path: str) -> Any:
    """What the field holds.

    `ValueError` for an unknown path, and where the part that holds the field is not there.
    """
    check_path(path)
    value: Any = spec
    for name in path.split("."):
        if value is None:
            part = path.rpartition(".")[0]
            raise ValueError(f"model {spec.model.name!r} has no {part}, got {path!r}")
        value = getattr(value, name)
    return value


def replaced(spec: TrialSpec, values: Mapping[str, Any]) -> TrialSpec:
    """`spec` with other values at these paths, all at once.

    Every part is made and checked once, so that values may be legal only together. `ValueError`
    for an unknown path, a part that is not there and what is not legal; `TypeError` for a value
    of another type.
    """
    tree: dict[str, Any] = {}
    for path, value in values.items():
        value_at(spec, path)  # raises where there is no such field
        *parts, name = path.split(".")
        inside = tree
        for part in parts:
            inside = inside.setdefault(part, {})
        inside[name] = value
    return _grown(spec, tree)


def _grown(value: FieldsT, tree: Mapping[str, Any]) -> FieldsT:
    """`value` with the leaves of `tree`, whose branches are parts."""
    changes = {}
    for name, item in tree.items():
        old = getattr(value, name)
        changes[name] = _grown(old, item) if isinstance(old, Fields) else item
    return replace(value, **changes)  # type: ignore[type-var]


def shown(value: Any) -> str:
    """A field's value as `parsed` reads it: 3e-05, true, `1-3,6` for (1, 2, 3, 6)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(_runs(value))
    return str(value)


def _runs(numbers: Sequence[int]) -> Iterator[str]:
    """Each run of numbers that follow each other, as `4` or `1-3`."""
    first = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            start, end = numbers[first], numbers[i - 1]
            yield f"{start}-{end}" if start != end else str(start)
            first = i


def parsed(path: str, text: str) -> Any:
    """The value that `text` says, of the type of the path; `shown` is the inverse.

    Lists of numbers may have ranges (`1-3,6`), and `None` is legal where a model may lack the
    field. `ValueError` says what is legal, also for an unknown path.
    """
    check_path(path)
    readers = [_reader(hint) for hint in _alternatives(paths()[path])[::-1]]  # None before str
    for read, _ in readers:
        try:
            return read(text)
        except (KeyError, ValueError):
            continue
    legal = " or ".join(told for _, told in readers)
    raise ValueError(f"{path} must be {legal}, but got {text!r}")


Reader = tuple[Callable[[str], Any], str]
"""Reads a text (`KeyError` or `ValueError` if it cannot), and the words for what it takes."""


def _reader(hint: Any) -> Reader:
    if get_origin(hint) is Literal:
        by_text = {shown(value): value for value in get_args(hint)}
        return by_text.__getitem__, f"one of {', '.join(by_text)}"
    if get_origin(hint) is tuple:
        return _numbers, "numbers and ranges such as 1,3 or 1-3,6"
    return _READERS[hint]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _numbers(text: str) -> tuple[int, ...]:
    """`1-3,6` as (1, 2, 3, 6)."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ValueError(text)
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    if any(part[0] > part[-1] for part in ends):
        raise ValueError(text)
    return tuple(number for part in ends for number in range(part[0], part[-1] + 1))


_READERS: Mapping[Any, Reader] = {
    str: (str, "a text"),
    type(None): ({"None": None}.__getitem__, "None"),
    bool: ({"true": True, "false": False}.__getitem__, "true or false"),
    int: (int, "a whole number"),
    float: (_finite, "a number such as 3e-5"),
}
