"""Lengths of time as a user types them."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:\.\d+)?)"
_FORM = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


def parse_duration(text: str) -> float:
    """Seconds of `90m`, `1h30m`, `1.5h` or `45s`; `ValueError` lists the legal forms."""
    found = _FORM.fullmatch(text)
    parts = [float(part or 0) for part in found.groups()] if found else []
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if seconds <= 0:
        raise ValueError(
            f"a length of time is more than 0, in hours, minutes and seconds, such as 90m, 2h, "
            f"1.5h, 1h30m or 45s, but got {text!r}"
        )
    return seconds
