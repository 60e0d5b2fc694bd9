"""Results through a bucket: whatever dies, a reader finds all of a trial or nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow.fs import FileSystem

from mi2p.bucket import Bucket
from mi2p.data.example import SPLITS
from mi2p.data.summary import Counts, Summary, read_summaries
from mi2p.failures import record_error
from mi2p.files import write_whole
from mi2p.lease import Lease, LeaseLostError
from mi2p.remote import Remote, RemoteTrial
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row
from tests.faulty_files import Died, bucket_in, dying
from tests.test_store import CNN as SPEC

TRIAL = SPEC.trial_id
PREDICTION = {"split": "val", "example_id": "7", "labels": [1], "probabilities": [0.25, 0.75]}
Files = dict[str, bytes]


def leave(store: Store, spec: TrialSpec = SPEC, *, error: str | None = None) -> None:
    """What a trial leaves on its machine."""
    trial_id = spec.trial_id
    curves = store.folder / "tensorboard" / f"row-{trial_id}" / "events.0.from1"
    curves.parent.mkdir(parents=True, exist_ok=True)
    curves.write_bytes(b"curve")
    store.write_epochs(trial_id, [{"epoch": 1, "train/loss": 0.5}])
    if error is not None:
        record_error(store, spec, error, {})
        return
    store.write_predictions(trial_id, [PREDICTION])
    write_whole(store.weights(trial_id), "weights")
    store.write_trial(trial_row(spec, status="done", metrics={"val/accuracy": 0.75}))


def held(folder: Path) -> Files:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def scratch(tmp_path: Path) -> Store:
    return Store(tmp_path / "scratch")


@pytest.fixture
def results(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(bucket_in(tmp_path / "bucket"))


def quick(remote: Remote, scratch: Store, dead_after: float = 1e6) -> RemoteTrial:
    lease = Lease(remote.bucket, f"claims/{TRIAL}", every=0.01, dead_after=dead_after, settle=0.05)
    return RemoteTrial(remote, scratch, TRIAL, lease)


def test_results_arrive_as_if_the_trial_had_written_them(
    remote: Remote, scratch: Store, results: Store
) -> None:
    assert not remote.pull_trial(results, TRIAL)
    leave(scratch)
    assert not remote.is_over(TRIAL)
    remote.push_results(scratch, TRIAL)
    assert remote.is_over(TRIAL)
    assert remote.pull_trial(results, TRIAL)
    assert held(results.folder) == held(scratch.folder)
    assert remote.bucket.files.steps[-1] == "read events.0.from1"


def test_an_error_arrives_with_its_traceback(
    remote: Remote, scratch: Store, results: Store
) -> None:
    leave(scratch, error="Traceback ...\nValueError: no")
    remote.push_results(scratch, TRIAL)
    assert remote.pull_trial(results, TRIAL)
    assert held(results.folder) == held(scratch.folder)
    assert (results.folder / "errors" / f"{TRIAL}.txt").exists()


def test_without_a_row_there_are_no_results(remote: Remote, scratch: Store) -> None:
    scratch.write_predictions(TRIAL, [PREDICTION])
    with pytest.raises(FileNotFoundError):
        remote.push_results(scratch, TRIAL)
    assert remote.bucket.list("predictions") == {}


def test_a_worker_that_dies_leaves_no_row_or_everything(scratch: Store, tmp_path: Path) -> None:
    leave(scratch)
    found: list[Files] = []

    def look(bucket: Bucket, folder: Path) -> None:
        there = Remote(bucket).pull_trial(Store(folder), TRIAL)
        found.append(held(folder))
        assert there == bool(found[-1])

    deaths = dying(
        bucket_in, lambda bucket: Remote(bucket).push_results(scratch, TRIAL), look, tmp_path
    )
    assert deaths >= 4  # epochs, predictions, curves, row
    everything = held(scratch.folder)
    assert found[0] == {}
    assert all(files in ({}, everything) for files in found[::2])
    assert all(files == everything for files in (*found[1::2], found[-1]))


def test_a_driver_that_dies_leaves_no_row_or_everything(scratch: Store, tmp_path: Path) -> None:
    leave(scratch)
    everything = held(scratch.folder)
    found: list[Files] = []

    def start(folder: Path) -> Bucket:
        bucket = bucket_in(folder)
        Remote(bucket).push_results(scratch, TRIAL)
        return bucket

    def results_of(bucket: Bucket) -> Store:
        return Store(Path(bucket.root).with_suffix(".results"))

    deaths = dying(
        start,
        lambda bucket: Remote(bucket).pull_rows(results_of(bucket)),
        lambda bucket, _: found.append(held(results_of(bucket).folder)),
        tmp_path,
    )
    assert deaths >= 4
    assert found[0] == {}
    row = f"trials/{TRIAL}.parquet"
    assert all(files == everything for files in found if row in files)
    assert all(row in files for files in (*found[1::2], found[-1]))


def test_rows_that_the_folder_lacks_are_copied(
    remote: Remote, scratch: Store, results: Store
) -> None:
    specs = [replace(SPEC, seed=seed) for seed in range(40)]
    leave(results, specs[0], error="this folder's own")
    expected = held(results.folder)
    for spec in specs[1:]:
        leave(scratch, spec, error="no" if spec.seed == 3 else None)
        remote.push_results(scratch, spec.trial_id)
    expected |= held(scratch.folder)
    leave(scratch, specs[0])
    remote.push_results(scratch, specs[0].trial_id)
    assert remote.pull_rows(results) == 39
    assert held(results.folder) == expected
    before = len(remote.bucket.files.steps)
    assert remote.pull_rows(results) == 0
    assert remote.bucket.files.steps[before:] == []  # listings alone


def test_what_the_data_was_comes_along(remote: Remote, scratch: Store, results: Store) -> None:
    counts = {split: Counts(examples=1, classes=(1,)) for split in SPLITS}
    kept = Summary(name="x", fingerprint="f00d", multilabel=False, classes=("a",), counts=counts)
    kept.write(scratch.folder)
    remote.push_summaries(scratch.folder)
    before = len(remote.bucket.files.steps)
    remote.push_summaries(scratch.folder)
    assert remote.bucket.files.steps[before:] == []  # it is there
    remote.pull_rows(results)
    assert read_summaries(results.folder) == {"f00d": kept}


def test_checkpoints_of_trials_that_are_over_are_deleted(
    remote: Remote, scratch: Store, results: Store, tmp_path: Path
) -> None:
    # Their worker died between the row and that.
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "last.pt").write_bytes(b"state")
    leave(scratch)
    remote.push_results(scratch, TRIAL)
    for trial_id in (TRIAL, "running"):
        remote.push_checkpoint(trial_id, checkpoint)
    remote.pull_rows(results)
    assert {key.split("/")[1] for key in remote.bucket.list("checkpoints")} == {"running"}


def test_a_discarded_trial_runs_again_from_its_start(
    remote: Remote, scratch: Store, results: Store, tmp_path: Path
) -> None:
    leave(scratch)
    scratch_checkpoint = tmp_path / "checkpoint"
    scratch_checkpoint.mkdir()
    (scratch_checkpoint / "last.pt").write_bytes(b"state")
    remote.push_checkpoint(TRIAL, scratch_checkpoint)
    remote.push_results(scratch, TRIAL)
    remote.discard(TRIAL)
    assert not remote.is_over(TRIAL)
    assert remote.pull_rows(results) == 0
    remote.pull_checkpoint(TRIAL, scratch_checkpoint)
    assert not list(scratch_checkpoint.iterdir())
    for kind in ("trials", "predictions", "epochs", "checkpoints"):
        assert remote.bucket.list(kind) == {}
    remote.discard(TRIAL)


def test_a_discard_that_dies_leaves_no_row_without_predictions(
    scratch: Store, tmp_path: Path
) -> None:
    leave(scratch)

    def start(folder: Path) -> Bucket:
        bucket = bucket_in(folder)
        Remote(bucket).push_results(scratch, TRIAL)
        return bucket

    def look(bucket: Bucket, folder: Path) -> None:
        if Remote(bucket).pull_trial(Store(folder), TRIAL):
            assert held(folder) == held(scratch.folder)

    assert dying(start, lambda bucket: Remote(bucket).discard(TRIAL), look, tmp_path) >= 4


@pytest.mark.parametrize("error", [None, "ValueError: no"])
def test_only_failed_trials_are_tried_again(
    error: str | None, remote: Remote, scratch: Store
) -> None:
    remote.discard_error(TRIAL)
    leave(scratch, error=error)
    remote.push_results(scratch, TRIAL)
    remote.discard_error(TRIAL)
    assert remote.is_over(TRIAL) == (error is None)


def epoch(trial: RemoteTrial, number: int) -> None:
    """What an epoch writes on the worker's machine."""
    trial.checkpoints.mkdir(parents=True, exist_ok=True)
    (trial.checkpoints / "last.pt").write_text(str(number))
    node = trial.scratch.folder.name
    curves = trial.scratch.folder / "tensorboard" / f"row-{TRIAL}" / f"events.{node}"
    curves.parent.mkdir(parents=True, exist_ok=True)
    with curves.open("a") as file:
        file.write(f"{number};")


