"""What was asked for: found, or refused with what is legal; and the whole way to pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.figures.attention import write
from mi2p.attention import (
    PAPER_TWEETS,
    AttentionOptions,
    chosen_examples,
    chosen_plan,
    chosen_row,
    chosen_trial,
    chosen_units,
    main,
)
from mi2p.data.example import Dataset, Example
from mi2p.plan import Plan, PlanRow
from mi2p.spec import DataSpec, TrialSpec
from mi2p.store import Store, trial_row
from mi2p.trainable import Places, execute
from tests import tiny_models
from tests.planted import planted_xor, register
from tests.test_train import spec_of


def row(key: str, *specs: TrialSpec) -> PlanRow:
    return PlanRow(key=key, label=key.upper(), paper="", specs=specs)


def fusion() -> TrialSpec:
    spec = tiny_models.spec_of("me_fusion-concat")
    data = DataSpec(name="planted", image_size=64, max_tokens=12)
    return replace(spec, data=data, train=spec_of("cnn").train)


def a_plan(name: str = "table5-planted") -> Plan:
    rows = (
        row("bert", spec_of("bert")),
        row("me_bert-1-3", spec_of("me_bert"), spec_of("me_bert", seed=1)),
        row("me_cnn-1-3", spec_of("me_cnn")),
        row("me_feature_concat", fusion()),
    )
    return Plan(name=name, table=5, rows=rows)


def options(**changes: Any) -> AttentionOptions:
    return AttentionOptions(**({"row": "me_bert-1-3"} | changes))


def test_the_only_plan_needs_no_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none yet; run a sweep first"):
        chosen_plan(tmp_path, None)
    a_plan().write(tmp_path)
    assert chosen_plan(tmp_path, None) == a_plan()
    a_plan("table3-planted").write(tmp_path)
    assert chosen_plan(tmp_path, "table3-planted").name == "table3-planted"
    with pytest.raises(ValueError, match=r"--plan must .*: table3-planted, table5-planted$"):
        chosen_plan(tmp_path, None)
    with pytest.raises(FileNotFoundError, match="there: table3-planted, table5-planted"):
        chosen_plan(tmp_path, "table9")


def test_rows_with_units_are_listed() -> None:
    plan, told = a_plan(), "with units: me_bert-1-3, me_cnn-1-3, me_feature_concat"
    assert chosen_row(plan, "me_cnn-1-3") == plan.rows[2]
    with pytest.raises(ValueError, match=f"must have MI2P units, but bert has none; .*{told}"):
        chosen_row(plan, "bert")
    with pytest.raises(ValueError, match=f"--row: no row 'mine'.*{told}"):
        chosen_row(plan, "mine")
    with pytest.raises(ValueError, match="means 3"):
        chosen_row(plan, "me_*")


def test_a_row_on_several_data_sets_is_told_by_its_own() -> None:
    other = spec_of("me_bert")
    other = replace(other, data=replace(other.data, name="elsewhere"))
    plan = Plan(name="t", table=3, rows=(*a_plan().rows, row("me_bert-1-3", other)))
    with pytest.raises(ValueError, match=r"means 2; .*me_bert-1-3,dataset=elsewhere"):
        chosen_row(plan, "me_bert-1-3")
    assert chosen_row(plan, "me_bert-1-3,dataset=elsewhere").dataset == "elsewhere"


def test_a_trial_must_be_done(tmp_path: Path) -> None:
    store, own = Store(tmp_path), a_plan().rows[1]
    with pytest.raises(ValueError, match=r"seed 0\) must be done, but it has not run"):
        chosen_trial(store, own, None)
    store.write_trial(trial_row(own.specs[0], status="error", metrics={}, error="boom"))
    with pytest.raises(ValueError, match=r"but it ended in error; .*--seed of 0, 1$"):
        chosen_trial(store, own, None)
    store.write_trial(trial_row(own.specs[1], status="done", metrics={}))
    assert chosen_trial(store, own, 1) == own.specs[1]
    with pytest.raises(ValueError, match="--seed must be one of row me_bert-1-3, 0, 1, but got 7"):
        chosen_trial(store, own, 7)


def test_layers_and_heads_must_be_there() -> None:
    shown = chosen_units(spec_of("me_bert"), options(layers=(3, 1, 3), heads="3", channels=2))
    assert (shown.taps, shown.heads, shown.channels) == ((3, 1), "3", 2)
    with pytest.raises(ValueError, match=r"4 has none; there are: textual 1, 2, 3$"):
        chosen_units(spec_of("me_bert"), options(layers=(1, 4)))
    told = "visual 1, 2, 3, 4; textual 1, 2, 3$"
    with pytest.raises(ValueError, match=told):
        chosen_units(fusion(), options(layers=(5,)))
    for heads in ("4", "-1", "median", ""):
        with pytest.raises(ValueError, match="mean, max or a number from 0 to 3"):
            chosen_units(spec_of("me_bert"), options(heads=heads))


def dataset(name: str = "crisismmd_task2", count: int = 20) -> Dataset:
    examples = tuple(
        Example(id=f"{split}/{i}", image=Path("x.png"), text="a", labels=(0,), split=split)
        for split in ("train", "test")
        for i in range(count)
    )
    return Dataset(name=name, classes=("a",), multilabel=False, examples=examples)


def test_examples_are_evenly_spaced() -> None:
    def ids(count: int, **changes: Any) -> list[str]:
        return [e.id for e in chosen_examples(dataset(count=count), options(**changes))]

    assert ids(20) == ["test/3", "test/10", "test/16"]
    assert ids(2) == ["test/0", "test/1"]
    assert ids(20, split="train", number=1) == ["train/10"]
    assert ids(20, examples=("test/3", "train/2", "test/3")) == ["test/3", "train/2"]


def test_tweets_of_the_paper() -> None:
    tweets = tuple(
        Example(id=tweet, image=Path("x.png"), text="a", labels=(0,), split="train")
        for tweet in PAPER_TWEETS
    )
    first = replace(dataset("crisismmd_task1"), examples=tweets)
    assert tuple(chosen_examples(first, options(examples=("paper",)))) == tweets
    with pytest.raises(ValueError, match=r"Figure 3 that is in crisismmd_task1 \(train\) and"):
        chosen_examples(dataset(), options(examples=("paper",)))
    with pytest.raises(ValueError, match="it has no 'mine'; ids are such as test/0, test/1"):
        chosen_examples(dataset(), options(examples=("mine",)))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"number": 0}, "--number must be >= 1"), ({"channels": 0}, "--channels must be >= 1")],
)
def test_numbers_have_a_least_value(change: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        options(**change)


def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *specs: TrialSpec) -> AttentionOptions:
    """A finished sweep of `a_plan`; the options to look into it."""
    register(monkeypatch, "planted", planted_xor(tmp_path / "planted", count=96))
    places = Places(
        results=str(tmp_path / "results"),
        cache=str(tmp_path / "cache"),
        data=str(tmp_path),
        weights=None,
        keep_weights=True,
    )
    for spec in specs:
        execute(spec, "x", places, lambda record: None)
    a_plan().write(tmp_path / "results")
    return options(results=tmp_path / "results", cache=tmp_path / "cache", device="cpu")


def ended(asked: AttentionOptions) -> object:
    with pytest.raises(SystemExit) as end:
        main(asked, write)
    return end.value.code


def test_from_a_trial_to_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = fusion()
    asked = replace(sweep(tmp_path, monkeypatch, spec), row="me_feature_concat", number=1)
    assert ended(asked) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "every bit" in told and "visual-4: entropy 0." in told and "label: " in told
    folder = tmp_path / "results" / "attention" / spec.trial_id
    (kept,) = folder.glob("*.npz")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    pictures = [
        f"-{place}{what}.{ending}"
        for place in ("textual-3", "visual-4")
        for what in ("", "-all")
        for ending in ("pdf", "png")
    ]
    ends = [*pictures, ".csv", ".npz", ".txt"]
    assert first.keys() == {f"{kept.stem}{end}" for end in ends}

    with np.load(kept) as arrays:
        about, word_of = json.loads(str(arrays["about"])), arrays["word_of"]
        assert (about["trial_id"], about["split"]) == (spec.trial_id, "test")
        assert arrays["picture"].shape == (64, 64, 3)
        for name in arrays.files:
            if name.startswith("weights."):
                assert len(word_of) in arrays[name].shape[1:]
                assert np.allclose(arrays[name].sum(-1), 1, atol=1e-5)
        probabilities = arrays["probabilities"]
    # As the trial predicted, though the example was in a batch there.
    test = Store(tmp_path / "results").predictions(spec.trial_id, lambda t: t.to_pylist())
    (theirs,) = (p["probabilities"] for p in test if p["example_id"] == about["example"])
    assert np.allclose(probabilities, theirs, atol=1e-5)
    with (folder / f"{kept.stem}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(r["backbone"], r["tap"]) for r in rows} == {
        *(("visual", str(tap)) for tap in (1, 2, 3, 4)),
        *(("textual", str(tap)) for tap in (1, 2, 3)),
    }

    assert ended(asked) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first

    # Words are drawn in the texts that have them.
    with np.load(kept) as arrays:
        word = str(json.loads(str(arrays["about"]))["text"].split()[0])
    assert ended(replace(asked, number=3, words=(word,))) == 0
    found = {path.stem: json.loads(str(np.load(path)["about"])) for path in folder.glob("*.npz")}
    assert len(found) == 3 and found[kept.stem]["shown"]["words"] == [word]
    for about in found.values():
        has = word.lower() in about["text"].lower().split()
        assert about["shown"]["words"] == [word] * has


def test_errors_end_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = sweep(tmp_path, monkeypatch, spec_of("me_bert"))
    for wrong, said in (
        (replace(asked, row="bert"), "bert has none"),
        (replace(asked, seed=1), "it has not run"),
        (replace(asked, examples=("nowhere",)), "it has no 'nowhere'"),
        (replace(asked, words=("nowhere",)), "'nowhere' is in none: "),
    ):
        assert ended(wrong) == 1
        assert said in " ".join(capsys.readouterr().out.split())
    assert not (asked.results / "attention").exists()  # a report would stumble over it
