"""A trial over several GPUs of one machine: `fit` in the workers of Ray Train.

To be called in a trial's own process, which has no GPU. It waits there for the workers and hears
of each epoch as it ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import ray
from ray import train
from ray.exceptions import RayActorError, RayError
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.exceptions import RayTrainError, WorkerHealthCheckFailedError
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    remove_placement_group,
)
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mi2p.placement import Request
from mi2p.spec import TrialSpec
from mi2p.trainable import Places

if TYPE_CHECKING:
    from mi2p.train import OnEpoch, Outcome

LISTENING = 0.5
"""Seconds between two looks at whether the workers are done."""
LOST_CONTACT = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
"""In what a worker raises when another one is gone."""


def fit_together(
    spec: TrialSpec,
    places: Places,
    folder: Path,
    on_epoch: OnEpoch | None = None,
    *,
    request: Request,
) -> Outcome:
    """`fit` in the processes that a trial asks for, all on one machine.

    Checkpoints are kept in `folder`. Waits until a machine has room for all. Raises what `fit`
    raises in a worker, and `RayError` when a worker or its machine is lost.
    """
    storage = Path(places.results) / "ray" / "train"
    name = f"{spec.trial_id}-{uuid4().hex[:8]}"  # a run of that name would be gone on with
    config = {"spec": spec.to_dict(), "places": asdict(places), "folder": str(folder)}
    records, heard = _queue_here(), _queue_here()
    with ThreadPoolExecutor(1) as thread:
        trainer = TorchTrainer(
            _work,
            train_loop_config={**config, "records": records, "heard": heard},
            torch_config=TorchConfig(backend="nccl" if places.gpu else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=request.workers,
                use_gpu=True,
                resources_per_worker=request.process,
                placement_strategy="STRICT_PACK",
            ),
            run_config=train.RunConfig(
                name=name,
                storage_path=str(storage),
                # Who calls decides whether a trial is tried again.
                failure_config=train.FailureConfig(
                    max_failures=0, max_preemption_failures=0, controller_failure_limit=3
                ),
                logging_config=train.LoggingConfig(log_level="ERROR"),
            ),
        )
        done = thread.submit(trainer.fit)
        listener = Listener(records, heard, on_epoch)
        try:
            listener.listen(done)
            outcome: Outcome = done.result().return_value
        except TrainingFailedError as error:
            raise cause_of(error) from error
        finally:
            listener.end_workers()
            records.shutdown(force=True)
            heard.shutdown(force=True)
            done.exception()
            shutil.rmtree(storage / name, ignore_errors=True)
    return outcome


def _work(config: Mapping[str, Any]) -> Outcome | None:
    """A worker's part; the first one's outcome is the trial's."""
    from mi2p.train import fit

    first = train.get_context().get_world_rank() == 0
    records: Queue = config["records"]
    heard: Queue = config["heard"]
    if first:
        records.put(get_current_placement_group())

    def tell(record: dict[str, float], checkpoint: Path | None) -> None:
        if first:  # the others wait for this one in the next step
            records.put((record, checkpoint))
            heard.get()

    runtime = Places(**config["places"]).runtime(Path(config["folder"]))
    outcome = fit(TrialSpec.from_dict(config["spec"]), runtime, tell)
    return outcome if first else None


def _queue_here() -> Queue:
    """For the epochs' records; on this machine, whose loss ends the trial anyway."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


class Listener:
    """The caller's end of two queues: first comes where the workers are, then their records.

    Each record is answered when it was told: nothing is trained that nobody wants any more.
    """

    def __init__(self, records: Queue, heard: Queue, on_epoch: OnEpoch | None) -> None:
        self.records, self.heard, self.on_epoch = records, heard, on_epoch
        self.group: PlacementGroup | None = None

    def listen(self, done: Future[Any]) -> None:
        """Pass on records until the workers are done and the last record is heard."""
        over = False
        while not over:
            over = done.done()
            with suppress(Empty):
                while True:
                    self._hear(self.records.get(timeout=0.01 if over else LISTENING))

    def end_workers(self) -> None:
        """At once, if there are any."""
        if self.group is not None:
            remove_placement_group(self.group)

    def _hear(self, message: Any) -> None:
        if isinstance(message, PlacementGroup):
            self.group = message
        else:
            if self.on_epoch is not None:
                self.on_epoch(*message)
            self.heard.put(None)


def cause_of(error: TrainingFailedError) -> Exception:
    """What a worker's `fit` raised, or a `RayError` if a worker, or its machine, was lost."""
    if isinstance(error, ControllerError):
        failure: Exception = error.controller_failure
        if _of_ray(failure):
            return cast(Exception, RayActorError(error_msg=str(failure)))
        return failure
    if not isinstance(error, WorkerGroupError):  # a machine that is taken away
        taken: Exception = RayActorError(error_msg=str(error), preempted=True)
        return taken
    failures: list[Exception] = list(error.worker_failures.values())
    for found in failures:
        if isinstance(found, WorkerHealthCheckFailedError):
            return cast(Exception, found.health_check_failure)
    # What the others raise when one is gone tells nothing of the trial.
    own = [found for found in failures if not (_of_ray(found) or lost_contact(found))]
    if own:
        return own[0]
    gone: Exception = RayActorError(error_msg=str(failures[0]))
    return gone


def _of_ray(failure: Exception) -> bool:
    return isinstance(failure, RayError | RayTrainError)


def lost_contact(failure: Exception) -> bool:
    """Whether a worker raised this because another one did not answer."""
    from torch.distributed import DistError

    if isinstance(failure, DistError):
        return True
    message = str(failure).lower()
    return type(failure) is RuntimeError and any(sign in message for sign in LOST_CONTACT)
