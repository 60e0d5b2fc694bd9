"""Read title and keywords from the RDF metadata of an Open Clip Art SVG file.

The layout is `metadata > rdf:RDF > cc:Work > (dc:title, dc:subject > rdf:Bag > rdf:li ...)`.
Names are compared without their namespace: files of 2004 and of 2010 use different ones for cc.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 8192
AUTHOR_PREFIX = re.compile(r"^Clipart by .+? - ")


class BadSvg(ValueError):
    """An SVG file whose metadata cannot be read, with its `path` and the `reason`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Cannot read the metadata of {path}: {reason}.")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadSvg"], tuple[Path, str]]:
        return BadSvg, (self.path, self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What a drawing says of itself: its cleaned title and its keywords, lower case, sorted."""

    title: str
    keywords: tuple[str, ...]


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of the first cc:Work; a missing title is the empty string.

    Reads no further than the end of that element, near the head of the file, so damage behind
    it does not matter and 2,000 files take about a second.

    Raises BadSvg when the file cannot be read, is not XML up to there, or has no cc:Work.
    """
    parser: ElementTree.XMLPullParser[ElementTree.Element] = ElementTree.XMLPullParser(["end"])
    try:
        with path.open("rb") as file:
            more = True
            while more:
                chunk = file.read(CHUNK_BYTES)
                more = bool(chunk)
                damage = _feed(parser, chunk)
                for event in parser.read_events():
                    element = event[-1]
                    if isinstance(element, ElementTree.Element) and _name(element) == "Work":
                        return _metadata(element)
                if damage is not None:
                    raise damage
    except FileNotFoundError as error:
        raise BadSvg(path, "the file does not exist") from error
    except OSError as error:
        raise BadSvg(path, str(error)) from error
    # ValueError and LookupError: an encoding Python's XML parser does not know.
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadSvg(path, f"it is not well-formed XML ({error})") from error
    raise BadSvg(path, "it has no cc:Work element")


def clean_title(raw: str) -> str:
    """Drop the prefix "Clipart by NAME - ", make underscores spaces, and collapse white space."""
    return " ".join(AUTHOR_PREFIX.sub("", raw.strip()).replace("_", " ").split())


def _metadata(work: ElementTree.Element) -> Metadata:
    # Direct children only: dc:creator and dc:publisher hold titles of their own.
    title = next((child.text for child in work if _name(child) == "title"), None)
    keywords = {
        " ".join((item.text or "").lower().split())
        for subject in work
        if _name(subject) == "subject"
        for item in subject.iter()
        if _name(item) == "li"
    }
    return Metadata(title=clean_title(title or ""), keywords=tuple(sorted(keywords - {""})))


def _feed(
    parser: "ElementTree.XMLPullParser[ElementTree.Element]", chunk: bytes
) -> ElementTree.ParseError | None:
    """Pass on a chunk, or the end of the file if empty; return the damage found at the end.

    The end must be passed on: until then expat may hold back elements that are complete.
    Damage found by `feed` needs no care, because it queues behind the elements before it.
    """
    if chunk:
        parser.feed(chunk)
        return None
    try:
        parser.close()
    except ElementTree.ParseError as error:
        return error
    return None


def _name(element: ElementTree.Element) -> str:
    # Comments and processing instructions have a function for a tag.
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
