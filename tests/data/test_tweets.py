"""Cleaning of tweets, against strings worked by hand and strings encoded twice here."""

from __future__ import annotations

from typing import get_args

import pytest

from mi2p.data.tweets import Clean, cleaned, prepared, repaired


def encoded_twice(text: str) -> str:
    """The mistake itself: UTF-8 bytes shown one by one as Windows-1252, or else Latin-1."""
    shown = []
    for byte in text.encode("utf-8"):
        one = bytes([byte])
        try:
            shown.append(one.decode("cp1252"))
        except UnicodeDecodeError:
            shown.append(one.decode("latin-1"))
    return "".join(shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RT @red_cross: Help now", "Help now"),
        ("RT @a: RT @b: Help", "Help"),
        ("Thanks RT @a: Help", "Thanks RT @a: Help"),
        ("RT if you care", "RT if you care"),
        ("RTE news", "RTE news"),
        ("Flood https://t.co/aB1 in town http://x.org/?a=1#b now", "Flood in town now"),
        ("Flood\u2026https://t.co/aB1", "Flood\u2026"),
        ("https://t.co/aB1", ""),
        ("https is no link", "https is no link"),
        ("#Harvey hits #TX, rule #1", "Harvey hits TX, rule 1"),
        ("Food &amp; water &lt;3 don&#39;t", "Food & water <3 don't"),
        ("&amp;amp; once only", "&amp; once only"),
        ("AT&T in R&D &region", "AT&T in R&D &region"),
        ("  a\u00a0b \t c\r\nd ", "a b c d"),
        ('"', '"'),
        ("NA", "NA"),
        ("@mention stays \U0001f64f", "@mention stays \U0001f64f"),
        ("", ""),
    ],
)
def test_standard(text: str, expected: str) -> None:
    assert cleaned(text, "standard") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RT @red_cross: Help now", "@red_cross: Help now"),
        ("RT   if you care", "if you care"),
        ("RTE news", "RTE news"),
        (" RT late", " RT late"),
        ("Flood https://t.co/aB1 in town", "Flood "),
        ("one http://a.b two\nthree https://c.d four", "one three "),
        ("https://t.co/aB1 all is lost", ""),
        ("#Harvey hits #TX", "Harvey hits TX"),
        ("Food &amp; water  &#39;", "Food &amp; water  &39;"),
    ],
)
def test_abavisani_cuts_all_that_follows_a_link(text: str, expected: str) -> None:
    assert cleaned(text, "abavisani") == expected


def test_none_changes_nothing() -> None:
    text = " RT @a: #x &amp; https://t.co/b  y\n"
    assert cleaned(text, "none") == text


def test_another_mode_is_refused() -> None:
    assert get_args(Clean) == ("standard", "abavisani", "none")
    with pytest.raises(ValueError, match=r"one of standard, abavisani, none, but got 'ofli'"):
        cleaned("text", "ofli")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "We\u2019re here",
        "\u201cquoted\u201d",  # holds byte 0x9d, which Windows-1252 does not define
        "caf\u00e9 \u00c1vila",
        "\u00c0 \u00cd \u00cf \u00d0 \u00dd",  # second bytes 0x80, 0x8d, 0x8f, 0x90, 0x9d
        "\U0001f64f\U0001f3fd pray",
        "\u5730\u9707",
        "100 \u20ac",
    ],
)
def test_text_encoded_twice_is_repaired(text: str) -> None:
    assert encoded_twice(text) != text
    assert repaired(encoded_twice(text)) == text


def test_the_mistake_looks_as_it_does_in_the_files() -> None:
    assert encoded_twice("We\u2019re") == "We\u00e2\u20ac\u2122re"
    assert repaired("We\u00e2\u20ac\u2122re") == "We\u2019re"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "caf\u00e9",
        "We\u2019re",
        "\u201cquoted\u201d \u2026",
        "\U0001f64f",
        "\u5730\u9707",
        "10 \u00a3, 5 \u00b0C, \u00a9",
        "S\u00e3o Paulo",
        # Repairing a part would be guessing where the mistake ends.
        "We\u00e2\u20ac\u2122re \U0001f64f",
        # A character that was lost cannot be known.
        "\u00c3\ufffd",
        # Cut in the middle of a character.
        "We\u00e2\u20ac",
    ],
)
def test_other_text_does_not_change(text: str) -> None:
    assert repaired(text) == text


def test_prepared_texts_come_with_what_was_met() -> None:
    twice = encoded_twice("caf\u00e9")
    published = {"a": twice, "b": "#x https://t.co/1 y", "c": " ", "d": "https://t.co/2"}
    texts, remarks = prepared(published, "standard", fix_mojibake=True)
    assert texts == {"a": "caf\u00e9", "b": "x y", "c": "", "d": ""}
    assert remarks == [
        "1 of 4 pairs have no text in the files.",
        "1 of 4 texts are empty once cleaned (standard).",
        "Repaired 1 of 4 texts that were encoded twice.",
    ]
    texts, remarks = prepared({"a": twice}, "none", fix_mojibake=False)
    assert (texts, remarks) == ({"a": twice}, [])
