"""Other values in the specs of a plan: `--set train.lr=3e-5 me_cnn:model.units.heads=4`.

`PATH=VALUE` is for every row that has the path, `KEYS:PATH=VALUE` for those of them whose key
fits the pattern KEYS. The plan gets a name of its own, so that its table has files of its own.
Standard library only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mi2p.filters import reads
from mi2p.paths import parsed, replaced, shown, value_at
from mi2p.plan import Plan, PlanRow

ELSEWHERE: Mapping[str, str] = {
    "data.name": "--dataset says which data set",
    "model.name": "--rows says which models",
    "model.visual": "--visual, or --backbones, says which CNN",
    "model.textual": "--textual, or --backbones, says which transformer",
    "seed": "--seeds says which seeds",
}
"""What a row is called by, or what other options say."""

SOME_ROWS = "KEYS:PATH=VALUE sets a value in some rows alone."
"""What helps where a value does not suit all rows. Of the data all have the same values."""

LONGEST_SUFFIX = 80
"""Characters of a plan's name; it is also that of files and folders."""

_FORM = re.compile(r"(?:(?P<keys>[^=:]+):)?(?P<path>[^=:]+)=(?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, order=True)
class Assignment:
    """A value of some rows."""

    path: str
    keys: str
    """A pattern of their keys; empty: all."""
    text: str
    """The value as `mi2p.paths.shown` writes it."""

    def __str__(self) -> str:
        return f"{self.keys}:{self.path}={self.text}" if self.keys else f"{self.path}={self.text}"

    @property
    def value(self) -> Any:
        """What the path gets."""
        return parsed(self.path, self.text)

    def meets(self, row: PlanRow) -> bool:
        """Whether a row has the path, and the key. Of averages only the data are their own."""
        spec = row.specs[0]
        return (
            fnmatchcase(row.key, self.keys or "*")
            and reads(spec, self.path)
            and (not spec.averages or self.path.startswith("data."))
        )


def parse_assignment(text: str) -> Assignment:
    """The assignment that `text` says; `ValueError` says what is legal."""
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(
            "--set: a value is PATH=VALUE such as train.lr=3e-5, or for some rows "
            f"KEYS:PATH=VALUE such as me_*:model.units.heads=4, but got {text!r}"
        )
    keys, path = found["keys"] or "", found["path"]
    if path in ELSEWHERE:
        raise ValueError(f"--set: {path} cannot be set, but got {text!r}; {ELSEWHERE[path]}")
    if keys and path.startswith("data."):
        raise ValueError(
            f"--set: the rows of a table see the same data, but got {text!r}; without {keys!r} "
            "it is for all"
        )
    try:
        value = parsed(path, found["text"])
    except ValueError as error:
        raise ValueError(f"--set: {error}") from error
    return Assignment(path=path, keys=keys, text=shown(value))


def set_paths(assignments: Iterable[str], key: str | None = None) -> tuple[str, ...]:
    """The paths that are set in rows with this key, or in any row, each once."""
    found = map(parse_assignment, assignments)
    named = (one.path for one in found if key is None or fnmatchcase(key, one.keys or "*"))
    return tuple(dict.fromkeys(named))


def overridden(plan: Plan, assignments: Sequence[str]) -> Plan:
    """The plan with these values in every row that has them, and averages of its new trials.

    All values of a row are set at once. `ValueError` for a value that no row has or that is not
    legal in one, for a path that is set twice in a row, and where two rows become the same.
    """
    wanted = sorted(map(parse_assignment, assignments))
    if not wanted:
        return plan
    for one in wanted:
        if not any(one.meets(row) for row in plan.rows if not row.specs[0].averages):
            raise ValueError(
                f"--set: no row that is trained has what {str(one)!r} says; the rows are "
                f"{', '.join(plan.methods)}"
            )
    new = tuple(_with(row, wanted) if row.specs[0].averages else row for row in plan.rows)
    name = f"{plan.name}-{_suffix(wanted)}"
    found = replace(plan, rows=new).changed(lambda row: _with(row, wanted), name)
    _check_apart(plan, found, wanted)
    return found


def _values(row: PlanRow, assignments: Iterable[Assignment]) -> dict[str, Any]:
    """What is set in a row."""
    found: dict[str, Assignment] = {}
    for one in assignments:
        if one.meets(row):
            if one.path in found:
                raise ValueError(
                    f"--set: a path is set once in a row, but got {str(found[one.path])!r} and "
                    f"{str(one)!r} for row {row.key!r}"
                )
            found[one.path] = one
    return {path: one.value for path, one in found.items()}


def _with(row: PlanRow, assignments: Iterable[Assignment]) -> PlanRow:
    values = _values(row, assignments)
    if not values:
        return row
    try:
        return replace(row, specs=tuple(replaced(spec, values) for spec in row.specs))
    except (ValueError, TypeError) as error:
        told = f"--set: row {row.key!r} of {row.dataset}: {error}"
        if not all(path.startswith("data.") for path in values):
            told += f". {SOME_ROWS}"
        raise ValueError(told) from error


def _check_apart(before: Plan, after: Plan, assignments: Sequence[Assignment]) -> None:
    """No two rows that were different and got values are now the same trial."""
    seen: dict[str, PlanRow] = {}
    for old, new in zip(before.rows, after.rows, strict=True):
        values = _values(old, assignments)
        if not values or old.specs[0].averages:
            continue
        other = seen.setdefault(new.specs[0].trial_id, old)
        if other.specs[0].trial_id != old.specs[0].trial_id:
            apart = [
                path
                for path in values
                if value_at(other.specs[0], path) != value_at(old.specs[0], path)
            ]
            raise ValueError(
                f"--set: rows {other.key!r} and {old.key!r} of {old.dataset} become the same: "
                f"{', '.join(apart)} told them apart. {SOME_ROWS}"
            )


def _suffix(assignments: Iterable[Assignment]) -> str:
    """For a plan's name: the assignments themselves, or a hash where that is no file's name."""
    told = "-".join(map(str, assignments))
    readable = "set-" + told.translate(str.maketrans("=:,", "--_"))
    if len(readable) <= LONGEST_SUFFIX and re.fullmatch(r"[A-Za-z0-9._-]+", readable):
        return readable
    return f"set-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
