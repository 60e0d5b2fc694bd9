"""A text below a picture, with one of its words marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from analysis.figures.canvas import COLOURS, FONT, shown
from mi2p.sentences import Sentence

SIZE = 8.5
"""Points."""
MOST_LINES = 5
"""Of a longer text the lines about the marked word are shown."""
LONGEST = 28
"""Letters of one chunk."""
SPACE = 0.065
"""Inches between chunks."""
DOTS = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Letters without a space among them."""

    text: str
    marked: bool = False
    glued: bool = False
    """Whether no space is before it."""
    seen: bool = True
    """False behind the end of what the model reads."""


def chunks(sentence: Sentence, word: int) -> Iterator[Chunk]:
    """The text between spaces, the word of that index by itself."""
    spans = _spans(sentence)
    first, last = spans[word]
    end = spans[-1][1]
    place = 0
    for part in sentence.text.split():
        start = sentence.text.index(part, place)
        place = start + len(part)
        seen = start < end
        if not start <= first < place:
            yield Chunk(text=shown(part, LONGEST), seen=seen)
            continue
        stop = min(last, place)
        yield from (
            Chunk(text=shown(text, LONGEST), marked=marked, glued=glued)
            for text, marked, glued in (
                (sentence.text[start:first], False, False),
                (sentence.text[first:stop], True, first > start),
                (sentence.text[stop:place], False, True),
            )
            if text
        )


def _spans(sentence: Sentence) -> list[tuple[int, int]]:
    """Where the words are in the text, which has them in order."""
    found, place = [], 0
    for word in sentence.words:
        start = sentence.text.index(word, place)
        place = start + len(word)
        found.append((start, place))
    return found


def lines_of(sentence: Sentence, word: int, width: float) -> int:
    """How many lines `draw_sentence` draws."""
    return len(_lines(sentence, word, width))


def draw_sentence(
    made: Figure,
    sentence: Sentence,
    word: int,
    *,
    left: float,
    top: float,
    width: float,
    line: float,
) -> None:
    """The text in lines of `width` inches from `top` on, `line` inches each."""
    across, up = made.get_size_inches()
    for number, chunks_of_line in enumerate(_lines(sentence, word, width)):
        for chunk, offset in chunks_of_line:
            made.text(
                (left + offset) / across,
                (top - (number + 0.5) * line) / up,
                chunk.text,
                fontsize=SIZE,
                va="center_baseline",
                color="white" if chunk.marked else "black" if chunk.seen else "0.6",
                bbox={"facecolor": COLOURS[4], "edgecolor": "none", "pad": 1.2}
                if chunk.marked
                else None,
                parse_math=False,
            )


def _lines(sentence: Sentence, word: int, width: float) -> list[list[tuple[Chunk, float]]]:
    """Chunks and where they begin, in inches; at most `MOST_LINES`, with the marked word."""
    lines: list[list[tuple[Chunk, float]]] = [[]]
    place = 0.0
    for chunk in chunks(sentence, word):
        space = 0.0 if chunk.glued or not lines[-1] else SPACE
        if lines[-1] and place + space + _width(chunk.text) > width:
            lines.append([])
            place, space = 0.0, 0.0
        lines[-1].append((chunk, place + space))
        place += space + _width(chunk.text)
    if len(lines) <= MOST_LINES:
        return lines
    at = next(i for i, line in enumerate(lines) if any(chunk.marked for chunk, _ in line))
    first = max(0, min(at - MOST_LINES // 2, len(lines) - MOST_LINES))
    kept = lines[first : first + MOST_LINES]
    for place, is_cut in ((0, first > 0), (-1, first + MOST_LINES < len(lines))):
        if is_cut:  # the marked word is lines away
            kept[place][place] = (Chunk(text=DOTS), kept[place][place][1])
    return kept


@cache
def _width(text: str) -> float:
    """Inches of a text in this size."""
    path = TextPath((0, 0), f"{text}.", size=SIZE, prop=font_manager.FontProperties(family=FONT))
    dot = TextPath((0, 0), ".", size=SIZE, prop=font_manager.FontProperties(family=FONT))
    width: float = path.get_extents().x1 - dot.get_extents().x1
    return width / 72
