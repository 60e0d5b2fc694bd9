"""Sweeps through Ray, as a user types them: resuming, failing, being stopped and killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mi2p import sweep, training
from mi2p.failures import record_error
from mi2p.plan import Plan, PlanRow
from mi2p.running import End
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, load, load_predictions, trial_row
from sweeps import compare_crisismmd, compare_food101_mmimdb
from tests.crisismmd_layout import write_crisismmd
from tests.food101_layout import write_food101
from tests.mmimdb_layout import write_mmimdb

ROOT = Path(__file__).parents[1]
NUM_ROWS = 11


def command(drawings: Path, folder: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, str(ROOT / "sweeps/ablation_layers.py"), "--smoke", "--yes"),
        *("--visual", "tiny_densenet", "--textual", "tiny_bert", "--data", str(drawings)),
        *("--results", str(folder / "results"), "--cache", str(folder / "cache"), *more),
    ]


def run(arguments: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=400,
    )


def table(folder: Path) -> bytes:
    return (
        folder / "results/tables/table5-openclipart-tiny_densenet-tiny_bert-smoke.tex"
    ).read_bytes()


def finished(folder: Path) -> dict[str, bytes]:
    """The rows on disk, whole: a trial that ran again would have other seconds in its row."""
    return {p.name: p.read_bytes() for p in (folder / "results/trials").glob("*.parquet")}


def wait_for_rows(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while len(finished(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no rows"
        time.sleep(0.2)


WATCHING = """
import os, sys

log = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def write_down(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".png"):
        os.write(log, f"{arguments[0]}\\n".encode())

