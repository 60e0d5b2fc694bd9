from __future__ import annotations

from pathlib import Path

from analysis.kinds import method_group
from analysis.part import Part, parts
from analysis.sideways import sections, setting, wide
from analysis.tabular import Row, Table
from mi2p.store import load
from sweeps.compare_food101_mmimdb import Options, plan
from tests.simulated import Simulated


def made(results: Path) -> tuple[Part, ...]:
    table = plan(Options(dataset="packaged", seeds=(0,)))
    Simulated(results).fill(table, {"cnn": 0.6, "gmu": 0.7})
    return parts(table, load(results), {}, {"openclipart": 120}, {"accuracy": "Acc"})


def of(found: tuple[Part, ...], notes: dict[str, list[str]]) -> Table:
    return wide(
        found,
        head="Method",
        group=method_group,
        caption="All.",
        label="tab:x",
        notes=notes,
        comments=("made",),
    )


def test_data_sets_side_by_side(tmp_path: Path) -> None:
    found = made(tmp_path)
    table = of(found, {part.dataset: [] for part in found})
    assert table.heads == ("Method", "Acc", "Macro-F1", "Micro-F1")
    assert table.spans == (("openclipart", 1), ("openclipart-tags", 2))
    assert [len(group) for group in table.groups] == [2, 7, 4, 5]
    assert table.rows[1].cells == ("Unimodal MiniLM", "--", "--", "--")
    single, several = (part.rows[0] for part in found)
    expected = (
        single.cell("test/accuracy").mean,
        several.cell("test/macro_f1").mean,
        several.cell("test/micro_f1").mean,
    )
    assert table.rows[0].cells[1:] == tuple(f"{100 * (mean or 0):.1f}" for mean in expected)
    assert table.rows[0].comment == (
        f"openclipart: {single.provenance()}; openclipart-tags: {several.provenance()}"
    )
    assert table.caption == "All. All metrics in %."


def test_a_note_says_of_which_data_set_it_is(tmp_path: Path) -> None:
    found = made(tmp_path)
    notes = {"openclipart": ["both", "one"], "openclipart-tags": ["both", "other"]}
    *told, widths = of(found, notes).footnotes
    assert told == ["both", "openclipart: one", "openclipart-tags: other"]
    assert widths.startswith("Binomial 95 % half-widths")
    assert "openclipart " in widths
    assert "openclipart-tags" not in widths


def test_a_method_that_one_data_set_has_not(tmp_path: Path) -> None:
    single, several = made(tmp_path)
    fewer = Part(
        dataset=single.dataset,
        rows=single.rows[1:],
        multilabel=False,
        metrics=single.metrics,
        printed={},
        num_test=None,
    )
    table = of((fewer, several), {"openclipart": [], "openclipart-tags": []})
    by_label = {row.cells[0]: row.cells for row in table.rows}
    assert by_label["Unimodal EfficientNet-Lite0"][1] == "--"
    assert by_label["Unimodal EfficientNet-Lite0"][2] != "--"


def test_data_sets_one_below_the_other() -> None:
    tables = {
        dataset: Table(
            caption="not shown",
            label="tab:x",
            heads=("Method", "Acc"),
            groups=((Row(cells=("A", value)),),),
            footnotes=("everywhere", note),
        )
        for dataset, value, note in (
            ("mmimdb", "1.0", "only here"),
            ("openclipart", "2.0", "only there"),
        )
    }
    assert sections("What is compared.", tables) == (
        "What is compared.\n\n"
        "### MM-IMDB\n\n"
        "| Method | Acc |\n| ------ | --: |\n| A      | 1.0 |\n\n- only here\n\n"
        "### openclipart\n\n"
        "| Method | Acc |\n| ------ | --: |\n| A      | 2.0 |\n\n- only there\n\n"
        "On all data sets:\n\n- everywhere\n"
    )
    assert setting("crisismmd_task1") == "CrisisMMD (Task 1)"
