"""A text in lines with a word marked."""

from __future__ import annotations

import pytest
from matplotlib import font_manager
from matplotlib.transforms import Bbox

from analysis.figures.canvas import FONT, figure
from analysis.figures.sentence import DOTS, MOST_LINES, SIZE, chunks, draw_sentence, lines_of
from mi2p.sentences import Sentence


def of(text: str, *words: str) -> Sentence:
    """With these words; pieces do not matter here."""
    return Sentence(text=text, pieces=words, words=words, word_of=tuple(range(len(words))))


def test_the_word_is_marked_where_it_stands() -> None:
    text = of('the "flooded", the end', *("the", '"', "flooded", '"', ",", "the", "end"))
    told = [(c.text, c.marked, c.glued) for c in chunks(text, 2)]
    assert told == [
        ("the", False, False),
        ('"', False, False),
        ("flooded", True, True),
        ('",', False, True),
        ("the", False, False),
        ("end", False, False),
    ]
    # Of two equal words the one that is meant.
    assert [c.text for c in chunks(text, 5) if c.marked] == ["the"]
    assert [c.marked for c in chunks(text, 5)].index(True) == 2
    assert [c.marked for c in chunks(text, 0)].index(True) == 0


def test_what_the_model_does_not_read_is_told() -> None:
    assert [c.seen for c in chunks(of("a red hat here", "a", "red"), 1)] == [
        *(True, True, False, False)
    ]


def test_a_longer_text_is_shown_about_the_word() -> None:
    words = tuple(f"word{number}" for number in range(200))
    text = of(" ".join(words), *words)
    assert lines_of(text, 100, 2.0) == MOST_LINES
    assert lines_of(of("one", "one"), 0, 2.0) == 1


@pytest.mark.parametrize("marked", [0, 90, 199])
def test_nothing_overlaps_or_is_cut_off(marked: int) -> None:
    words = tuple(f"w{'o' * (number % 9)}rd" for number in range(200))
    with figure(3.0, 2.0) as made:
        made.set_layout_engine("none")
        draw_sentence(
            made, of(" ".join(words), *words), marked, left=0.5, top=1.5, width=2.0, line=0.2
        )
        renderer = made.canvas.get_renderer()  # type: ignore[attr-defined]
        boxes = [text.get_window_extent(renderer) for text in made.texts]
        (seen,) = (text for text in made.texts if text.get_bbox_patch() is not None)
        assert seen.get_text() == words[marked]
        drawn = [text.get_text() for text in made.texts]
        assert (drawn[0] == DOTS, drawn[-1] == DOTS) == (marked > 0, marked < 199)
        for number, box in enumerate(boxes):
            assert 0.49 * made.dpi <= box.x0 and box.x1 <= 2.53 * made.dpi
            shrunk = Bbox.from_extents(box.x0 + 1, box.y0 + 4, box.x1 - 1, box.y1 - 4)
            assert not any(shrunk.overlaps(other) for other in boxes[:number])


def test_sizes_are_of_the_font_that_is_drawn() -> None:
    path = font_manager.findfont(font_manager.FontProperties(family=FONT))
    assert "DejaVuSans" in path and SIZE > 7
