"""What changes after a table was written is told of the cells that it concerns, and no other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.cells import select
from analysis.tracing.provenance import Entry, document, of_row
from analysis.tracing.staleness import Stale, check
from mi2p import code
from mi2p.files import write_whole
from mi2p.plan import Plan
from mi2p.spec import DataSpec
from mi2p.store import Store, load
from tests.analysis.conftest import Lab

CNN, ME_CNN, BERT, ME_BERT = range(4)
TEXTS = {"table5-lab.csv": "a,b\n", "table5-lab.tex": "50.0 ± 0.1\n"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """Rows with 3, 3, 2 and no finished trials, whose table is written."""
    lab = Lab(tmp_path_factory.mktemp("written") / "results")
    made = lab.plan()
    for row, count in zip(made.rows, (3, 3, 2, 0), strict=True):
        lab.fill(row, [0.5, 0.6, 0.7][:count])
    for spec in made.specs():
        predicted = [{"split": "test", "example_id": "a"}]
        Store(lab.results).write_predictions(spec.trial_id, predicted)
    made.write(lab.results)
    table(lab, made)
    return lab.results, made


@pytest.fixture
def plan(lab: Lab, written: tuple[Path, Plan]) -> Plan:
    shutil.copytree(written[0], lab.results)
    return written[1]


def table(lab: Lab, plan: Plan) -> None:
    """Write files of a table, with accuracies and the differences of units to none."""
    rows = select(plan, load(lab.results))
    cells = []
    for row, reference in zip(rows, (None, rows[0], None, rows[2]), strict=False):
        own = Entry(
            row=row.row.key,
            dataset=row.row.dataset,
            column="accuracy",
            text="50.0",
            provenance=of_row(plan, row),
        )
        cells.append(own)
        if reference:
            gain = of_row(plan, row, reference=reference)
            cells.append(replace(own, column="delta", provenance=gain))
    texts = {name.replace("table5-lab", plan.name): text for name, text in TEXTS.items()}
    for name, text in texts.items():
        write_whole(lab.results / "tables" / name, text)
    write_whole(
        lab.results / "tables" / f"{plan.name}.json", document(lab.results, plan, cells, texts)
    )


def told(found: list[Stale]) -> list[tuple[str, tuple[str, ...], str, str, tuple[str, ...]]]:
    return [(each.row, each.columns, each.cause, each.what, each.trials) for each in found]


def ids(plan: Plan, row: int) -> tuple[str, ...]:
    return tuple(spec.trial_id for spec in plan.rows[row].specs)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_stale_right_after_and_nothing_is_written(lab: Lab, plan: Plan) -> None:
    before = files(lab.results)
    assert check(lab.results) == []
    table(lab, plan)
    assert files(lab.results) == before
    assert check(lab.results.parent) == []  # no results folder: nothing to check


def test_a_trial_that_was_run_again_is_in_its_row_and_in_differences_to_it(
    lab: Lab, plan: Plan
) -> None:
    trial_id = ids(plan, CNN)[1]
    lab.trial(plan.rows[CNN].specs[1], {"accuracy": 0.61})
    changed = ("trials", "row changed since", (trial_id,))
    expected = [("cnn", ("accuracy",), *changed), ("me_cnn-1-4", ("delta",), *changed)]
    assert told(check(lab.results)) == expected
    Store(lab.results).write_predictions(trial_id, [{"split": "test", "example_id": "b"}])
    assert {each.what for each in check(lab.results)} == {"run again since"}
    assert str(check(lab.results)[0]) == (
        f"table5-lab: row cnn on openclipart, accuracy: run again since (trials {trial_id})"
    )


@pytest.mark.parametrize("kind", ["trials", "predictions"])
def test_a_trial_that_is_gone_is_told(lab: Lab, plan: Plan, kind: str) -> None:
    first, second, _ = ids(plan, ME_CNN)
    for trial_id in (first, second):
        (lab.results / kind / f"{trial_id}.parquet").unlink()
    what = {"trials": "row deleted since", "predictions": "predictions deleted since"}[kind]
    assert told(check(lab.results)) == [
        ("me_cnn-1-4", ("accuracy", "delta"), "trials", what, (first, second))
    ]


def test_a_trial_that_finished_since_is_told(lab: Lab, plan: Plan) -> None:
    lab.trial(plan.rows[BERT].specs[2], {"accuracy": 0.5})
    lab.trial(plan.rows[ME_BERT].specs[0], {}, status="error")
    assert told(check(lab.results)) == [
        ("bert", ("accuracy",), "trials", "finished since", ids(plan, BERT)[2:])
    ]


def test_other_code_makes_all_of_its_trials_stale(
    lab: Lab, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "fingerprint", lambda: "0123")
    changed = ("code", "code changed since")
    cnn, me_cnn, bert = (ids(plan, row) for row in (CNN, ME_CNN, BERT))
    assert (
        told(check(lab.results))
        == [
            ("cnn", ("accuracy",), *changed, cnn),
            ("me_cnn-1-4", ("accuracy", "delta"), *changed, me_cnn + cnn),
            ("bert", ("accuracy",), *changed, bert[:2]),
            ("me_bert-1-3", ("delta",), *changed, bert[:0]),
        ][:3]
    )


def test_code_that_was_not_kept_is_no_known_code(lab: Lab, plan: Plan) -> None:
    lab.trial(plan.rows[BERT].specs[1], {"accuracy": 0.5}, code=None)
    table(lab, plan)
    assert told(check(lab.results)) == [
        ("bert", ("accuracy",), "code", "code unknown, it was not kept then", ids(plan, BERT)[1:2])
    ]


def test_a_plan_that_wants_other_trials_is_told(lab: Lab, plan: Plan) -> None:
    more = lab.plan((0, 1, 2, 3))
    rows = (replace(more.rows[0], specs=more.rows[0].specs[1:]), *plan.rows[1:3])
    new = replace(plan.rows[3], key="new")
    replace(plan, rows=(*rows, new)).write(lab.results)
    assert told(check(lab.results)) == [
        ("", (), "spec", "rows are in its plan since: new on openclipart", ()),
        ("cnn", ("accuracy",), "spec", "wanted by its plan since", ids(more, CNN)[3:]),
        ("cnn", ("accuracy",), "spec", "no longer wanted by its plan", ids(plan, CNN)[:1]),
        ("me_bert-1-3", ("accuracy", "delta"), "spec", "its plan has no such row any more", ()),
    ]


def test_a_plan_with_other_labels_is_told(lab: Lab, plan: Plan) -> None:
    replace(plan, rows=(replace(plan.rows[0], label="CNN"), *plan.rows[1:])).write(lab.results)
    (found,) = check(lab.results)
    assert str(found) == "table5-lab: its plan has other labels or searches since"


def edit(path: Path) -> None:
    plain = json.loads(path.read_text())
    plain["rows"][0]["trials"] = {"123": next(iter(plain["rows"][0]["trials"].values()))}
    path.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (Path.unlink, "its plan is gone, plans/table5-lab.json"),
        (edit, "its plan cannot be read, plans/table5-lab.json: .* now has the id"),
        (lambda path: path.write_text("[]"), "its plan cannot be read"),
    ],
)
def test_a_plan_that_is_gone_or_damaged_is_told(
    lab: Lab, plan: Plan, harm: Callable[[Path], object], why: str
) -> None:
    harm(lab.results / "plans/table5-lab.json")
    (found,) = check(lab.results)
    assert (found.cause, found.row) == ("spec", "")
    assert re.search(why, str(found))


def test_a_table_that_was_edited_by_hand_is_told(lab: Lab, plan: Plan) -> None:
    (lab.results / "tables/table5-lab.tex").write_text("99.0\n")
    (lab.results / "tables/table5-lab.csv").unlink()
    assert [str(each) for each in check(lab.results)] == [
        "table5-lab: table5-lab.csv is gone",
        "table5-lab: table5-lab.tex is not as it was written",
    ]


def test_what_is_no_document_is_passed_over_or_told(lab: Lab, plan: Plan) -> None:
    folder = lab.results / "tables"
    (folder / "another.json").write_text('{"kind": "vega"}')
    (folder / "list.json").write_text("[1]")
    assert check(lab.results) == []
    (folder / "table5-lab.json").write_text((folder / "table5-lab.json").read_text()[:200])
    (found,) = check(lab.results)
    assert "table5-lab.json is damaged" in str(found)
    (folder / "table5-lab.json").unlink()
    (found,) = check(lab.results)
    assert (found.table, found.cause) == ("table5-lab", "file")
    assert "nothing says what its cells are made of" in found.what


def test_data_that_other_trials_read_differently_is_told(lab: Lab, plan: Plan) -> None:
    other = lab.plan((7,), name="table5-other")
    lab.fill(other.rows[CNN], [0.5], data_fingerprint="beef")
    other.write(lab.results)
    (cnn, *_) = found = check(lab.results)
    assert {each.row for each in found} == {"cnn", "me_cnn-1-4", "bert"}
    differs = ("data", "data differs, other trials read beef")
    assert told([cnn]) == [("cnn", ("accuracy",), *differs, ids(plan, CNN))]
    # A part of the data is other data, and so is what no plan wants any more.
    (lab.results / "plans/table5-other.json").unlink()
    assert check(lab.results) == []


def test_data_of_other_options_is_no_other_data(lab: Lab, plan: Plan) -> None:
    other = lab.plan((7,), name="table5-other")
    spec = other.rows[CNN].specs[0]
    cut = replace(spec, data=DataSpec(limit=8))
    rows = (replace(other.rows[CNN], specs=(cut,)),)
    lab.trial(cut, {"accuracy": 0.5}, data_fingerprint="beef")
    replace(other, rows=rows).write(lab.results)
    assert check(lab.results) == []


def test_data_is_compared_with_what_is_here(lab: Lab, plan: Plan) -> None:
    asked = []

    def present(data: DataSpec) -> str | None:
        asked.append(data)
        return "beef"

    found = check(lab.results, present)
    assert {each.what for each in found} == {"data changed since, it is beef here"}
    assert len(asked) == 1  # reading takes time
    assert check(lab.results, lambda data: "f00d") == []
    assert check(lab.results, lambda data: None) == []


def test_a_folder_among_the_plans_and_a_list_for_trials(lab: Lab, plan: Plan) -> None:
    (lab.results / "plans" / "folder.json").mkdir()
    row = '{"key":"a","label":"b","paper":"","trials":[]}'
    text = f'{{"name":"zz","table":5,"rows":[{row}]}}'
    (lab.results / "plans" / "zz.json").write_text(text)
    assert check(lab.results) == []
