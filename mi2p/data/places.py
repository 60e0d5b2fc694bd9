"""Where a data set lies on this machine, and what to say when it is nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

VARIABLE = "MI2P_DATA"


class DataUnavailable(RuntimeError):
    """A data set that is not here; the message gives the `reason` and `how` to get it."""

    def __init__(self, reason: str, how: str) -> None:
        super().__init__(f"{reason}\n{how}")
        self.reason = reason
        self.how = how

    def __reduce__(self) -> tuple[type[DataUnavailable], tuple[str, str]]:
        return DataUnavailable, (self.reason, self.how)


def find_folder(
    data_root: Path | None,
    recognise: Callable[[Path], Path | None],
    *,
    usual: Sequence[Path],
    expected: str,
    how: str,
) -> Path:
    """The absolute folder of a data set, which `recognise` finds in or below a place.

    Looks only in `data_root` if given, else in $MI2P_DATA, then in the `usual` places.
    `expected` says in words what is looked for, `how` how to get it.

    Raises DataUnavailable, naming every place looked at.
    """
    configured = os.environ.get(VARIABLE)
    if data_root is not None:
        places = [data_root]
    else:
        places = [*([Path(configured)] if configured else []), *usual]
    for place in places:
        found = recognise(place)
        if found is not None:
            return found.absolute()
    looked = ", ".join(str(place.absolute()) for place in places)
    unset = "" if data_root is not None or configured else f" ({VARIABLE} is not set)"
    raise DataUnavailable(f"{expected} Looked at: {looked}{unset}.", how)
