"""What is printed, in which form, and what is said when it cannot be."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analysis import query
from analysis.query import EXAMPLES, FORMATS, main
from mi2p.plan import Plan
from mi2p.store import Store
from tests.analysis.conftest import Lab

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(lab: Lab) -> Plan:
    made = lab.plan((0, 1))
    lab.fill(made.rows[0], [0.5, 0.75])
    lab.fill(made.rows[1], [0.25])
    lab.trial(made.rows[1].specs[1], {}, status="error")
    made.write(lab.results)
    rows = [
        {"split": "test", "example_id": "a", "labels": [0], "probabilities": [0.25, 0.75]},
        {"split": "test", "example_id": "b", "labels": [1], "probabilities": [0.25, 0.75]},
    ]
    Store(lab.results).write_predictions(made.rows[0].specs[0].trial_id, rows)
    return made


def printed(heads: list[str], rows: list[tuple[Any, ...]], kind: str) -> str:
    out = io.StringIO()
    FORMATS[kind](heads, iter(rows), out)
    return out.getvalue()


def test_a_table_is_aligned(lab: Lab, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    sql = (
        "select label, count(*) as n, avg(test_accuracy) as accuracy from cells join trials "
        "using (trial_id) where status = 'done' group by label order by label"
    )
    main([str(lab.results), sql])
    assert capsys.readouterr().out == (
        "label                     n  accuracy\n"
        "------------------------  -  --------\n"
        "DenseNet-121              2     0.625\n"
        "DenseNet-121 + MI2P{1-4}  1      0.25\n"
        "(2 rows)\n"
    )


def test_long_texts_are_cut_and_nulls_are_empty() -> None:
    rows = [("x" * 61, None), ("y\n z", [0.123456789, None]), ("", 2)]
    head, _, cut, joined, empty, count = printed(["text", "b"], rows, "table").splitlines()
    assert head == f"{'text':60}  {'b':>12}"
    assert cut == "x" * 59 + "…"
    assert joined == f"{'y z':60}  [0.123457, ]"
    assert empty.split() == ["2"]
    assert count == "(3 rows)"
    assert printed(["a"], [(1,)], "table").endswith("(1 row)\n")
    assert printed(["a"], [], "table") == "a\n-\n(0 rows)\n"


def test_a_table_of_many_rows_says_that_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MOST", 2)
    rows: list[tuple[Any, ...]] = [(1,), (2,), (3,)]
    assert printed(["a"], rows, "table") == (
        "a\n-\n1\n2\n(the first 2 rows; --format csv prints all)\n"
    )
    assert printed(["a"], rows[:2], "table").endswith("(2 rows)\n")
    assert printed(["a"], rows, "csv") == "a\n1\n2\n3\n"


def test_csv_has_everything() -> None:
    rows = [("x" * 99, 1 / 3, [0.5, None], None), ('a,"b', 2, [], "\n")]
    text = printed(list("abcd"), rows, "csv")
    assert list(csv.reader(io.StringIO(text))) == [
        list("abcd"),
        ["x" * 99, repr(1 / 3), "[0.5, null]", ""],
        ['a,"b', "2", "[]", "\n"],
    ]


def test_json_is_json() -> None:
    rows = [
        (1, 0.5, float("nan"), [float("inf"), 1.5], {"k": Decimal("0.25")}),
        ("é", True, None, [], date(2022, 6, 1)),
    ]
    text = printed(list("abcde"), rows, "json")
    assert json.loads(text) == [
        {"a": 1, "b": 0.5, "c": None, "d": [None, 1.5], "e": {"k": 0.25}},
        {"a": "é", "b": True, "c": None, "d": [], "e": "2022-06-01"},
    ]
    assert len(text.splitlines()) == 4
    assert json.loads(printed(["a"], [], "json")) == []
    with pytest.raises(ValueError, match="different names in JSON, but got a, a"):
        printed(["a", "a"], [(1, 2)], "json")


def test_the_overview_tells_what_there_is(
    lab: Lab, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(lab.results)])
    text = capsys.readouterr().out
    assert text.startswith(
        "trials       4: 3 done, 1 error\n"
        "epochs       of 0 trials\n"
        "predictions  of 1 trials\n"
        "cells        of table5-lab\n"
    )
    assert text.count(f"python analysis/query.py {lab.results} ") == len(EXAMPLES) == 3


def test_the_examples_answer_what_they_say(
    lab: Lab, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for sql in EXAMPLES.values():
        main([str(lab.results), sql.format(plan=plan.name), "--format", "csv"])
        found.append(list(csv.reader(io.StringIO(capsys.readouterr().out)))[1:])
    best, wrong, missing = found
    assert [row[:3] for row in best] == [["cnn", "2", "0.625"], ["me_cnn-1-4", "1", "0.25"]]
    assert wrong == [["a", "0", "1"]]
    assert missing == [
        ["table5-lab", "bert", "0", "not run", ""],
        ["table5-lab", "bert", "1", "not run", ""],
        ["table5-lab", "me_bert-1-3", "0", "not run", ""],
        ["table5-lab", "me_bert-1-3", "1", "not run", ""],
        ["table5-lab", "me_cnn-1-4", "1", "error", "boom"],
    ]


def test_the_schema_lists_tables_and_columns(capsys: pytest.CaptureFixture[str]) -> None:
    main(["anywhere", "--schema"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "trials: a row per trial",
        "epochs: a row per epoch of a trial",
        "predictions: a row per example that a trial predicted",
        "cells: a row per trial that a row of a plan wants",
    ]
    (accuracy,) = (line.split() for line in lines if line.startswith("  test_accuracy "))
    assert accuracy == ["test_accuracy", "double", "Accuracy", "on", "the", "test", "split."]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("selec 1", 'error: Parser Error: syntax error at or near "selec"'),
        ("select nope from trials", "error: Binder Error: .*nope"),
        ("select * from nowhere", "error: Catalog Error: .*nowhere"),
        ("select * from epochs", "error: no epochs in .*"),
        ("copy trials to 'x.csv'", "error: Permission Error: .*disabled by configuration"),
    ],
)
def test_what_cannot_be_answered_is_no_traceback(lab: Lab, plan: Plan, sql: str, why: str) -> None:
    with pytest.raises(SystemExit, match=why):
        main([str(lab.results), sql])


def test_a_wrong_or_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"results folder, which a sweep has written, but .*nope"):
        main([str(tmp_path / "nope"), "select 1"])
    with pytest.raises(SystemExit, match=r"no trials in .*trials has no .parquet file"):
        main([str(tmp_path)])


def test_a_reader_that_has_enough_ends_it(lab: Lab, plan: Plan) -> None:
    command = [sys.executable, str(ROOT / "analysis/query.py"), str(lab.results)]
    sql = "select range from range(1000000)"
    with subprocess.Popen(
        [*command, sql, "--format", "csv"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "range\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
