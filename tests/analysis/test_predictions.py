from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.cells import select
from analysis.predictions import of_rows, read
from mi2p.store import Store, load

SURE = {0: [0.9, 0.1], 1: [0.1, 0.9]}


def keep(
    lab: Any, trial_id: str, said: Sequence[int], labels: Sequence[int], order: Sequence[int] = ()
) -> None:
    """Predictions of classes for examples e0, e1, ...; stored in another order if asked for."""
    rows = [
        {
            "split": "test",
            "example_id": f"e{i}",
            "labels": [labels[i]],
            "probabilities": SURE[said[i]],
        }
        for i in order or range(len(said))
    ]
    val = {"split": "val", "example_id": "e0", "labels": [0], "probabilities": SURE[1]}
    Store(lab.results).write_predictions(trial_id, [val, *rows])


def finished(lab: Any, **kept: Sequence[int]) -> list[Any]:
    """The rows cnn and bert with seeds 0, 1; predictions of those in `kept`, such as cnn0."""
    plan = lab.plan(seeds=(0, 1))
    for row in plan.rows:
        for spec in row.specs:
            lab.trial(spec, {})
            if f"{row.key}{spec.seed}" in kept:
                keep(lab, spec.trial_id, kept[f"{row.key}{spec.seed}"], [0, 1, 1])
    return [row for row in select(plan, load(lab.results)) if row.row.key in ("cnn", "bert")]


def test_what_is_right_by_seed(lab: Any) -> None:
    rows = finished(lab, cnn0=[0, 1, 1], cnn1=[1, 1, 0], bert0=[0, 0, 0], bert1=[1, 1, 1])
    found = of_rows(lab.results, rows, multilabel=False)
    assert {key: answers.wrong.tolist() for key, answers in found.items()} == {
        "cnn": [[0, 0, 0], [2, 0, 2]],
        "bert": [[0, 2, 2], [2, 0, 0]],
    }
    assert found["cnn"].seeds == (0, 1)


def test_a_trial_without_predictions_and_one_that_failed_are_left_out(lab: Any) -> None:
    rows = finished(lab, cnn1=[0, 1, 1])
    assert {key: a.seeds for key, a in of_rows(lab.results, rows, multilabel=False).items()} == {
        "cnn": (1,)
    }
    plan = lab.plan(seeds=(0, 1))
    lab.trial(plan.rows[0].specs[1], {}, status="error")
    failed = [row for row in select(plan, load(lab.results)) if row.row.key == "cnn"]
    assert of_rows(lab.results, failed, multilabel=False) == {}


def test_examples_are_matched_by_their_ids(lab: Any) -> None:
    rows = finished(lab, cnn0=[0, 1, 1], bert0=[0, 0, 1])
    bert = rows[1].finished["trial_id"][0]
    before = of_rows(lab.results, rows, multilabel=False)["bert"].wrong
    keep(lab, bert, [0, 0, 1], [0, 1, 1], order=(2, 0, 1))
    assert of_rows(lab.results, rows, multilabel=False)["bert"].wrong.tolist() == before.tolist()


@pytest.mark.parametrize(
    ("said", "labels", "what"),
    [([0, 1], [0, 1], "examples"), ([0, 1, 1], [0, 1, 0], "labels")],
)
def test_other_examples_or_labels_are_refused(
    lab: Any, said: list[int], labels: list[int], what: str
) -> None:
    rows = finished(lab, cnn0=[0, 1, 1], bert0=[0, 0, 1])
    keep(lab, rows[1].finished["trial_id"][0], said, labels)
    with pytest.raises(ValueError, match=f"the same test {what}, but those of .* differ"):
        of_rows(lab.results, rows, multilabel=False)


def test_metrics_that_their_predictions_do_not_give_are_refused(lab: Any) -> None:
    plan = lab.plan(seeds=(0, 1))
    keep(lab, plan.rows[0].specs[0].trial_id, [0, 1, 0, 1], [0, 1, 1, 1])
    # Of four examples three are right; of class 0 one and one too many, of class 1 two of three.
    known = {
        "accuracy": 0.75,
        "macro_f1": (2 / 3 + 4 / 5) / 2,
        "weighted_f1": (2 / 3 + 12 / 5) / 4,
    }

    def found() -> Any:
        return of_rows(lab.results, select(plan, load(lab.results)), multilabel=False)

    lab.trial(plan.rows[0].specs[0], known)
    assert found()["cnn"].seeds == (0,)
    for name in known:
        lab.trial(plan.rows[0].specs[0], known | {name: known[name] + 1e-5})
        with pytest.raises(ValueError, match=f"metrics of their trial, .* give test/{name} "):
            found()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite_are_refused(
    lab: Any, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SURE, 1, [0.1, value])
    keep(lab, "x", [0, 1], [0, 1])
    with pytest.raises(ValueError, match="probabilities are not finite"):
        read(lab.results, "x", multilabel=False)


def test_an_example_that_is_there_twice_is_refused(lab: Any) -> None:
    keep(lab, "x", [0, 1], [0, 1], order=(0, 1, 1))
    with pytest.raises(ValueError, match=r"has 'e1' several times"):
        read(lab.results, "x", multilabel=False)


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "text":
        path.write_bytes(b"not a table")
    elif how == "no rows":
        Store(path.parents[1]).write_predictions(path.stem, [])
    elif how == "other columns":
        pq.write_table(pa.table({"split": ["test"]}), path)
    elif how == "overwritten":
        path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    else:
        path.write_bytes(whole[: len(whole) * int(how) // 100])


@pytest.mark.parametrize(
    "how", ["0", "10", "50", "99", "text", "no rows", "other columns", "overwritten"]
)
def test_a_damaged_file_is_named_with_what_to_do(lab: Any, how: str) -> None:
    keep(lab, "x", [0, 1] * 50, [0, 1] * 50)
    path = lab.results / "predictions" / "x.parquet"
    damage(path, how)
    with pytest.raises(
        ValueError,
        match=r"x\.parquet is not readable .*; delete it and trials.x\.parquet, and run the sweep",
    ):
        read(lab.results, "x", multilabel=False)


def test_several_labels_are_indicators(tmp_path: Path) -> None:
    rows = [
        {"split": "test", "example_id": name, "labels": labels, "probabilities": [0.1, 0.6, 0.9]}
        for name, labels in (("b", [0, 2]), ("a", []), ("c", [1]))
    ]
    Store(tmp_path).write_predictions("x", rows)
    found = read(tmp_path, "x", multilabel=True)
    assert found is not None
    assert found.examples == ("a", "b", "c")
    assert found.labels.tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(found.probabilities, [[0.1, 0.6, 0.9]] * 3, rtol=1e-6)
    assert read(tmp_path, "y", multilabel=True) is None