def run(trial: RemoteTrial, *, epochs: int = 3, dies_after: int | None = None) -> list[int]:
    """A trial that counts; the epochs that it did itself."""
    did = []
    with trial:
        if trial.is_over():
            return []
        last = trial.checkpoints / "last.pt"
        for number in range(int(last.read_text()) + 1 if last.exists() else 1, epochs + 1):
            epoch(trial, number)
            trial.after_epoch()
            did.append(number)
            if number == dies_after:
                raise Died
        trial.scratch.write_predictions(TRIAL, [PREDICTION])
        trial.scratch.write_trial(trial_row(SPEC, status="done", metrics={}))
        trial.finish()
    return did


def test_a_trial_through_a_bucket(remote: Remote, scratch: Store, results: Store) -> None:
    assert run(quick(remote, scratch)) == [1, 2, 3]
    assert held(scratch.folder) == {}  # a node's own disk is small
    assert remote.bucket.list("checkpoints") == remote.bucket.list("claims") == {}
    assert remote.pull_trial(results, TRIAL)
    assert (results.folder / "tensorboard" / f"row-{TRIAL}").exists()
    # Another sweep that has it, too, finds it done.
    before = len(remote.bucket.files.steps)
    assert run(quick(remote, scratch)) == []
    assert len(remote.bucket.files.steps) == before