sys.addaudithook(write_down)
"""
"""A `sitecustomize` module: every process of a sweep writes down which pictures it opens."""


@pytest.fixture(scope="session")
def undisturbed(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the sweep ran to its end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "sitecustomize.py").write_text(WATCHING)
    watched = {"OPENED": str(folder / "opened.log"), "PYTHONPATH": str(folder)}
    done = run(command(drawings, folder), folder, **watched)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NUM_ROWS} rows x 1 seeds: 0 done, 0 failed, {NUM_ROWS} to run" in done.stdout
    assert "table: " in done.stdout and "next: tensorboard" in done.stdout
    return folder


@pytest.mark.slow
def test_a_sweep_opens_each_picture_once(undisturbed: Path, drawings: Path) -> None:
    lines = (undisturbed / "opened.log").read_text().split("\n")
    # The checks before the first trial look at a picture of their own.
    opened = Counter(line for line in lines if line.startswith(str(drawings)))
    assert len(opened) == 3 * 48  # all that `--smoke` uses, in 11 trials of all its processes
    assert set(opened.values()) == {1}


@pytest.mark.slow
def test_the_same_command_again_runs_nothing(undisturbed: Path, drawings: Path) -> None:
    rows, text = finished(undisturbed), table(undisturbed)
    assert len(rows) == NUM_ROWS
    again = run(command(drawings, undisturbed), undisturbed)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{NUM_ROWS} done, 0 failed, 0 to run" in again.stdout
    assert finished(undisturbed) == rows
    assert table(undisturbed) == text


@pytest.mark.slow
def test_results_may_go_through_a_bucket(
    undisturbed: Path, drawings: Path, tmp_path: Path
) -> None:
    """As on nodes that share no folder; and then from another machine, which has nothing yet."""
    rows = ("--rows", "me_cnn-1", "bert", "--remote", (tmp_path / "bucket").as_uri())
    for name, told in (("one", "2 to run"), ("other", "2 done, 0 failed, 0 to run")):
        folder = tmp_path / name
        done = run(command(drawings, folder, *rows), folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert told in done.stdout
        assert len(finished(folder)) == 2
        for kind in ("predictions", "epochs"):
            for path in (folder / "results" / kind).iterdir():
                assert (
                    path.read_bytes() == (undisturbed / "results" / kind / path.name).read_bytes()
                )
    left = {path.name for path in (tmp_path / "bucket").iterdir()}
    assert "trials" in left and not any((tmp_path / "bucket/checkpoints").rglob("*.pt"))
    assert table(tmp_path / "one") == table(tmp_path / "other")


@pytest.mark.slow
def test_table_6_with_tiny_forms_of_its_backbones(drawings: Path, tmp_path: Path) -> None:
    script = str(ROOT / "sweeps/ablation_backbones.py")
    done = run([sys.executable, script, *command(drawings, tmp_path)[2:]], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 rows x 1 seeds: 0 done, 0 failed, 8 to run" in done.stdout
    name = "table6-openclipart-with-tiny_densenet-tiny_bert-smoke"
    text = (tmp_path / f"results/tables/{name}.tex").read_text()
    for label in ("ME tiny random ResNet", "ME tiny random XLNet", "ME tiny random CLIP-Text"):
        assert label in text


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_was_stopped_goes_on_where_it_was(
    undisturbed: Path, drawings: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    process = subprocess.Popen(
        command(drawings, tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_rows(tmp_path, 3, process)
    if blow == signal.SIGINT:
        os.killpg(process.pid, blow)  # a terminal sends Ctrl-C to the whole group
    else:
        process.send_signal(blow)
    out, _ = process.communicate(timeout=120)
    rows = finished(tmp_path)
    assert 3 <= len(rows) < NUM_ROWS
    if blow == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; finished trials are kept" in out
        assert b"(0/1)" in table(tmp_path) or b"--" in table(tmp_path)
    again = run(command(drawings, tmp_path), tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    now = finished(tmp_path)
    assert len(now) == NUM_ROWS
    assert {name: now[name] for name in rows} == rows  # no finished trial ran again
    assert table(tmp_path) == table(undisturbed)


FEW = ("cnn", "bert", "score_fusion", "gmu")


def comparison(script: str, data: Path, folder: Path) -> list[str]:
    """A command for a few rows of Table 3 or 4 on all of its data sets."""
    return [
        *(sys.executable, str(ROOT / "sweeps" / script), "--smoke", "--yes"),
        *("--data", str(data), "--image-size", "128", "--rows", *FEW),
        *("--results", str(folder / "results"), "--cache", str(folder / "cache")),
    ]


def assert_fused(folder: Path, plan: Plan) -> None:
    """Every average holds the mean of what both of its parts predict."""
    everything = load_predictions(folder / "results")
    for row in plan.methods["score_fusion"]:
        (spec,) = row.specs
        cnn, bert, both = (
            everything[everything["trial_id"] == trial_id]
            for trial_id in (*spec.averages, spec.trial_id)
        )
        one, other, mean = (np.stack(f["probabilities"].tolist()) for f in (cnn, bert, both))
        assert np.array_equal(mean, (one + other) / np.float32(2))
        for name in ("split", "example_id"):
            assert both[name].tolist() == cnn[name].tolist() == bert[name].tolist()


@pytest.mark.slow
def test_a_comparison_on_three_tasks_goes_on_after_a_kill_with_the_same_rows(
    tmp_path: Path,
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    write_crisismmd(tmp_path)
    arguments = {
        folder: comparison("compare_crisismmd.py", tmp_path, folder) for folder in (whole, killed)
    }
    done = run(arguments[whole], whole)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 rows x 3 data sets x 1 seeds: 0 done, 0 failed, 12 to run" in done.stdout
    assert "[9/9] crisismmd_task" in done.stdout
    assert "averaged: crisismmd_task2: Score Fusion, seed 0: val accuracy" in done.stdout
    plan = compare_crisismmd.plan(compare_crisismmd.Options(smoke=True, image_size=128))
    assert_fused(whole, plan)

    killed.mkdir()
    process = subprocess.Popen(
        arguments[killed],
        cwd=killed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_rows(killed, 3, process)
    process.kill()
    process.communicate(timeout=120)
    rows = finished(killed)
    assert 3 <= len(rows) < 12
    again = run(arguments[killed], killed)
    assert again.returncode == 0, again.stdout + again.stderr
    now = finished(killed)
    assert {name: now[name] for name in rows} == rows  # no finished trial ran again
    # Seconds apart, it ended with the same bits; rows that were not chosen are not there.
    one, other = (load(folder / "results").drop(columns="seconds") for folder in (whole, killed))
    assert one.equals(other) and len(one) == 12
    for folder in ("predictions", "epochs"):
        pair = [
            {path.name: path.read_bytes() for path in (base / "results" / folder).iterdir()}
            for base in (whole, killed)
        ]
        assert pair[0] == pair[1]


@pytest.mark.slow
def test_a_comparison_on_one_label_and_on_several(tmp_path: Path) -> None:
    write_food101(tmp_path / "food101")
    write_mmimdb(tmp_path / "mmimdb")
    done = run(comparison("compare_food101_mmimdb.py", tmp_path, tmp_path), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = compare_food101_mmimdb.plan(compare_food101_mmimdb.Options(smoke=True, image_size=128))
    assert_fused(tmp_path, plan)
    rows = load(tmp_path / "results").set_index("trial_id")
    food, movies = (rows.loc[row.specs[0].trial_id] for row in plan.methods["score_fusion"])
    assert food["test/accuracy"] >= 0 and np.isnan(food["test/micro_f1"])
    assert movies["test/micro_f1"] >= 0 and np.isnan(movies["test/accuracy"])
    assert 0 < movies["val/threshold"] < 1


def small_plan(lr: float, epochs: int = 1) -> Plan:
    specs = tuple(
        TrialSpec(
            data=DataSpec(image_size=32, limit=32),
            model=ModelSpec(name="cnn", visual="tiny_densenet"),
            train=TrainSpec(lr=rate, batch_size=16, epochs=epochs),
        )
        for rate in (1e-3, lr)
    )
    rows = tuple(
        PlanRow(key=key, label=key, paper="", specs=(spec,))
        for key, spec in zip(("good", "other"), specs, strict=True)
    )
    return Plan(name="small", table=5, rows=rows)


SCRIPT = """
import sys
from pathlib import Path
from analysis.table5 import write
from mi2p.options import SweepOptions
from mi2p.sweep import main
from tests.test_sweep import small_plan
folder, data = Path(sys.argv[1]), Path(sys.argv[2])
options = SweepOptions(results=folder / "results", cache=folder / "cache", data=data, yes=True)
main(options, lambda chosen: small_plan(1e30), write)
"""


@pytest.mark.slow
def test_a_failed_trial_is_shown_and_counted(drawings: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path), str(drawings)]
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, timeout=200, cwd=tmp_path
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: other seed 0: FloatingPointError: loss is" in done.stdout
    assert "--retry-failed" in done.stdout
    states = load(tmp_path / "results").set_index("train.lr")["status"].to_dict()
    assert states == {1e-3: "done", 1e30: "error"}


class Scene:
    """`_main` on a plan of three rows with Ray's part played by `run`: the trials it is given
    leave a row, unless their key is in `failing`; after `stop_after` trials it is interrupted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(folder / "results")
        self.options = compare_crisismmd.Options(
            dataset="packaged", smoke=True, results=self.store.folder, yes=True
        )
        whole = compare_crisismmd.plan(self.options)
        rows = tuple(whole.methods[key][0] for key in ("cnn", "bert", "score_fusion", "gmu"))
        self.plan = Plan(name="small", table=3, rows=rows)
        self.keys = {spec.trial_id: row.key for row in rows for spec in row.specs}
        self.failing: set[str] = set()
        self.stop_after = 99
        self.ran: list[str] = []
        monkeypatch.setattr(training, "run", self.run)
        monkeypatch.setattr(training, "prepared", lambda *_: nullcontext())
        monkeypatch.setattr(training, "check_trials", lambda *_: {})
        monkeypatch.setattr(training, "find_inputs", lambda *_, **__: (folder, None))

    def run(self, *given: Any, **more: Any) -> End:
        source, todo = given[4], []
        while (job := source.next()) is not None:
            todo.append(job.spec)
        self.ran = [self.keys[spec.trial_id] for spec in todo]
        for spec in todo[: self.stop_after]:
            if self.keys[spec.trial_id] in self.failing:
                record_error(self.store, spec, "boom", {})
                continue
            self.store.write_predictions(spec.trial_id, PREDICTED[self.keys[spec.trial_id]])
            environment = {"data_fingerprint": "f00d", "precision": "float32"}
            metrics = {"val/accuracy": 0.5, "test/accuracy": 0.5}
            self.store.write_trial(
                trial_row(spec, status="done", metrics=metrics, environment=environment)
            )
        return "all" if len(todo) <= self.stop_after else "interrupted"

    def main(self, **options: Any) -> tuple[int, str]:
        """The exit status, and what was printed."""
        console = Console(file=(out := io.StringIO()), width=200)
        self.ran = []
        status = sweep._main(
            console, replace(self.options, **options), self.plan, lambda results, plan: [results]
        )
        return status, out.getvalue()

    def statuses(self) -> dict[str, str | None]:
        found = {}
        for trial_id, key in self.keys.items():
            row = self.store.trial(trial_id)
            found[key] = None if row is None else str(row["status"])
        return found


