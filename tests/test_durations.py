"""Lengths of time: every legal form, and what is refused."""

from __future__ import annotations

import pytest

from mi2p.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("45s", 45),
        ("1h0m5s", 3605),
        ("1h30s", 3630),
        ("0.5m", 30),
    ],
)
def test_legal_forms(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "h", "1d", "30m1h", "-5m", "1h 30m", "0m", "1e3s", "1H", ".5h", "5ms"]
)
def test_what_is_refused_lists_the_legal_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 90m, 2h, 1\.5h, 1h30m or 45s") as refused:
        parse_duration(text)
    assert str(refused.value).endswith(f"but got {text!r}")
