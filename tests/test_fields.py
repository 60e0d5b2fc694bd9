"""The base of specs: coercion, plain data, and what later fields do to an identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mi2p.fields import Fields, identity, later


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner(Fields):
    size: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer(Fields):
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    inner: Inner | None = later(None)
    more: int = later(0)

    def _check(self) -> None:
        if self.more < 0:
            raise ValueError("more >= 0")


def test_values_become_the_type_of_their_field() -> None:
    values: dict[str, Any] = {"rate": 1, "names": ["x"]}
    outer = Outer(**values)
    assert (type(outer.rate), outer.names) == (float, ("x",))


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"rate": "fast"}, TypeError),
        ({"names": "x"}, TypeError),
        ({"inner": {"size": 2}}, TypeError),
        ({"more": True}, TypeError),
        ({"kind": "c"}, ValueError),
        ({"more": -1}, ValueError),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_made(
    values: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Outer(**values)


def test_plain_data_and_back() -> None:
    outer = Outer(rate=2.0, names=("x", "y"), inner=Inner(size=3))
    plain = outer.to_dict()
    assert plain == {
        "rate": 2.0, "kind": "a", "names": ["x", "y"], "inner": {"size": 3}, "more": 0
    }  # fmt: skip
    assert Outer.from_dict(plain) == outer
    assert Outer.from_dict({**plain, "inner": None}) == Outer(rate=2.0, names=("x", "y"))
    with pytest.raises(ValueError, match="unknown field 'colour' in Inner; known: size"):
        Outer.from_dict({"inner": {"colour": "red"}})


def test_a_later_field_is_no_part_of_the_identity_while_it_is_absent() -> None:
    assert set(identity(Outer())) == {"rate", "kind", "names"}
    assert identity(Outer(more=2, inner=Inner())) == {
        "rate": 0.5, "kind": "a", "names": (), "more": 2, "inner": {"size": 1}
    }  # fmt: skip
