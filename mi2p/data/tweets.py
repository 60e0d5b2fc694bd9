"""Cleaning of tweets: retweet marks, links, hash signs, and letters that were encoded twice."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Literal, get_args

Clean = Literal["standard", "abavisani", "none"]

_RETWEET = re.compile(r"^\s*(?:RT\s+@\w+\s*:\s*)+")
_ENTITY = re.compile(r"&#?\w+;")
_LINK = re.compile(r"https?://\S+")
_RT = re.compile(r"^RT\s+")
_LINK_AND_REST = re.compile(r"https?://.*[\r\n]*")

# Bytes 0x80 to 0x9f as Windows-1252 shows them; it leaves five undefined, which mis-decoders
# pass through as the control characters of Latin-1.
_BYTE_OF = {
    ord(character): byte
    for byte in range(0x80, 0xA0)
    if (character := bytes([byte]).decode("cp1252", errors="ignore"))
}


def cleaned(text: str, mode: Clean) -> str:
    """The tweet as a model shall see it; may be empty.

    `standard` resolves HTML entities, drops a leading `RT @user:`, every link and every `#` (the
    word stays), and makes each run of white space one space.
    `abavisani` is the literal cleaning of the public reproduction of Abavisani et al. (2020):
    drops a leading `RT`, all from the first link to the end of the line, and every `#`.
    `none` changes nothing.

    Raises ValueError for another mode.
    """
    if mode == "standard":
        # Entities first: `&#39;` must not lose its hash sign. Only those that end in a semicolon,
        # or `&region` would become a trade mark.
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        text = _LINK.sub(" ", _RETWEET.sub("", text))
        return " ".join(text.replace("#", "").split())
    if mode == "abavisani":
        return _LINK_AND_REST.sub("", _RT.sub("", text)).replace("#", "")
    if mode == "none":
        return text
    raise ValueError(f"`clean` must be one of {', '.join(get_args(Clean))}, but got {mode!r}.")


def repaired(text: str) -> str:
    """The text with UTF-8 that was taken for Windows-1252 and encoded again put right.

    All or nothing: a text with any character or sequence that cannot come from that mistake is
    returned as it is, so correct texts do not change.
    """
    if text.isascii():
        return text
    try:
        return text.translate(_BYTE_OF).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def prepared(
    published: Mapping[str, str], clean: Clean, *, fix_mojibake: bool
) -> tuple[dict[str, str], list[str]]:
    """The texts of some ids, repaired if asked and cleaned, and remarks on what was met.

    Raises ValueError for an unknown `clean`.
    """
    right = {id: repaired(text) if fix_mojibake else text for id, text in published.items()}
    texts = {id: cleaned(text, clean) for id, text in right.items()}
    absent = sum(not text.strip() for text in published.values())
    emptied = sum(not text.strip() for text in texts.values()) - absent
    remarks = []
    if absent:
        remarks.append(f"{absent} of {len(texts)} pairs have no text in the files.")
    if emptied:
        remarks.append(f"{emptied} of {len(texts)} texts are empty once cleaned ({clean}).")
    if fix_mojibake:
        changed = sum(right[id] != text for id, text in published.items())
        remarks.append(f"Repaired {changed} of {len(texts)} texts that were encoded twice.")
    return texts, remarks
