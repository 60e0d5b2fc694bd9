"""Score Fusion without training: what it is made of, and when it cannot be made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from mi2p import averages
from mi2p.averages import average, can_be_made, loss, with_parts
from mi2p.failures import record_error
from mi2p.metrics import score, tuned_scores
from mi2p.options import SweepOptions, data_spec
from mi2p.plan import Plan, PlanRow
from mi2p.spec import FusionSpec, ModelSpec, TrialSpec
from mi2p.store import Store, load, load_predictions, trial_row
from mi2p.table_rows import make_row

FUSION = FusionSpec(kind="score", joint_loss="branches")
MODELS = {
    "cnn": ModelSpec(name="cnn", visual="densenet121"),
    "bert": ModelSpec(name="bert", textual="minilm"),
    "both": ModelSpec(name="fusion", visual="densenet121", textual="minilm", fusion=FUSION),
}
SIZES = {"val": 20, "test": 30}
ENVIRONMENT = {
    "data_fingerprint": "f00d",
    "weights": "w1",
    "device": "cpu",
    "precision": "float32",
    "torch_version": "2.15.0",
    "parameters": 1000,
    "added_parameters": 10,
    "images_left_out": 1,
    "seconds": 7.0,
}


def declared(seeds: Sequence[int] = (0,), dataset: str = "openclipart") -> Plan:
    """A plan of a CNN, a BERT and what averages them."""
    options = SweepOptions(dataset=dataset, seeds=tuple(seeds))
    rows: dict[str, PlanRow] = {}
    for key, model in MODELS.items():
        parts = (rows["cnn"], rows["bert"]) if key == "both" else ()
        rows[key] = make_row(
            options, data_spec(options), model, key=key, label=key, averages=parts
        )
    return Plan(name="table3-toy", table=3, rows=tuple(rows.values()))


@dataclass
class Lab:
    """A results folder in which trials are written as if they had been trained."""

    store: Store
    plan: Plan
    multilabel: bool = False

    def spec(self, key: str) -> TrialSpec:
        return self.plan.methods[key][0].specs[0]

    def predictions(self, seed: int, num_classes: int = 3) -> list[dict[str, Any]]:
        """Made-up predictions; labels do not depend on `seed`, probabilities do."""
        truth, rng = np.random.default_rng(99), np.random.default_rng(seed)
        rows: list[dict[str, Any]] = []
        for split, count in SIZES.items():
            for number in range(count):
                scores = rng.normal(size=num_classes)
                p = 1 / (1 + np.exp(-scores))
                held = truth.integers(0, 2, num_classes).nonzero()[0].tolist()
                rows.append(
                    {
                        "split": split,
                        "example_id": f"{split}-{number}",
                        "labels": held if self.multilabel else [int(truth.integers(num_classes))],
                        "probabilities": (p if self.multilabel else p / p.sum()).tolist(),
                    }
                )
        return rows

    def train(self, key: str, rows: list[dict[str, Any]] | None = None, **changed: Any) -> None:
        spec = self.spec(key)
        rows = self.predictions(len(key)) if rows is None else rows
        metrics = {"val/micro_f1": 0.5} if self.multilabel else {"val/accuracy": 0.5}
        self.store.write_predictions(spec.trial_id, rows)
        environment = ENVIRONMENT | changed
        self.store.write_trial(
            trial_row(spec, status="done", metrics=metrics, environment=environment, best_epoch=2)
        )

    def average(self) -> list[dict[str, Any]]:
        return [row for _, row in average(self.store, self.plan.specs())]

    def kept(self, key: str) -> pd.DataFrame:
        everything = load_predictions(self.store.folder)
        return everything[everything["trial_id"] == self.spec(key).trial_id]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(Store(tmp_path), declared())


@pytest.mark.parametrize("multilabel", [False, True])
def test_predictions_are_the_mean_of_both_and_metrics_are_of_these(
    lab: Lab, multilabel: bool
) -> None:
    lab.multilabel = multilabel
    cnn, bert = lab.predictions(1), lab.predictions(2)
    lab.train("cnn", cnn)
    lab.train("bert", bert)
    (row,) = lab.average()
    kept = lab.kept("both")
    assert kept["split"].tolist() == ["val"] * 20 + ["test"] * 30
    for found, one, other in zip(kept.to_dict("records"), cnn, bert, strict=True):
        assert found["example_id"] == one["example_id"]
        assert found["labels"].tolist() == one["labels"]
        pairs = zip(one["probabilities"], other["probabilities"], strict=True)
        assert found["probabilities"] == pytest.approx([(a + b) / 2 for a, b in pairs], abs=1e-7)

    of_split = {}
    for split, part in kept.groupby("split"):
        probabilities = np.stack(part["probabilities"].tolist())
        if multilabel:
            labels = np.array([[k in held for k in range(3)] for held in part["labels"]], np.int64)
        else:
            labels = np.concatenate(part["labels"].tolist())
        of_split[split] = probabilities, labels
        for name, value in score(probabilities, labels, multilabel=multilabel).items():
            assert row[f"{split}/{name}"] == value
        given = torch.from_numpy(probabilities).double()
        if multilabel:
            expected = F.binary_cross_entropy(given, torch.from_numpy(labels).double())
        else:
            expected = F.nll_loss(given.log(), torch.from_numpy(labels).long())
        assert row[f"{split}/loss"] == pytest.approx(expected.item(), rel=1e-12)
    if multilabel:
        assert row["test/accuracy"] is None
        for name, value in tuned_scores(of_split["val"], of_split["test"]).items():
            assert row[name] == value
    else:
        assert row["val/threshold"] is None


def test_the_row_is_that_of_a_trial(lab: Lab) -> None:
    lab.train("cnn")
    lab.train("bert", weights="w2", parameters=2000, added_parameters=20, device="NVIDIA T4")
    (row,) = lab.average()
    spec = lab.spec("both")
    assert lab.store.trial(spec.trial_id) == row
    assert TrialSpec.from_dict(json.loads(row["spec"])) == spec
    assert (row["status"], row["stage"], row["error"]) == ("done", "confirm", None)
    assert (row["parameters"], row["added_parameters"]) == (3000, 30)
    assert row["weights"] == "w1 w2"
    assert (row["data_fingerprint"], row["precision"], row["torch_version"]) == (
        "f00d",
        "float32",
        "2.15.0",
    )
    assert row["images_left_out"] == 1
    # On two devices, so on none; not trained, so without a best epoch and at no cost.
    assert (row["device"], row["best_epoch"], row["seconds"]) == (None, None, 0)
    assert len(load(lab.store.folder)) == 3


def test_columns_that_older_rows_lack_stay_empty(lab: Lab) -> None:
    lab.train("cnn", images_left_out=None, parameters=None, weights=None)
    lab.train("bert")
    (row,) = lab.average()
    assert row["status"] == "done"
    assert (row["images_left_out"], row["parameters"], row["weights"]) == (None, None, None)


def test_nothing_is_made_until_both_parts_are_over_nor_twice(lab: Lab) -> None:
    assert lab.average() == [] and not can_be_made(lab.store, lab.spec("both"))
    lab.train("cnn")
    assert lab.average() == [] and not can_be_made(lab.store, lab.spec("both"))
    lab.train("bert")
    assert can_be_made(lab.store, lab.spec("both"))
    assert not can_be_made(lab.store, lab.spec("cnn"))
    assert len(lab.average()) == 1
    before = (lab.store.folder / "trials" / f"{lab.spec('both').trial_id}.parquet").stat()
    assert lab.average() == []
    after = (lab.store.folder / "trials" / f"{lab.spec('both').trial_id}.parquet").stat()
    assert before.st_mtime_ns == after.st_mtime_ns


def test_a_kill_before_the_row_leaves_none_and_the_next_time_makes_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.train("cnn")
    lab.train("bert")

    def killed(row: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(lab.store, "write_trial", killed)
        lab.average()
    assert not lab.kept("both").empty  # predictions first, the row last
    assert lab.store.trial(lab.spec("both").trial_id) is None
    assert [row["status"] for row in lab.average()] == ["done"]


def test_an_average_fails_with_a_part_and_is_made_when_the_part_is(lab: Lab) -> None:
    lab.train("cnn")
    record_error(lab.store, lab.spec("bert"), FloatingPointError("loss is nan"), {})
    (row,) = lab.average()
    assert row["status"] == "error"
    assert row["error"] == (
        f"ValueError: it averages trial {lab.spec('bert').trial_id}, which is not done: "
        "FloatingPointError: loss is nan"
    )
    assert (lab.store.folder / "errors" / f"{lab.spec('both').trial_id}.txt").exists()
    assert not can_be_made(lab.store, lab.spec("both"))
    lab.train("bert")
    assert can_be_made(lab.store, lab.spec("both"))  # though it has failed before
    lab.store.discard_error(lab.spec("both").trial_id)
    assert [row["status"] for row in lab.average()] == ["done"]


def test_a_part_that_was_pruned_has_no_predictions_of_test(lab: Lab) -> None:
    lab.train("cnn")
    lab.store.write_trial(trial_row(lab.spec("bert"), status="pruned", metrics={}))
    (row,) = lab.average()
    assert row["error"].endswith(f"{lab.spec('bert').trial_id}, which is not done: pruned")


def spoilt(rows: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    if what == "missing":
        return rows[:-1]
    if what == "order":
        return [rows[1], rows[0], *rows[2:]]
    changed = {"split": "train", "labels": [(rows[4]["labels"][0] + 1) % 3]}
    return [*rows[:4], {**rows[4], what: changed[what]}, *rows[5:]]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "the same examples, but {cnn} has 50 and {bert} has 49"),
        ("order", "but the example_id of number 0 is 'val-0' in {cnn} and 'val-1' in {bert}"),
        ("split", "but the split of number 4 is 'val' in {cnn} and 'train' in {bert}"),
        ("labels", "but the labels of number 4 is "),
    ],
)
def test_other_examples_are_not_averaged(lab: Lab, what: str, message: str) -> None:
    lab.train("cnn", lab.predictions(1))
    lab.train("bert", spoilt(lab.predictions(2), what))
    (row,) = lab.average()
    ids = {key: lab.spec(key).trial_id for key in ("cnn", "bert")}
    assert row["status"] == "error"
    assert message.format(**ids) in row["error"]
    assert lab.kept("both").empty


def test_other_data_are_not_averaged(lab: Lab) -> None:
    lab.train("cnn")
    lab.train("bert", data_fingerprint="beef")
    (row,) = lab.average()
    assert "must have seen the same data" in row["error"]
    assert "f00d" in row["error"] and "beef" in row["error"]


def test_predictions_that_were_deleted_are_named(lab: Lab) -> None:
    lab.train("cnn")
    lab.train("bert")
    lost = lab.spec("cnn").trial_id
    (lab.store.folder / "predictions" / f"{lost}.parquet").unlink()
    (row,) = lab.average()
    assert row["status"] == "error"
    assert f"trial {lost} is done, but its predictions are not in" in row["error"]


def test_a_row_brings_the_parts_that_it_averages(lab: Lab) -> None:
    plan = declared((0, 1))
    cnn, bert, both = plan.rows
    wanted = with_parts(plan, [both])
    assert list(wanted) == [
        s.trial_id for n in (0, 1) for s in (cnn.specs[n], bert.specs[n], both.specs[n])
    ]
    assert all(spec.trial_id == key for key, spec in wanted.items())
    assert list(with_parts(plan, [cnn]).values()) == list(cnn.specs)
    assert len(with_parts(plan, plan.rows)) == 6


def test_a_plan_must_train_what_it_averages() -> None:
    plan = declared()
    cnn, bert, both = plan.rows
    without = replace(plan, rows=(cnn, both))
    with pytest.raises(
        ValueError,
        match=rf"row 'both' of plan 'table3-toy' must average trials .* {bert.specs[0].trial_id}",
    ):
        with_parts(without, [both])
    again = replace(both.specs[0], averages=(cnn.specs[0].trial_id, both.specs[0].trial_id))
    twice = replace(both, key="twice", specs=(again,))
    with pytest.raises(
        ValueError, match=r"row 'twice' .* must average trials that the plan trains"
    ):
        with_parts(replace(plan, rows=(*plan.rows, twice)), [twice])


def test_a_loss_of_certain_and_wrong_probabilities_is_finite() -> None:
    # As torch cuts the logarithm of a probability.
    p, labels = torch.tensor([[1.0, 0.0], [0.25, 0.75]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    several = loss(p.numpy(), labels.long().numpy())
    assert several == pytest.approx(F.binary_cross_entropy(p, labels).item())
    assert loss(p.numpy(), np.array([1, 1])) == pytest.approx((100 - np.log(0.75)) / 2)
    assert averages.LEAST_LOG == -100


def test_an_average_is_made_again_of_parts_that_were_run_again(lab: Lab) -> None:
    lab.train("cnn")
    lab.train("bert")
    (first,) = lab.average()
    assert lab.average() == []  # of the same predictions there is one already
    lab.train("cnn", lab.predictions(5))
    (second,) = lab.average()
    assert second["trial_id"] == first["trial_id"]
    assert second["averages"] != first["averages"]
    ids = lab.spec("both").averages
    assert [part.partition("@")[0] for part in second["averages"].split()] == list(ids)
    expected = (
        lab.predictions(5)[0]["probabilities"][0] + lab.predictions(4)[0]["probabilities"][0]
    )
    assert lab.kept("both")["probabilities"].iloc[0][0] == pytest.approx(expected / 2, abs=1e-7)
    record_error(lab.store, lab.spec("cnn"), "out of memory", {})
    (third,) = lab.average()
    assert third["status"] == "error"


def test_the_code_of_an_average_is_that_of_its_parts(lab: Lab) -> None:
    lab.train("cnn", code_version="0.0.1")
    lab.train("bert", code_version="0.0.1")
    (row,) = lab.average()
    assert row["code_version"] == "0.0.1"
    lab.train("bert", lab.predictions(6), code_version="0.0.2")
    (row,) = lab.average()
    assert row["code_version"] is None


def test_damaged_predictions_of_a_part_say_what_to_delete(lab: Lab) -> None:
    lab.train("cnn")
    lab.train("bert")
    path = lab.store.folder / "predictions" / f"{lab.spec('cnn').trial_id}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    (row,) = lab.average()
    assert row["status"] == "error"
    assert str(path) in row["error"] and f"delete it and trials/{path.name}" in row["error"]
