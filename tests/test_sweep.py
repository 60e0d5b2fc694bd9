"""Sweeps through Ray, as a user types them: resuming, failing, being stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from mi2p.options import SweepOptions
from mi2p.plan import Plan, PlanRow
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, load, load_epochs
from mi2p.sweep import _resources, trial_states

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
def test_a_sweep_opens_each_picture_once(undisturbed: Path) -> None:
    opened = Counter((undisturbed / "opened.log").read_text().split("\n")[:-1])
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
    return Plan(name="small", table=5, dataset="openclipart", rows=rows)


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


def descendants(ancestor: int) -> list[tuple[int, str]]:
    """Pid and command line of the processes that `ancestor` started, at any depth."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, name = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        parents[int(folder.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        names[int(folder.name)] = name

    def started(pid: int) -> bool:
        while pid in parents and pid != ancestor:
            pid = parents[pid]
        return pid == ancestor

    return [(pid, name) for pid, name in names.items() if started(pid)]


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", [1, 99])
def test_pruned_and_killed_trials(drawings: Path, tmp_path: Path, num_kills: int) -> None:
    """A scheduler stops one trial; the other's process dies, as if memory had run out."""
    from ray.tune.schedulers import FIFOScheduler
    from rich.console import Console

    from mi2p.sweep import run as run_sweep

    class StopTheSecond(FIFOScheduler):
        """Stops the trial with the larger rate after its first report."""

        def on_trial_result(self, controller: object, trial: object, result: object) -> str:
            spec = trial.config["trial"]["spec"]  # type: ignore[attr-defined]
            stop = spec["train"]["lr"] > 1e-3
            return str(FIFOScheduler.STOP if stop else FIFOScheduler.CONTINUE)

    plan = small_plan(2e-3, epochs=100)
    good, other = plan.specs()
    folder = tmp_path / "results"
    options = SweepOptions(results=folder, cache=tmp_path / "cache", data=drawings, yes=True)
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 150
        last = folder / "checkpoints" / good.trial_id / "last.pt"
        while len(killed) < num_kills and time.monotonic() < deadline:
            time.sleep(0.1)
            if Store(folder).trial(other.trial_id) is None or not last.exists():
                continue
            if Store(folder).trial(good.trial_id) is not None:
                return
            for pid, name in descendants(os.getpid()):
                if name.startswith("ray::ImplicitFunc") and pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    ended = run_sweep(
        Console(quiet=True),
        options,
        plan,
        [good, other],
        (drawings, None),
        scheduler=StopTheSecond(),
    )
    killer.join()
    assert ended and killed
    pruned, row = Store(folder).trial(other.trial_id), Store(folder).trial(good.trial_id)
    assert pruned is not None and pruned["status"] == "pruned"
    assert pruned["val/accuracy"] is not None and pruned["test/accuracy"] is None
    # A worker that died is replaced twice; the trial goes on from its checkpoint.
    assert row is not None and row["status"] == ("done" if num_kills == 1 else "error")
    if num_kills == 1:
        assert load_epochs(folder)["epoch"].tolist() == list(range(1, 101))


def test_states_come_from_rows(tmp_path: Path) -> None:
    from mi2p.store import trial_row

    plan, store = small_plan(2e-3), Store(tmp_path)
    good, other = plan.specs()
    assert trial_states(store, plan) == dict.fromkeys((good.trial_id, other.trial_id), "to run")
    store.write_trial(trial_row(good, status="done", metrics={}))
    store.write_trial(trial_row(other, status="error", metrics={}, error="x"))
    assert trial_states(store, plan) == {good.trial_id: "done", other.trial_id: "failed"}


def test_resources_of_a_trial() -> None:
    assert _resources(SweepOptions(), {"CPU": 2}) == {"cpu": 1}
    assert _resources(SweepOptions(), {"CPU": 2, "GPU": 4}) == {"cpu": 1, "gpu": 1}
    assert _resources(SweepOptions(gpus_per_trial=0.5), {"GPU": 1}) == {"cpu": 1, "gpu": 0.5}
    with pytest.raises(ValueError, match=r"at most what the cluster has, but got 1 and .* 0 GPUs"):
        _resources(SweepOptions(gpus_per_trial=1), {"CPU": 2})