def _one(probabilities: list[float]) -> list[dict[str, Any]]:
    first = {"example_id": "a", "labels": [1], "probabilities": probabilities}
    return [{"split": "val", **first}, {"split": "test", **first}]


PREDICTED = {"cnn": _one([0.75, 0.25]), "bert": _one([0.25, 0.75]), "gmu": _one([0.5, 0.5])}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_averages_are_made_when_the_trials_are_over(scene: Scene) -> None:
    status, out = scene.main()
    assert status == 0
    assert scene.ran == ["cnn", "bert", "gmu"]  # nothing for Ray in what is not trained
    assert "averaged: Score Fusion, seed 0: val accuracy 0.0" in out
    assert set(scene.statuses().values()) == {"done"}
    status, out = scene.main()
    assert status == 0 and scene.ran == [] and "averaged" not in out
    assert "4 done, 0 failed, 0 to run" in out


def test_an_average_brings_its_parts_and_nothing_else(scene: Scene) -> None:
    status, out = scene.main(rows=("score_fusion",))
    assert status == 0 and scene.ran == ["cnn", "bert"]
    assert "0 done, 0 failed, 3 to run" in out
    done = {"cnn": "done", "bert": "done", "score_fusion": "done", "gmu": None}
    assert scene.statuses() == done