def test_a_trial_goes_on_elsewhere(remote: Remote, tmp_path: Path, results: Store) -> None:
    with pytest.raises(Died):
        run(quick(remote, Store(tmp_path / "node-1")), dies_after=2)
    assert run(quick(remote, Store(tmp_path / "node-2"))) == [3]
    assert remote.pull_trial(results, TRIAL)
    # Curves of both parts, though the first node's disk may be gone.
    curves = held(results.folder / "tensorboard" / f"row-{TRIAL}")
    assert curves == {"events.node-1": b"1;2;", "events.node-2": b"3;"}


def test_what_an_earlier_try_left_on_the_disk_is_not_handed_over(
    remote: Remote, scratch: Store, results: Store
) -> None:
    leave(scratch, error="of an earlier try")
    (scratch.folder / "checkpoints" / TRIAL).mkdir(parents=True)
    (scratch.folder / "checkpoints" / TRIAL / "last.pt").write_text("2")
    assert run(quick(remote, scratch)) == [1, 2, 3]
    assert remote.pull_trial(results, TRIAL)
    assert not (results.folder / "errors").exists()
    assert not (results.folder / "epochs").exists()


def test_two_workers_one_runs(remote: Remote, tmp_path: Path) -> None:
    did: list[list[int]] = []
    together = threading.Barrier(2)

    def worker(name: str) -> None:
        together.wait()
        did.append(run(quick(remote, Store(tmp_path / name))))

    workers = [threading.Thread(target=worker, args=[name]) for name in ("node-1", "node-2")]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(60)
    assert sorted(did) == [[], [1, 2, 3]]


def test_a_trial_that_ends_while_its_lease_is_taken_is_over(
    remote: Remote, scratch: Store, tmp_path: Path
) -> None:
    trial = quick(remote, scratch)
    take = trial.lease.take

    def late(is_over: object) -> bool:
        took = take(lambda: False)  # the last look for a row was too early
        leave(Store(tmp_path / "node-2"))
        remote.push_results(Store(tmp_path / "node-2"), TRIAL)
        return took

    trial.lease.take = late  # type: ignore[method-assign]
    assert run(trial) == []
    assert remote.bucket.list("claims") == {}


def test_a_worker_that_was_taken_over_stops_before_it_writes(
    remote: Remote, tmp_path: Path
) -> None:
    with pytest.raises(LeaseLostError), quick(remote, Store(tmp_path / "node-1")) as frozen:
        epoch(frozen, 1)
        frozen.after_epoch()
        # Its machine stands still; another takes over and ends the trial.
        frozen.lease._stop.set()
        assert run(quick(remote, Store(tmp_path / "node-2"), dead_after=0.05)) == [2, 3]
        epoch(frozen, 2)
        before = list(remote.bucket.files.steps)
        with pytest.raises(LeaseLostError):
            frozen.finish()
        frozen.after_epoch()
    written = remote.bucket.files.steps[len(before) :]
    assert not [step for step in written if not step.startswith("read")]


