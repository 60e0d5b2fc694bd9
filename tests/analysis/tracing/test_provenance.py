"""Every cell says what it is made of, and the same results say it in the same bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.cells import select
from analysis.tracing.provenance import Entry, configuration, digest, document, of_row
from mi2p.code import fingerprint
from mi2p.model_spec import FusionSpec, ModelSpec
from mi2p.plan import Plan, PlanRow
from mi2p.store import Store, load
from tests.analysis.conftest import CNN, ME_CNN, Lab


@pytest.fixture
def plan(lab: Lab) -> Plan:
    made = lab.plan()
    lab.fill(made.rows[0], [0.5, 0.6, 0.7])
    lab.fill(made.rows[1], [0.6, 0.7])
    return made


def averaged(lab: Lab) -> Plan:
    """A plan with the mean of its first and third row."""
    made = lab.plan((0, 1))
    model = ModelSpec(
        name="fusion",
        visual="densenet121",
        textual="minilm",
        fusion=FusionSpec(kind="score"),
    )
    specs = tuple(
        replace(lab.spec(model, seed), averages=(first.trial_id, second.trial_id))
        for seed, first, second in zip((0, 1), made.rows[0].specs, made.rows[2].specs, strict=True)
    )
    row = PlanRow(key="score", label="Score", paper="", specs=specs)
    return replace(made, rows=(*made.rows, row))


def test_a_row_names_trials_configuration_code_and_data(lab: Lab, plan: Plan) -> None:
    row = select(plan, load(lab.results))[1]
    made = of_row(plan, row)
    first, second, third = (spec.trial_id for spec in plan.rows[1].specs)
    assert made.trials == (first, second)
    assert third not in made.comment()
    assert made.comment() == (
        f"trials: {first} {second}; configuration: {made.configuration}; version: 0.1.0; "
        f"code: {fingerprint()}; data: f00d"
    )
    assert made.plain() == {
        "trials": [first, second],
        "averages": {},
        "configuration": made.configuration,
        "code_version": ["0.1.0"],
        "code": [fingerprint()],
        "data_fingerprint": ["f00d"],
    }


def test_a_difference_is_made_of_the_seeds_that_both_have(lab: Lab, plan: Plan) -> None:
    reference, row, *_ = select(plan, load(lab.results))
    made = of_row(plan, row, reference=reference)
    assert made.reference is not None
    assert made.reference.trials == tuple(spec.trial_id for spec in plan.rows[0].specs[:2])
    assert made.involved == (*made.trials, *made.reference.trials)
    assert made.comment() == (f"{of_row(plan, row).comment()}; minus {made.reference.comment()}")
    assert made.plain()["reference"] == made.reference.plain()
    assert made.reference.configuration != made.configuration


def test_a_cell_of_some_trials_names_only_these(lab: Lab, plan: Plan) -> None:
    row = select(plan, load(lab.results))[0]
    some = [spec.trial_id for spec in plan.rows[0].specs[1:]]
    assert of_row(plan, row, trials=some).trials == tuple(some)


def test_a_row_without_finished_trials_says_so(lab: Lab, plan: Plan) -> None:
    made = of_row(plan, select(plan, load(lab.results))[2])
    assert made.comment() == f"trials: none; configuration: {made.configuration}"


def test_what_is_older_than_the_column_is_unknown(lab: Lab, plan: Plan) -> None:
    lab.fill(plan.rows[2], [0.5, 0.6])
    lab.trial(plan.rows[2].specs[2], {"accuracy": 0.5}, code=None)
    made = of_row(plan, select(plan, load(lab.results))[2])
    assert made.code == (fingerprint(), "unknown")


def test_the_configuration_is_all_but_the_seed(lab: Lab, plan: Plan) -> None:
    first, second = plan.rows[0].specs[:2]
    assert configuration(first, plan) == configuration(second, plan)
    others = [
        lab.spec(CNN, 0, lr=1e-3),
        lab.spec(ME_CNN, 0),
        replace(first, stage="search"),
        replace(first, data=replace(first.data, view="crop")),
    ]
    found = {configuration(spec, plan) for spec in (first, *others)}
    assert len(found) == 5
    # What the model does not read makes no other trial, and no other configuration.
    unread = replace(first, data=replace(first.data, features="float16"))
    assert unread.trial_id == first.trial_id
    assert configuration(unread, plan) == configuration(first, plan)


def test_the_configuration_of_an_average_is_that_of_its_parts(lab: Lab) -> None:
    plan = averaged(lab)
    one, other = (configuration(spec, plan) for spec in plan.rows[-1].specs)
    assert one == other

    def faster(row: PlanRow) -> PlanRow:
        specs = (replace(spec, train=replace(spec.train, lr=1e-3)) for spec in row.specs)
        return replace(row, specs=tuple(specs))

    changed = plan.changed(faster, "other")
    assert configuration(changed.rows[-1].specs[0], changed) != one


def test_an_average_names_its_parts(lab: Lab) -> None:
    plan = averaged(lab)
    for row in plan.rows:
        lab.fill(row, [0.5])
    made = of_row(plan, select(plan, load(lab.results))[-1])
    (spec, _), first, second = plan.rows[-1].specs, *plan.rows[-1].specs[0].averages
    assert f"averages: {spec.trial_id} of {first} and {second}; " in made.comment()
    assert made.involved == (spec.trial_id, first, second)
    assert made.plain()["averages"] == {spec.trial_id: [first, second]}


def entries(plan: Plan, results: Path) -> list[Entry]:
    """The accuracy of every row, and the differences of the second to the first."""
    rows = select(plan, load(results))
    made = [
        Entry(
            row=row.row.key,
            dataset=row.row.dataset,
            column="accuracy",
            text="50.0",
            provenance=of_row(plan, row),
        )
        for row in rows
    ]
    delta = of_row(plan, rows[1], reference=rows[0])
    return [*made, replace(made[1], column="delta_accuracy", text="+1.0", provenance=delta)]


def test_a_document_has_an_entry_for_each_cell(lab: Lab, plan: Plan) -> None:
    plan.write(lab.results)
    trial_id = plan.rows[0].specs[0].trial_id
    Store(lab.results).write_predictions(trial_id, [{"split": "test", "example_id": "a"}])
    cells = entries(plan, lab.results)
    text = document(lab.results, plan, cells, {"t.tex": "±", "t.csv": ""})
    plain: dict[str, Any] = json.loads(text)
    assert (plain["plan"], plain["table"]) == ("table5-lab", 5)
    assert [(cell["row"], cell["column"]) for cell in plain["cells"]] == [
        *((row.key, "accuracy") for row in plan.rows),
        ("me_cnn-1-4", "delta_accuracy"),
    ]
    delta = plain["cells"][-1]
    assert delta["reference"]["trials"] == [spec.trial_id for spec in plan.rows[0].specs[:2]]
    assert [row["wants"] for row in plain["rows"]] == [
        [spec.trial_id for spec in row.specs] for row in plan.rows
    ]
    assert len(plain["trials"]) == 5
    kept = plain["trials"][trial_id]
    row, predictions = (
        lab.results / kind / f"{trial_id}.parquet" for kind in ("trials", "predictions")
    )
    assert kept == {
        "seed": 0,
        "code_version": "0.1.0",
        "code": fingerprint(),
        "data_fingerprint": "f00d",
        "trials_digest": hashlib.sha256(row.read_bytes()).hexdigest()[:16],
        "predictions_digest": hashlib.sha256(predictions.read_bytes()).hexdigest()[:16],
    }
    other = plain["trials"][plan.rows[0].specs[1].trial_id]
    assert other["predictions_digest"] is None
    (lab.results / "tables").mkdir()
    (lab.results / "tables/t.tex").write_text("±", encoding="utf-8")
    assert plain["files"]["t.tex"] == digest(lab.results / "tables/t.tex")


def test_a_document_knows_neither_time_nor_place(lab: Lab, plan: Plan, tmp_path: Path) -> None:
    first = document(lab.results, plan, entries(plan, lab.results), {"b": "", "a": ""})
    elsewhere = lab.results.rename(tmp_path / "elsewhere")
    again = document(elsewhere, plan, entries(plan, elsewhere), {"a": "", "b": ""})
    assert first == again
    assert str(tmp_path) not in first