def test_an_average_that_a_kill_left_out_is_made_without_training(scene: Scene) -> None:
    scene.main()
    fused = next(key for key, name in scene.keys.items() if name == "score_fusion")
    (scene.store.folder / "trials" / f"{fused}.parquet").unlink()
    status, out = scene.main(dry_run=True)
    assert status == 0 and "3 done, 0 failed, 1 to run" in out
    assert scene.statuses()["score_fusion"] is None
    status, out = scene.main()
    assert status == 0 and scene.ran == []
    assert scene.statuses()["score_fusion"] == "done"


def test_an_interrupted_sweep_averages_what_is_complete(scene: Scene) -> None:
    scene.stop_after = 2
    status, out = scene.main()
    assert status == 130 and "averaged: " in out and "table: " in out
    assert scene.statuses()["score_fusion"] == "done" and scene.statuses()["gmu"] is None
    scene.stop_after = 99
    assert scene.main()[0] == 0 and scene.ran == ["gmu"]


def test_an_average_is_not_made_of_one_part(scene: Scene) -> None:
    scene.stop_after = 1
    assert scene.main()[0] == 130
    assert scene.statuses()["score_fusion"] is None


def test_an_average_fails_with_its_part_and_is_tried_again_with_it(scene: Scene) -> None:
    scene.failing = {"bert"}
    status, out = scene.main()
    assert status == 1
    assert scene.statuses() == {
        "cnn": "done",
        "bert": "error",
        "score_fusion": "error",
        "gmu": "done",
    }
    assert "failed: bert seed 0: boom" in out
    assert "failed: score_fusion seed 0: ValueError: it averages trial" in out
    # Not "to run" for ever.
    status, out = scene.main()
    assert status == 1 and scene.ran == [] and "2 done, 2 failed, 0 to run" in out
    scene.failing = set()
    status, out = scene.main(retry_failed=True)
    assert status == 0 and scene.ran == ["bert"]
    assert set(scene.statuses().values()) == {"done"}


def test_an_average_is_made_once_its_part_was_repaired_by_another_sweep(scene: Scene) -> None:
    scene.failing = {"bert"}
    scene.main()
    scene.failing = set()
    assert scene.main(retry_failed=True, rows=("bert",))[0] == 0  # or by Table 5's, which has it
    assert scene.statuses()["score_fusion"] == "error"
    status, out = scene.main()
    assert status == 0 and scene.ran == [] and "3 done, 0 failed, 1 to run" in out
    assert scene.statuses()["score_fusion"] == "done"


def test_a_row_whose_every_configuration_failed_is_to_be_retried(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.main()  # which leaves other trials than a search would
    for spec in scene.plan.rows[0].specs:
        scene.store.set_aside(spec.trial_id, scene.store.folder / "replaced")
    monkeypatch.setattr(sweep, "searched", lambda *_: (scene.plan, "all"))
    status, told = scene.main(search=3, rows=("cnn",))
    assert status == 1 and "--retry-failed" in told and "share" not in told
    monkeypatch.setattr(sweep, "searched", lambda *_: (scene.plan, "time"))
    status, told = scene.main(search=3, rows=("cnn",))
    assert status == 0 and "the time was over" in told


def test_what_goes_on_after_an_interruption(scene: Scene) -> None:
    scene.stop_after = 1
    assert "kept, the same command goes on" in scene.main()[1]
    scene.stop_after = 99
    scene.main()
    scene.stop_after = 1
    assert "the same command without --force goes on" in scene.main(force=("cnn", "bert"))[1]
