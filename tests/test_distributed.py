"""A trial over several pretended GPUs, in the workers of Ray Train."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError, RayActorError
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

from mi2p import data
from mi2p.distributed import cause_of, fit_together
from mi2p.orphans import free_orphans
from mi2p.placement import Request
from mi2p.train import Outcome, fit
from mi2p.trainable import Places
from tests.planted import planted_xor
from tests.test_team import assert_close
from tests.test_train import spec_of

HERE = "MI2P_TEST_PLANTED"
"""Environment variable of the Ray processes of this test: where the planted data is described."""
SPEC = spec_of("me_bert")
PAIR = Request(gpus=2)


def failed(*failures: Exception) -> WorkerGroupError:
    return WorkerGroupError("as told", dict(enumerate(failures)))


LOST = WorkerHealthCheckFailedError("no answer", ActorDiedError())
CLOSED = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:4711")
DIVERGED = FloatingPointError("loss is nan at epoch 1")
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failed(DIVERGED, DIVERGED), FloatingPointError),
        (failed(OUT_OF_MEMORY), torch.OutOfMemoryError),
        # Another one has lost contact to the process that raised, or that died.
        (failed(CLOSED, OUT_OF_MEMORY), torch.OutOfMemoryError),
        (failed(CLOSED, LOST), ActorDiedError),
        (failed(OUT_OF_MEMORY, LOST), ActorDiedError),
        # Heard of before it is known who died.
        (failed(CLOSED), RayActorError),
        (failed(torch.distributed.DistBackendError("remote process exited")), RayActorError),
        (failed(WorkerHealthCheckTimeoutError("hangs")), RayActorError),
        (ControllerError(WorkerGroupStartupFailedError("died at its start")), RayActorError),
        (ControllerError(OSError("no space left on device")), OSError),
        (failed(RuntimeError("shapes do not fit")), RuntimeError),
    ],
)
def test_bad_trials_are_told_from_lost_machines(
    error: TrainingFailedError, expected: type[Exception]
) -> None:
    assert type(cause_of(error)) is expected


def register_planted() -> None:
    """What the processes of Ray begin with."""
    planted = pickle.loads(Path(os.environ[HERE]).read_bytes())
    data.DATASETS["planted"] = data.Source(
        locate=lambda root: root or Path(), read=lambda root, spec: planted
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A cluster of one machine that pretends to two GPUs."""
    import ray

    folder = tmp_path_factory.mktemp("distributed")
    described = folder / "planted.pickle"
    described.write_bytes(pickle.dumps(planted_xor(folder / "planted", count=96)))
    os.environ[HERE] = str(described)
    register_planted()
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={
            "env_vars": {
                HERE: str(described),
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "OMP_NUM_THREADS": "1",
            },
            "worker_process_setup_hook": register_planted,
        },
    )
    try:
        yield Places(
            results=str(folder / "results"),
            cache=str(folder / "cache"),
            data=str(folder),
            weights=None,
        )
    finally:
        ray.shutdown()
        os.environ.pop(HERE)
        data.DATASETS.pop("planted")


@pytest.fixture(scope="module")
def alone(places: Places) -> Outcome:
    return fit(SPEC, places.runtime())


@pytest.mark.slow
def test_two_workers_predict_what_one_process_does(places: Places, alone: Outcome) -> None:
    heard: list[tuple[int, bool]] = []
    folder = places.store().checkpoints("two")

    def on_epoch(record: dict[str, float], checkpoint: Path | None) -> None:
        there = checkpoint == folder / "last.pt" and checkpoint.exists()
        heard.append((int(record["epoch"]), there))

    together = fit_together(SPEC, places, folder, on_epoch, request=PAIR)
    assert_close(together, alone)
    assert heard == [(1, True), (2, True)]
    assert not list((Path(places.results) / "ray" / "train").iterdir())
    assert_gone()


@pytest.mark.slow
def test_a_bad_trial_raises_what_it_raises_in_one_process(places: Places) -> None:
    diverging = replace(SPEC, train=replace(SPEC.train, lr=1e30))
    with pytest.raises(FloatingPointError) as alone:
        fit(diverging, places.runtime())
    with pytest.raises(FloatingPointError) as together:
        fit_together(diverging, places, places.store().checkpoints("bad"), request=PAIR)
    assert str(together.value) == str(alone.value)
    assert_gone()


@pytest.mark.slow
@pytest.mark.long
def test_a_lost_worker_is_told_and_the_trial_goes_on_from_its_epoch(
    places: Places, alone: Outcome
) -> None:
    folder, heard = places.store().checkpoints("lost"), []

    def kill_one(record: dict[str, float], checkpoint: Path | None) -> None:
        heard.append(record["epoch"])
        os.kill(processes("ray::RayTrainWorker")[-1], signal.SIGKILL)

    longer = replace(SPEC, train=replace(SPEC.train, epochs=50))
    with pytest.raises(RayActorError):
        fit_together(longer, places, folder, kill_one, request=PAIR)
    assert_gone()
    began = len(heard)
    short = heard[:]

    def stop(record: dict[str, float], checkpoint: Path | None) -> None:
        short.append(record["epoch"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_together(longer, places, folder, stop, request=PAIR)
    assert began >= 1 and short[-1] > 1
    assert_gone()


@pytest.mark.slow
def test_workers_go_with_the_process_that_asked_for_them(places: Places, tmp_path: Path) -> None:
    import ray

    said = tmp_path / "said"

    @ray.remote(num_cpus=1, num_gpus=0)
    class Trial:
        def run(self, where: dict[str, Any]) -> None:
            longer = replace(SPEC, train=replace(SPEC.train, epochs=1000))
            places = Places(**where)
            fit_together(
                longer,
                places,
                places.store().checkpoints("killed"),
                lambda record, path: said.touch(),
                request=PAIR,
            )

    trial = Trial.remote()  # type: ignore[attr-defined]
    trial.run.remote(vars(places))
    wait_for(said.exists)
    assert len(processes("ray::RayTrainWorker")) == 2
    ray.kill(trial)
    wait_for(lambda: free_orphans() == 1)  # as the driver of a sweep does
    assert_gone()


def assert_gone() -> None:
    """No process of Ray Train is left, and the GPUs are free."""
    import ray

    wait_for(lambda: not processes("ray::RayTrain", "ray::Train", "ray::Guard"))
    wait_for(lambda: ray.available_resources().get("GPU") == 2)


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def processes(*starts: str) -> list[int]:
    """The ids of those of this test whose name starts so."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes().decode()
            variables = (folder / "environ").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if name.startswith(starts) and f"{HERE}={os.environ[HERE]}" in variables:
            found.append(int(folder.name))
    return found
