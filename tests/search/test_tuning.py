"""Searches through Ray, as a user types them: tuned, confirmed, killed, out of time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mi2p.ground import Ground
from mi2p.options import SEARCH_SEED, SweepOptions
from mi2p.plan import Plan, read_plan
from mi2p.search import tuning
from mi2p.search.rounds import Search
from mi2p.search.storage import open_storage
from mi2p.search.tuning import rows_to_search, run_again, search_base, search_name, with_kept
from mi2p.spec import TrialSpec
from mi2p.store import Store, load
from sweeps import ablation_layers, compare_crisismmd
from tests.search.test_rounds import SPACES
from tests.toy_search import Runner, ToySpace, open_row, toy_plan, toy_row

ROOT = Path(__file__).parents[2]
NAME = "table5-openclipart-tiny_densenet-tiny_bert-set-data.limit-60-search4"
ROWS, SEEDS, BUDGET = ("cnn", "me_cnn-1"), ("0", "1"), 4


def command(drawings: Path, folder: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, str(ROOT / "sweeps/ablation_layers.py"), "--yes", "--epochs", "2"),
        *("--visual", "tiny_densenet", "--textual", "tiny_bert", "--data", str(drawings)),
        *("--set", "data.limit=60", "--rows", *ROWS, "--seeds", *SEEDS, "--search", str(BUDGET)),
        *("--results", str(folder / "results"), "--cache", str(folder / "cache"), *more),
    ]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=400)


def rows_on_disk(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "results/trials").glob("*.parquet")}


def studies(folder: Path) -> dict[str, list[FrozenTrial]]:
    storage = open_storage(None, folder / "results")
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage).trials for name in names}


def table(folder: Path) -> bytes:
    return (folder / f"results/tables/{NAME}.tex").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    done = run(command(drawings, folder), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[12/12] tiny random DenseNet + MI2P{1}, seed 1" in done.stdout
    return folder


@pytest.mark.slow
def test_the_best_of_each_row_is_trained_with_all_seeds(undisturbed: Path) -> None:
    plan = read_plan(undisturbed / f"results/plans/{NAME}.json")
    trials = load(undisturbed / "results").set_index("trial_id")
    found = studies(undisturbed)
    assert len(found) == len(ROWS)
    for row in plan.rows:
        if row.key not in ROWS:
            assert row.searched is None
            continue
        assert row.searched is not None and row.searched.tried == BUDGET
        tried = [t for t in found[row.searched.study] if "answered" not in t.user_attrs]
        ids = [trial.user_attrs["trial_id"] for trial in tried]
        of_search = trials.loc[ids]
        assert set(of_search["stage"]) == {"search"} and set(of_search["seed"]) == {SEARCH_SEED}
        assert of_search["test/accuracy"].isna().all()
        best = of_search.sort_values("val/accuracy", kind="stable", ascending=False)
        assert row.searched.best == of_search["val/accuracy"].max()
        confirmed = trials.loc[[spec.trial_id for spec in row.specs]]
        assert confirmed["seed"].tolist() == [0, 1] and confirmed["test/accuracy"].notna().all()
        chosen = TrialSpec.from_dict(json.loads(best["spec"].iloc[0]))
        for spec in row.specs:
            assert (spec.model, spec.train) == (chosen.model, chosen.train)


@pytest.mark.slow
def test_no_test_metric_is_in_a_study(undisturbed: Path) -> None:
    text = (undisturbed / "results/studies.journal").read_text()
    assert "val/accuracy" in text and "test/" not in text


@pytest.mark.slow
def test_the_same_search_again_trains_nothing(undisturbed: Path, drawings: Path) -> None:
    rows, text, before = rows_on_disk(undisturbed), table(undisturbed), studies(undisturbed)
    again = run(command(drawings, undisturbed), undisturbed)
    assert again.returncode == 0, again.stdout + again.stderr
    assert rows_on_disk(undisturbed) == rows and table(undisturbed) == text
    assert studies(undisturbed) == before
    collected = run(command(drawings, undisturbed, "--collect"), undisturbed)
    assert collected.returncode == 0, collected.stdout + collected.stderr
    assert table(undisturbed) == text


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_ends_alike(
    undisturbed: Path, drawings: Path, tmp_path: Path
) -> None:
    def done(count: int) -> bool:
        return len(rows_on_disk(tmp_path)) >= count

    def in_mid_trial() -> bool:
        begun = (tmp_path / "results/checkpoints").glob("*/last.pt")
        return done(2) and any(True for _ in begun)

    points: list[Callable[[], bool]] = [
        lambda: (tmp_path / "results/studies.journal").exists(),
        in_mid_trial,
        lambda: done(5),
        lambda: done(9),  # in the midst of confirming
        lambda: done(12),  # before the table
    ]
    kept: dict[str, bytes] = {}
    for at in points:
        kill_at(command(drawings, tmp_path), tmp_path, at)
        now = rows_on_disk(tmp_path)
        assert {name: now[name] for name in kept} == kept  # no finished trial ran again
        kept = now
    last = run(command(drawings, tmp_path), tmp_path)
    assert last.returncode == 0, last.stdout + last.stderr
    now = rows_on_disk(tmp_path)
    assert {name: now[name] for name in kept} == kept
    assert now.keys() == rows_on_disk(undisturbed).keys()
    assert table(tmp_path) == table(undisturbed)
    whole = studies(undisturbed)
    for name, trials in studies(tmp_path).items():
        assert [t.params for t in trials] == [t.params for t in whole[name]]
        assert [t.values for t in trials] == [t.values for t in whole[name]]
        assert {t.state for t in trials} == {TrialState.COMPLETE}


def kill_at(arguments: list[str], folder: Path, at: Callable[[], bool]) -> None:
    """Run a command and kill it, and no other process, as soon as `at` holds."""
    process = subprocess.Popen(
        arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 200
    while not at():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the point was not reached"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)


@pytest.mark.slow
def test_out_of_time_a_table_is_made_of_what_is_there(
    undisturbed: Path, drawings: Path, tmp_path: Path
) -> None:
    # Longer than this search takes, so that it must leave itself time for the seeds.
    budget = ("--search", "400", "--time-budget", "60s")
    done = run([*command(drawings, tmp_path), *budget], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = read_plan(tmp_path / f"results/plans/{NAME.replace('search4', 'search400')}.json")
    searched = [row.searched for row in plan.rows if row.searched is not None]
    assert len(searched) == len(ROWS) and all(s.tried < 400 for s in searched)
    trials = load(tmp_path / "results")
    confirmed = trials[trials["stage"] == "confirm"]
    assert len(confirmed) == len(ROWS) * len(SEEDS)
    unequal = searched[0].tried != searched[1].tried
    assert ("budgets of rows are not equal" in done.stdout) == unequal


def test_averages_are_searched_through_their_parts() -> None:
    plan = compare_crisismmd.plan(compare_crisismmd.Options(dataset="packaged"))
    (fused,) = plan.methods["score_fusion"]
    assert [row.key for row in rows_to_search(plan, [fused])] == ["cnn", "bert"]
    assert [row.key for row in rows_to_search(plan, plan.rows)] == [
        key for key in plan.methods if key != "score_fusion"
    ]


def test_a_search_trains_a_row_as_declared_with_a_seed_of_its_own() -> None:
    row = ablation_layers.plan(ablation_layers.Options()).rows[0]
    base = search_base(row)
    assert (base.seed, base.stage) == (SEARCH_SEED, "search")
    assert base.train == row.specs[0].train and base.model == row.specs[0].model


def test_another_way_to_search_is_another_table() -> None:
    plan = ablation_layers.plan(ablation_layers.Options())
    names = [
        search_name(options, plan)
        for options in (
            SweepOptions(search=20),
            SweepOptions(search=40),
            SweepOptions(search=20, sampler="gp", scheduler="asha"),
            SweepOptions(search=20, sampler="nsga2", against="seconds"),
        )
    ]
    assert names[0] == "table5-openclipart-search20"
    assert names[2] == "table5-openclipart-search20-gp-asha"
    assert names[3] == "table5-openclipart-search20-nsga2-seconds"
    assert len(set(names)) == 4


def test_a_search_without_time_to_begin_is_out_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = toy_row("a", ToySpace())
    studies = {(row.key, row.dataset): open_row(InMemoryStorage())}
    ground = Ground(places={}, slots=1)
    options = SweepOptions(search=12, results=tmp_path, yes=True)

    def run(*given: Any, **more: Any) -> str:
        Runner(tmp_path).run(given[4])
        return "all"  # nothing is to come, or runs

    monkeypatch.setattr(tuning, "run", run)

    def end(deadline: float | None) -> str:
        console = Console(quiet=True)
        found = tuning._searched(console, options, toy_plan(row), [row], studies, ground, deadline)
        assert found is not None
        return found[1]

    assert end(time.monotonic() - 1) == "time"
    assert end(None) == "all"


def a_searched_plan(folder: Path, keys: str = "ab") -> Plan:
    """Each row of `keys` of two after a search of one configuration."""
    rows = [toy_row(key, SPACES[key]) for key in "ab"]
    chosen = [row for row in rows if row.key in keys]
    studies = {
        (row.key, row.dataset): open_row(InMemoryStorage(), SPACES[row.key], budget=1)
        for row in chosen
    }
    found = Search(toy_plan(*rows), chosen, studies, Store(folder), name="found", slots=1)
    Runner(folder).run(found)
    return found.plan()


def test_searches_of_some_rows_at_a_time_come_to_one_table(tmp_path: Path) -> None:
    kept, declared = a_searched_plan(tmp_path, "a"), [toy_row(k, SPACES[k]) for k in "ab"]
    path, plan = kept.write(tmp_path), toy_plan(*declared)
    a, b = with_kept(plan, [declared[1]], path).rows
    assert a == kept.rows[0] and a.searched is not None and b == declared[1]
    assert with_kept(plan, [declared[0]], path) == plan  # that row is searched now
    assert with_kept(plan, [declared[1]], tmp_path / "none.json") == plan
    more = toy_plan(toy_row("a", SPACES["a"], seeds=(0, 1, 2)), declared[1])
    assert [s.seed for s in with_kept(more, [declared[1]], path).rows[0].specs] == [0, 1, 2]
    other = toy_plan(toy_row("a", SPACES["b"]), declared[1])  # now declared otherwise
    assert with_kept(other, [declared[1]], path) == other


def test_only_what_is_searched_now_is_trained_again(tmp_path: Path) -> None:
    plan, store = a_searched_plan(tmp_path), Store(tmp_path)
    options = SweepOptions(search=1, results=tmp_path, force=("seed=0",))
    unsearched = replace(plan.rows[0], searched=None)
    run_again(options, store, toy_plan(unsearched, plan.rows[1]), plan.rows)
    run_again(options, store, plan, plan.rows[1:])
    there = {
        row.key: [store.trial(s.trial_id) is not None for s in row.specs] for row in plan.rows
    }
    assert there == {"a": [True, True], "b": [False, True]}
