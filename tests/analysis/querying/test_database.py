"""Tables are what `mi2p.store` loads; only what is named is read; nothing can be written."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.querying.columns import sql_name
from analysis.querying.database import SOURCES, connect, named_in
from mi2p.plan import Plan
from mi2p.store import Store, load
from tests.analysis.conftest import Lab


@pytest.fixture
def plan(lab: Lab) -> Plan:
    made = lab.plan((0, 1))
    lab.fill(made.rows[0], [0.5, 0.75])
    lab.fill(made.rows[1], [0.25])
    made.write(lab.results)
    spec = made.rows[0].specs[0]
    store = Store(lab.results)
    store.write_epochs(spec.trial_id, [{"epoch": 1, "train/loss": 0.5, "val/accuracy": 0.25}])
    rows = [
        {"split": split, "example_id": "a", "labels": [2], "probabilities": [0.5, 0.25, 0.25]}
        for split in ("val", "test")
    ]
    store.write_predictions(spec.trial_id, rows)
    return made


def test_trials_are_those_that_are_loaded(lab: Lab, plan: Plan) -> None:
    with connect(lab.results, ["trials"]) as connection:
        found = connection.execute("select * from trials order by trial_id").df()
    expected = load(lab.results)
    assert list(found.columns) == [sql_name(name) for name in expected.columns]
    for name in expected.columns:
        column = found[sql_name(name)]
        assert column.isna().tolist() == expected[name].isna().tolist()
        assert column.dropna().tolist() == expected[name].dropna().tolist()


def test_all_tables(lab: Lab, plan: Plan) -> None:
    first, second = plan.rows[0].specs
    with connect(lab.results, SOURCES) as connection:
        ask = connection.execute
        assert ask("select * from epochs").fetchall() == [
            (first.trial_id, 1, 0.5, None, 0.25, None, None, None)
        ]
        assert ask("select * from predictions where split = 'test'").fetchall() == [
            (first.trial_id, "test", "a", [2], [0.5, 0.25, 0.25])
        ]
        assert ask("select * from cells where row = 'cnn' order by seed").fetchall() == [
            ("table5-lab", 5, "cnn", "DenseNet-121", "openclipart", spec.trial_id, spec.seed)
            for spec in (first, second)
        ]
        means = (
            "select row, count(status), avg(test_accuracy) from cells left join trials "
            "using (trial_id) group by row order by row"
        )
        assert ask(means).fetchall() == [
            ("bert", 0, None),
            ("cnn", 2, 0.625),
            ("me_bert-1-3", 0, None),
            ("me_cnn-1-4", 1, 0.25),
        ]


def test_rows_of_an_older_release_are_there(lab: Lab, plan: Plan) -> None:
    path = lab.results / "trials" / f"{plan.rows[0].specs[0].trial_id}.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["code", "data.view"]), path)
    with connect(lab.results, ["trials"]) as connection:
        found = connection.execute("select data_view, count(code) from trials group by all")
        assert found.fetchall() == [("fit", 2)]


@pytest.mark.parametrize(
    "sql",
    [
        "copy trials to '{file}'",
        "copy (select 1) to '{file}' (format parquet)",
        "attach '{file}'",
        "export database '{file}'",
        "select * from read_csv('{plan}')",
        "select * from read_text('{plan}')",
        "select * from '{trials}/*.parquet'",
        "install httpfs",
        "set enable_external_access = true",
        "reset python_enable_replacements",
        "set temp_directory = '{file}'",
    ],
)
def test_sql_reaches_no_file(lab: Lab, plan: Plan, tmp_path: Path, sql: str) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    asked = sql.format(
        file=tmp_path / "new",
        plan=lab.results / "plans/table5-lab.json",
        trials=lab.results / "trials",
    )
    with (
        connect(lab.results, ["trials"]) as connection,
        pytest.raises(duckdb.Error, match=r"disabled by configuration|locked"),
    ):
        connection.execute(asked)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_variables_of_this_program_are_no_tables(lab: Lab, plan: Plan) -> None:
    secret = pa.table({"a": [1]})
    with connect(lab.results, []) as connection, pytest.raises(duckdb.Error, match="not exist"):
        connection.execute("select * from secret")
    assert len(secret) == 1


def test_only_what_is_named_is_read(lab: Lab, plan: Plan) -> None:
    assert named_in("select * from Trials join cells using (trial_id)") == ["trials", "cells"]
    assert named_in("select train_epochs, my_trials from (select 1)") == []
    # Damaged predictions are nothing to a query on trials.
    (path,) = (lab.results / "predictions").glob("*.parquet")
    path.write_bytes(b"x")
    with connect(lab.results, ["trials"]) as connection:
        assert connection.execute("select count(*) from trials").fetchall() == [(3,)]
    with (
        connect(lab.results, ["predictions"]) as connection,
        pytest.raises(duckdb.Error, match=path.name),
    ):
        connection.execute("select count(labels) from predictions").fetchall()


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("trials", "no trials in .*: .*trials has no .parquet file"),
        ("epochs", "no epochs in .*: .*epochs has no .parquet file"),
        ("predictions", "no predictions in .*: .*predictions has no .parquet file"),
        ("cells", "no plans in .*: .*plans has no .json file"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, table: str, why: str) -> None:
    with pytest.raises(FileNotFoundError, match=why):
        connect(tmp_path, [table])


def test_a_damaged_trial_is_named(lab: Lab, plan: Plan) -> None:
    trial_id = plan.rows[0].specs[0].trial_id
    (lab.results / "trials" / f"{trial_id}.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match=f"{trial_id}.parquet is not a readable trial row"):
        connect(lab.results, ["trials"])
