"""Plans: each trial once, and what is written is what is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mi2p.plan import Plan, PlanRow, read_plan
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec

CNN = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="densenet121"),
    train=TrainSpec(lr=1e-4, epochs=3),
)
ME_CNN = replace(
    CNN,
    model=ModelSpec(
        name="me_cnn", visual="densenet121", textual="minilm", units=UnitSpec(attach=(1, 2))
    ),
)


def row(key: str, *specs: TrialSpec) -> PlanRow:
    return PlanRow(key=key, label=f"{key} + MI2P{{1-4}}", paper="DenseNet", specs=specs)


def seeds(spec: TrialSpec, *numbers: int) -> list[TrialSpec]:
    return [replace(spec, seed=number) for number in numbers]


PLAN = Plan(
    name="table5-toy",
    table=5,
    rows=(
        row("cnn", *seeds(CNN, 0, 1)),
        row("me_cnn", *seeds(ME_CNN, 0, 1)),
        row("shared", *seeds(CNN, 1, 2)),
    ),
)


def test_specs_come_once_and_in_order() -> None:
    # Two rows may share a trial: it runs once.
    assert list(PLAN.specs()) == [*seeds(CNN, 0, 1), *seeds(ME_CNN, 0, 1), *seeds(CNN, 2)]


def test_a_plan_knows_its_data_sets_and_the_rows_of_each_method() -> None:
    def on(name: str, spec: TrialSpec) -> TrialSpec:
        return replace(spec, data=replace(spec.data, name=name))

    names = ("mmimdb", "food101")
    several = replace(
        PLAN,
        rows=tuple(
            row(key, on(name, spec))
            for name in names
            for key, spec in (("cnn", CNN), ("me_cnn", ME_CNN))
        ),
    )
    assert PLAN.datasets == ("openclipart",)
    assert several.datasets == names
    assert [r.dataset for r in several.methods["me_cnn"]] == list(names)
    assert list(several.methods) == ["cnn", "me_cnn"]
    assert {r.key for r in several.methods["cnn"]} == {"cnn"}


def test_plans_of_older_versions_are_read(tmp_path: Path) -> None:
    # They named the one data set that a plan had, beside the specs that do.
    path = PLAN.write(tmp_path)
    older = {**json.loads(path.read_text()), "dataset": "openclipart"}
    path.write_text(json.dumps(older))
    assert read_plan(path) == PLAN


def test_round_trip(tmp_path: Path) -> None:
    path = PLAN.write(tmp_path)
    assert path == tmp_path / "plans" / "table5-toy.json"
    assert read_plan(path) == PLAN
    assert list(path.parent.iterdir()) == [path]  # nothing half-written is left


def test_the_file_names_trials_by_their_ids(tmp_path: Path) -> None:
    plain = json.loads(PLAN.write(tmp_path).read_text())
    assert list(plain["rows"][0]["trials"]) == [spec.trial_id for spec in seeds(CNN, 0, 1)]


def test_writing_again_replaces(tmp_path: Path) -> None:
    PLAN.write(tmp_path)
    shorter = replace(PLAN, rows=PLAN.rows[:1])
    assert read_plan(shorter.write(tmp_path)) == shorter


def test_a_failed_write_keeps_the_old_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = PLAN.write(tmp_path)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        replace(PLAN, rows=()).write(tmp_path)
    assert read_plan(path) == PLAN


def test_an_unknown_plan_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no plan 'x' in .*; there: none yet; run a sweep"
    ):
        read_plan(tmp_path / "plans" / "x.json")
    PLAN.write(tmp_path)
    replace(PLAN, name="other").write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no plan 'x' in .*; there: other, table5-toy"):
        read_plan(tmp_path / "plans" / "x.json")


def test_a_plan_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    # Its trials cannot be understood, so its table must not be made of what is understood.
    path = PLAN.write(tmp_path)
    path.write_text(path.read_text().replace('"batch_size"', '"batch"', 1))
    with pytest.raises(ValueError, match="unknown field 'batch' in TrainSpec; known: lr"):
        read_plan(path)
