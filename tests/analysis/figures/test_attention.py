"""Figure 3 from files alone: what is drawn, what is said below it, and the same bytes again."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from analysis.figures.attention import blended, draw, draw_unit, write
from analysis.figures.attention_caption import Source
from analysis.figures.canvas import PRINT_DPI
from mi2p.plan import Plan
from tests.an_attention import an_attention
from tests.analysis.conftest import Lab


def source(plan: Plan, key: str = "me_bert-1-3") -> Source:
    (row,) = (row for row in plan.rows if row.key == key)
    return Source(plan=plan, row=row, seed=0)


def test_a_plan_without_files_has_nothing_to_draw(lab: Lab) -> None:
    assert draw(lab.results, lab.plan()) == []


def test_every_file_of_the_plans_trials_is_drawn(lab: Lab) -> None:
    plan = lab.plan()
    row = plan.rows[3]
    for seed, example in ((0, "a/7"), (1, "b")):
        an_attention(trial_id=row.specs[seed].trial_id, example=example).write(lab.results)
    an_attention(trial_id="ffffffffffff").write(lab.results)  # of no row of this plan
    made = draw(lab.results, plan)
    assert [one.name for one in made] == [
        "table5-lab-me_bert-1-3-seed0-a-7-1cf5e567-visual-4",
        "table5-lab-me_bert-1-3-seed0-a-7-1cf5e567-textual-3",
        "table5-lab-me_bert-1-3-seed1-b-visual-4",
        "table5-lab-me_bert-1-3-seed1-b-textual-3",
    ]
    for one in made:
        assert one.pdf.startswith(b"%PDF")
        assert "MiniLM + MI2P{1-3}" in one.caption and "openclipart, test split" in one.caption
    assert f"trial {row.specs[1].trial_id}, seed 1" in made[3].caption
    assert draw(lab.results, plan) == made  # the same bytes


def test_there_is_a_panel_per_word(lab: Lab) -> None:
    # "the" is a stop word: two are left.
    widths = []
    for asked in ((), ("the",), ("Rescue", "the", "flooded")):
        attention = an_attention(asked=asked)
        (made,) = draw_unit(attention, attention.units[-1], source(lab.plan()), "name")
        with Image.open(io.BytesIO(made.png)) as image:
            widths.append(image.width / PRINT_DPI)
        assert made.alternative.count(" with channel ") == len(asked or "ab")
    assert widths == pytest.approx([4.8, 2.5, 7.1], abs=0.01)


def test_half_picture_half_heat() -> None:
    picture = np.full((4, 4, 3), 255, np.uint8)
    found = blended(picture, np.array([[0.0, 0], [1, 1]]))
    low, high = (np.array(matplotlib.colormaps["viridis"](value)[:3]) for value in (0.0, 1.0))
    assert np.allclose(found[0], (1 + low) / 2) and np.allclose(found[-1], (1 + high) / 2)


@pytest.mark.parametrize("words", [(), ("!", "7")])
def test_a_text_without_words_has_no_picture(lab: Lab, words: tuple[str, ...]) -> None:
    plan = lab.plan()
    attention = an_attention(
        trial_id=plan.rows[3].specs[0].trial_id, words=words, text=" ".join(words)
    )
    attention.write(lab.results)
    assert draw(lab.results, plan) == []
    assert "no picture: the text has no words" in write(lab.results, plan, plan.rows[3], attention)


def test_files_lie_beside_each_other(lab: Lab, tmp_path: Path) -> None:
    plan = lab.plan()
    attention = an_attention(trial_id=plan.rows[3].specs[0].trial_id, example="b")
    path = attention.write(lab.results)
    told = write(lab.results, plan, plan.rows[3], attention)
    assert {file.name for file in path.parent.iterdir()} == {
        *("b.npz", "b.csv", "b.txt", "b-visual-4.pdf", "b-visual-4.png"),
        *("b-textual-3.pdf", "b-textual-3.png", "b-textual-3-all.pdf", "b-textual-3-all.png"),
        *("b-visual-4-all.pdf", "b-visual-4-all.png"),
    }
    captions = (path.parent / "b.txt").read_text()
    assert [line.partition(": ")[0] for line in captions.splitlines()] == [
        *("b-visual-4", "b-visual-4-all", "b-textual-3", "b-textual-3-all"),
    ]
    assert told[:2] == ["label: rescue; predicted: others (0.75)", "text: Rescue the flooded"]


def test_pictures_of_other_units_go_and_those_of_other_examples_stay(lab: Lab) -> None:
    plan = lab.plan()
    made = partial(an_attention, trial_id=plan.rows[3].specs[0].trial_id)
    for example, taps in (("b", ()), ("b-2", ()), ("b", (1,))):
        attention = made(example=example, taps=taps)
        folder = attention.write(lab.results).parent
        write(lab.results, plan, plan.rows[3], attention)
    assert {file.stem for file in folder.glob("*.png")} == {
        *("b-textual-1", "b-textual-1-all"),
        *("b-2-visual-4", "b-2-visual-4-all", "b-2-textual-3", "b-2-textual-3-all"),
    }


def test_words_that_are_not_there_leave_no_files(lab: Lab) -> None:
    plan = lab.plan()
    attention = replace(an_attention(asked=("boat",)), trial_id=plan.rows[3].specs[0].trial_id)
    with pytest.raises(ValueError, match="'boat' is none"):
        write(lab.results, plan, plan.rows[3], attention)
    assert not lab.results.exists()
