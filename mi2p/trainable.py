"""The Ray Tune adapter: one trial in a worker process."""

from __future__ import annotations

import ctypes
import gc
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.exceptions import RayError

from mi2p.attempt import Attempt, attempt_at, worker_store
from mi2p.failures import record_error
from mi2p.faults import of_storage
from mi2p.lease import LeaseLostError
from mi2p.nodes import SHARED, NotShared, shares
from mi2p.placement import COORDINATOR_CPUS, Request
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row

if TYPE_CHECKING:
    from mi2p.runtime import Runtime
    from mi2p.train import OnEpoch, Outcome


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where trials on one data set run: absolute folders that workers share with the driver."""

    results: str
    cache: str
    data: str
    weights: str | None
    remote: str | None = None
    """URI of a bucket through which results go; `results` is each node's own folder then."""
    identity: str = ""
    """In `.id` of the driver's results folder: a worker that does not find it there writes where
    nobody reads. Empty asks for nothing."""
    gpu: bool = False
    """Whether trials train on GPUs. Where not, they must not touch any: Ray hides none."""
    gpus: float = 0.0
    """That each trial was given, of which those of a test may be pretended ones."""
    accelerator: str | None = None
    checkpoint_activations: bool = False
    keep_weights: bool = False
    """Whether a finished trial of a table leaves the weights of its best epoch."""
    prepared: Sequence[Sequence[str]] = ()
    """Labels and names of the stores that the sweep has made."""

    def runtime(self, checkpoints: Path | None = None) -> Runtime:
        """How a trial that keeps its checkpoints there runs."""
        from mi2p.runtime import Runtime

        return Runtime(
            cache=Path(self.cache),
            data=Path(self.data),
            weights=Path(self.weights) if self.weights else None,
            checkpoints=checkpoints,
            device="cuda" if self.gpu else "cpu",
            gpu_share=min(self.gpus, 1.0) if self.gpu else 1.0,
            checkpoint_activations=self.checkpoint_activations,
            prepared={label: name for label, name in self.prepared},
        )

    def store(self) -> Store:
        """What a worker writes to."""
        return worker_store(self.results, self.remote)


def tune_config(spec: TrialSpec, label: str, places: Places) -> dict[str, Any]:
    """One value of the grid that Tune hands to `run_trial`: plain data only."""
    return {"spec": spec.to_dict(), "label": label, "places": asdict(places)}


def trial_resources(request: Request) -> dict[str, float]:
    """What Tune reserves for `run_trial`, by its names.

    For a trial of several processes that is only who waits for them; Ray Train places them.
    """
    if request.workers > 1:
        return {"cpu": COORDINATOR_CPUS}
    names = {"CPU": "cpu", "GPU": "gpu"}
    return {names.get(name, name): amount for name, amount in request.process.items()}


def run_trial(config: Mapping[str, Any]) -> None:
    """Tune's function trainable: run `config["trial"]` and report an epoch at a time."""
    trial = config["trial"]
    spec = TrialSpec.from_dict(trial["spec"])
    execute(spec, trial["label"], Places(**trial["places"]), tune.report)


def execute(
    spec: TrialSpec, label: str, places: Places, report: Callable[[dict[str, float]], None]
) -> None:
    """Run a trial and leave its row, whether it finishes or raises.

    A loss that is no number is a result like others: it is in the row, and not raised. A disk that
    fails or a lost machine is none: it is raised, and the trial goes on elsewhere.

    A lock per trial keeps two sweeps that share it, or a worker that outlived a killed driver,
    from running it twice at a time: who comes second finds the row.
    """
    place = places.remote or places.results
    if places.identity and not shares(place, places.identity):
        raise NotShared(f"{place} on {socket.gethostname()} is another place: {SHARED}")
    store = places.store()
    with attempt_at(store, spec.trial_id) as attempt:
        if attempt.is_over():
            store.forget(spec.trial_id)  # of a worker that died after it had written the row
            return
        store.record(spec.trial_id).begins()
        _train(spec, label, places, store, attempt, report)


def _train(
    spec: TrialSpec,
    label: str,
    places: Places,
    store: Store,
    attempt: Attempt,
    report: Callable[[dict[str, float]], None],
) -> None:
    curves = _Curves(store.folder / "tensorboard" / f"{label}-{spec.trial_id}")
    last: dict[str, float] = {}

    def on_epoch(epoch: dict[str, float], checkpoint: Path | None) -> None:
        last.update(epoch)
        curves.add(epoch)
        attempt.after_epoch()
        report(epoch)

    try:
        outcome = _fit(spec, places, store.checkpoints(spec.trial_id), on_epoch)
        curves.close()
        if places.keep_weights and spec.stage == "confirm":
            from mi2p.kept_weights import keep_best

            keep_best(store, spec.trial_id, outcome.best_epoch)
        _write(store, spec, outcome)
    except Exception as error:
        if of_storage(error) or isinstance(error, RayError | LeaseLostError):
            raise  # nothing that the trial did: it goes on elsewhere
        record_error(store, spec, error, last)
        attempt.finish()  # tried again, it starts anew: what it had learnt may be the error
        if not isinstance(error, FloatingPointError):
            raise  # the next trial gets another process
    else:
        attempt.finish()
    finally:
        curves.close()
        release_memory()


def _fit(spec: TrialSpec, places: Places, folder: Path, on_epoch: OnEpoch) -> Outcome:
    """Train in this process, or in as many as the trial has GPUs."""
    request = Request(gpus=places.gpus, accelerator=places.accelerator)
    if request.workers > 1:
        from mi2p.distributed import fit_together

        return fit_together(spec, places, folder, on_epoch, request=request)
    from mi2p.train import fit

    return fit(spec, places.runtime(folder), on_epoch)


def _write(store: Store, spec: TrialSpec, outcome: Outcome) -> None:
    """Everything a finished trial leaves; its row last, because it says that all is there."""
    store.write_epochs(spec.trial_id, outcome.history)
    store.write_predictions(
        spec.trial_id,
        [
            {
                "split": part.split,
                "example_id": example,
                "labels": [int(i) for i in (labels.nonzero()[0] if labels.ndim else [labels])],
                "probabilities": probabilities.tolist(),
            }
            for part in outcome.predictions
            for example, labels, probabilities in zip(
                part.ids, part.labels, part.probabilities, strict=True
            )
        ],
    )
    faults = store.record(spec.trial_id).text()
    row = trial_row(
        spec,
        status="done",
        metrics=outcome.metrics,
        environment={**outcome.environment, "faults": faults},
        best_epoch=outcome.best_epoch,
    )
    store.write_trial(row)


def release_memory() -> None:
    """Give what the trial freed back to the system: a reused worker runs many trials, and with
    WORKER_ENVIRONMENT glibc keeps the pieces between them until they fill the machine."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc only
        libc.malloc_trim(0)


class _Curves:
    """TensorBoard events of a trial. Written here and not by Tune's logger, whose steps count
    from 1 again when a trial resumes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def add(self, record: Mapping[str, float]) -> None:
        from tensorboardX import SummaryWriter

        step = int(record["epoch"])
        if self.writer is None:
            # Epochs from here on that an earlier, killed run wrote are purged. The suffix keeps
            # two writers that start within a second from writing to one file.
            self.writer = SummaryWriter(
                str(self.folder), purge_step=step, filename_suffix=f".from{step}"
            )
        for name, value in record.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