def test_a_claim_is_free_again_when_the_bucket_fails(remote: Remote, scratch: Store) -> None:
    trial = quick(remote, scratch)
    take = trial.lease.take

    def then_fail(is_over: object) -> bool:
        took = take(lambda: False)
        trial.lease._stop.set()
        remote.bucket.files.faults = [OSError("SLOW_DOWN")] * 3
        return took

    trial.lease.take = then_fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match=r"cannot read checkpoints/.*SLOW_DOWN"):
        trial.__enter__()
    assert remote.bucket.list("claims") == {}


def test_a_remote_of_a_uri(tmp_path: Path) -> None:
    remote = Remote.open(f"file://{tmp_path}/bucket")
    remote.check()
    assert run(quick(remote, Store(tmp_path / "scratch"))) == [1, 2, 3]
    assert Remote.open(f"file://{tmp_path}/bucket").is_over(TRIAL)
    assert remote.claim(TRIAL).key == f"claims/{TRIAL}"


# A real server of the S3 protocol.

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    yield from serve({})


def serve(environment: Mapping[str, str]) -> Iterator[str]:
    """Its address, such as 127.0.0.1:5000."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def uri(address: str, bucket: str, credentials: str = "") -> str:
    query = f"endpoint_override={address}&scheme=http&region=us-east-1"
    return f"s3://{credentials}{bucket}/mi2p/sweep?{query}"


def make_bucket(address: str, name: str) -> None:
    FileSystem.from_uri(f"{uri(address, name)}&allow_bucket_creation=true")[0].create_dir(name)


@pytest.mark.slow
def test_a_sweep_on_s3(s3: str, keys: None, tmp_path: Path, scratch: Store) -> None:
    make_bucket(s3, "results")
    remote, results = Remote.open(uri(s3, "results")), Store(tmp_path / "results")
    remote.check()
    assert remote.pull_rows(results) == 0  # the prefix is not there yet
    with pytest.raises(Died):
        run(quick(remote, Store(tmp_path / "node-1")), dies_after=2)
    assert run(quick(remote, Store(tmp_path / "node-2"))) == [3]
    assert run(quick(remote, Store(tmp_path / "node-1"))) == []
    assert remote.pull_rows(results) == 1
    assert results.trial(TRIAL) is not None
    assert results.predictions_file(TRIAL).exists()
    assert remote.bucket.list("checkpoints") == remote.bucket.list("claims") == {}
    remote.discard(TRIAL)
    assert not remote.is_over(TRIAL)
    test_two_workers_one_runs(remote, tmp_path)


@pytest.mark.slow
def test_a_missing_bucket_is_told(s3: str, keys: None) -> None:
    with pytest.raises(OSError, match=r"cannot write check/.* in s3://missing/.* must exist"):
        Remote.open(uri(s3, "missing")).check()


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told(keys: None) -> None:
    with pytest.raises(OSError, match=r"must be reachable from here \(see endpoint_override"):
        Remote.open(uri("127.0.0.1:9", "results")).check()


@pytest.mark.slow
def test_wrong_credentials_are_told(keys: None) -> None:
    for address in serve({"INITIAL_NO_AUTH_ACTION_COUNT": "0"}):  # all need good ones
        with pytest.raises(OSError, match=r"cannot write check/.* credentials .* must allow") as e:
            Remote.open(uri(address, "results", "AKIAWRONG:verysecret@")).check()
        assert "verysecret" not in str(e.value)


PUSHES = """
import sys
from pathlib import Path
from mi2p.remote import Remote
remote, folder = Remote.open(sys.argv[1]), Path(sys.argv[2])
folder.mkdir()
for number in range(1000):
    for old in folder.glob("best-*"):
        old.unlink()
    (folder / f"best-{number}.pt").write_bytes(b"%d" % number * 6_000_000)
    (folder / "last.pt").write_text(str(number))
    remote.push_checkpoint("t", folder)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_killed_worker_leaves_a_consistent_checkpoint(
    s3: str, keys: None, tmp_path: Path
) -> None:
    make_bucket(s3, "killed")
    remote = Remote.open(uri(s3, "killed"))
    for turn in range(6):
        worker = subprocess.Popen(
            [sys.executable, "-c", PUSHES, uri(s3, "killed"), str(tmp_path / f"node-{turn}")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        done = int(worker.stdout.readline())
        time.sleep(0.15 * turn)
        worker.send_signal(signal.SIGKILL)
        done = max([done, *map(int, worker.stdout.read().split())])
        worker.wait()
        remote.pull_checkpoint("t", tmp_path / "reader")
        found = {path.name: path.read_bytes() for path in (tmp_path / "reader").iterdir()}
        number = int(found["last.pt"])
        assert number in (done, done + 1)
        assert found == {
            "last.pt": b"%d" % number,
            f"best-{number}.pt": b"%d" % number * 6_000_000,
        }
