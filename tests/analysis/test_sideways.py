from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.kinds import method_group
from analysis.lines import DIFFERS
from analysis.sideways import merged, sections, setting, wide, wide_paper
from analysis.studied import Studied
from analysis.table4 import TABLE
from analysis.typesetting.tabular import Row, Table
from sweeps.compare_food101_mmimdb import Options, plan
from tests.simulated import Simulated


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Studied, ...]:
    """One seed of three methods on each data set."""
    return made(tmp_path_factory.mktemp("results"), seeds=(0,))


def made(results: Path, seeds: tuple[int, ...]) -> tuple[Studied, ...]:
    table = plan(Options(dataset="packaged", seeds=seeds))
    Simulated(results).fill(table, {"cnn": 0.3, "gmu": 0.7, "me_cnn": 0.9})
    return TABLE.studied(results, table)


def of(found: Sequence[Studied]) -> Table:
    return wide(
        found,
        head="Method",
        group=method_group,
        caption="All.",
        label="tab:x",
        footnotes=("told",),
        comments=("made",),
    )


def row_of(table: Table, label: str) -> Row:
    (row,) = (row for row in table.rows if row.cells[0] == label)
    return row


def test_data_sets_side_by_side(found: tuple[Studied, ...]) -> None:
    table = of(found)
    assert table.heads == ("Method", "Acc", "Macro-F1", "Micro-F1")
    assert table.spans == (("openclipart", 1), ("openclipart-tags", 2))
    assert [len(group) for group in table.groups] == [2, 7, 4, 5]
    assert table.rows[1].cells == ("Unimodal MiniLM", "--", "--", "--")
    single, several = (on.part.rows[0] for on in found)
    expected = (
        single.cell("test/accuracy").mean,
        several.cell("test/macro_f1").mean,
        several.cell("test/micro_f1").mean,
    )
    assert table.rows[0].cells[1:] == tuple(f"{100 * (mean or 0):.1f}" for mean in expected)
    first, second = (spec.trial_id for row in (single, several) for spec in row.row.specs)
    assert table.rows[0].comment.startswith(f"openclipart: trials: {first}; configuration: ")
    assert f"; openclipart-tags: trials: {second}; configuration: " in table.rows[0].comment
    assert (table.caption, table.footnotes) == ("All. All metrics in %.", ("told",))


def test_marks_are_at_the_primary_metrics_and_bold_is_by_data_set(
    tmp_path: Path,
) -> None:
    found = made(tmp_path, seeds=(0, 1))
    table = of(found)
    row = row_of(table, "ME EfficientNet-Lite0")
    single, several = (next(r for r in on.part.rows if r.row.key == "me_cnn") for on in found)
    marked = (found[0].differs(single), False, found[1].differs(several))
    assert found[0].differs(single)
    assert tuple(cell.endswith(DIFFERS) for cell in row.cells[1:]) == marked
    assert 1 in row.bold
    assert row_of(table, "Unimodal EfficientNet-Lite0").bold == frozenset()


def test_the_papers_numbers_in_the_same_shape(found: tuple[Studied, ...]) -> None:
    single, several = found
    printed = {"ME DenseNet": {"accuracy": 0.1}, "GMU": {"accuracy": 99.9}}
    known = replace(single, part=replace(single.part, printed=printed))
    table = wide_paper(
        [known, several],
        head="Method",
        group=method_group,
        caption="The paper's.",
        label="tab:x-paper",
        footnotes=("as printed",),
    )
    # The other data set is not in the paper.
    assert table.heads == ("Method", "Acc")
    assert table.spans == (("openclipart", 1),)
    assert row_of(table, "ME EfficientNet-Lite0").cells[1] == "0.1 ↓"
    assert row_of(table, "GMU").cells[1] == "99.9 ↑"
    assert row_of(table, "CBP").cells[1] == "--"
    assert not any(row.bold or row.comment for row in table.rows)


def test_a_note_says_of_which_data_set_it_is() -> None:
    notes = {"mmimdb": ["both", "one"], "openclipart-tags": ["both", "other"]}
    assert merged(notes) == ["both", "MM-IMDB: one", "openclipart-tags: other"]


def test_a_method_that_one_data_set_has_not(found: tuple[Studied, ...]) -> None:
    single, several = found
    fewer = replace(single, part=replace(single.part, rows=single.part.rows[1:]))
    table = of((fewer, several))
    alone = row_of(table, "Unimodal EfficientNet-Lite0").cells
    assert alone[1] == "--"
    assert alone[2] != "--"


def small(value: str, note: str) -> Table:
    return Table(
        caption="The other.",
        label="tab:x",
        heads=("Method", "Acc"),
        groups=((Row(cells=("A", value)),),),
        footnotes=("everywhere", note),
    )


def test_data_sets_one_below_the_other() -> None:
    tables = {
        "mmimdb": [small("1.0", "only here"), small("3.0", "only here")],
        "openclipart": [small("2.0", "only there")],
    }
    assert sections("What is compared.", tables) == (
        "What is compared.\n\n"
        "### MM-IMDB\n\n"
        "| Method | Acc |\n| ------ | --: |\n| A      | 1.0 |\n\n"
        "The other.\n\n"
        "| Method | Acc |\n| ------ | --: |\n| A      | 3.0 |\n\n- only here\n\n"
        "### openclipart\n\n"
        "| Method | Acc |\n| ------ | --: |\n| A      | 2.0 |\n\n- only there\n\n"
        "On all data sets:\n\n- everywhere\n"
    )
    assert setting("crisismmd_task1") == "CrisisMMD (Task 1)"


def test_one_data_set_has_no_head() -> None:
    assert sections("What.", {"mmimdb": [small("1.0", "b")]}) == (
        "What.\n\n| Method | Acc |\n| ------ | --: |\n| A      | 1.0 |\n\n- everywhere\n- b\n"
    )
