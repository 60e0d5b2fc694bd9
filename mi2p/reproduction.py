"""The model of a finished trial: its kept weights, or those of training it again.

A trial is a value, so training it again gives the same weights, bit for bit on the same kind of
machine with the same code. Whichever way, what the model predicts is compared with what the trial
predicted: a picture must be of the model whose number stands in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray

from mi2p import code
from mi2p.kept_weights import keep, kept
from mi2p.runtime import Runtime
from mi2p.spec import TrialSpec
from mi2p.store import Store
from mi2p.train import Predictions, Run, begin

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reproduced:
    """A trial's model in evaluation, and how near it is to what the trial predicted."""

    run: Run
    difference: float | None
    """The largest one of a probability; None if the trial's predictions are not kept."""


def reproduce(
    spec: TrialSpec, store: Store, runtime: Runtime, *, tolerance: float, tell: Tell
) -> Reproduced:
    """The model of a trial that is done; where no weights are kept it is trained, and they are.

    Killed while it trains it goes on from its last checkpoint. `ValueError` if the data is not
    what the trial saw, or if a probability differs by more than `tolerance`.
    """
    row = store.trial(spec.trial_id)
    assert row is not None
    run = begin(spec, replace(runtime, checkpoints=store.checkpoints(spec.trial_id)))
    found = run.inputs.dataset.fingerprint
    if found != row["data_fingerprint"]:
        raise ValueError(
            f"trial {spec.trial_id} must be looked at on the data that it saw, "
            f"{row['data_fingerprint']}, but this is {found}"
        )
    store.checkpoints(spec.trial_id).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{store.checkpoints(spec.trial_id)}.lock"):
        weights = kept(store, spec.trial_id)
        if weights is None:
            if row["code"] != code.fingerprint():
                tell(f"note: the trial is of other code ({row['code'] or 'unknown'})")
            _train(run, store, tell)
        else:
            run.model.load_trained_state(weights)
    run.model.eval()
    difference = _difference(run, store)
    _check(spec, store, difference, tolerance, tell)
    return Reproduced(run=run, difference=difference)


def _train(run: Run, store: Store, tell: Tell) -> None:
    """Train to the end; the model has the weights of the best epoch then, and they are kept."""
    trial_id, epochs = run.spec.trial_id, run.spec.train.epochs
    tell(f"no weights of trial {trial_id} are kept: it is trained again, {epochs} epochs")
    run.train(lambda record, _: tell(f"  epoch {record['epoch']:.0f} of {epochs}"))
    run.outcome()
    keep(store, trial_id, run.model.trained_state())
    store.forget(trial_id)


def _difference(run: Run, store: Store) -> float | None:
    try:
        theirs = store.predictions(run.spec.trial_id, _decoded)
    except FileNotFoundError:
        return None
    splits = list(dict.fromkeys(split for split, _ in theirs))
    ours = [run._evaluate(split)[0] for split in splits]
    return _largest(ours, theirs)


def _decoded(table: pa.Table) -> dict[tuple[str, str], Sequence[float]]:
    """Split and example to probabilities."""
    columns = (table[name].to_pylist() for name in ("split", "example_id", "probabilities"))
    return {(split, example): values for split, example, values in zip(*columns, strict=True)}


def _largest(ours: Sequence[Predictions], theirs: dict[tuple[str, str], Sequence[float]]) -> float:
    """Over all probabilities; `ValueError` if they are of other examples."""
    examples = [(part.split, example) for part in ours for example in part.ids]
    if sorted(examples) != sorted(theirs):
        raise ValueError("the trial's predictions are of other examples than the data has")
    made: NDArray[np.float32] = np.concatenate([part.probabilities for part in ours])
    stored = np.array([theirs[example] for example in examples], np.float32)
    return float(np.abs(made - stored).max())


def _check(
    spec: TrialSpec, store: Store, difference: float | None, tolerance: float, tell: Tell
) -> None:
    if difference is None:
        tell(f"note: predictions of trial {spec.trial_id} are not kept: nothing to compare with")
    elif difference == 0:
        tell(f"weights of trial {spec.trial_id}: they predict what its row is made of, every bit")
    elif difference <= tolerance:
        tell(
            f"weights of trial {spec.trial_id}: probabilities differ by at most {difference:.1e} "
            "from what its row is made of"
        )
    else:
        raise ValueError(
            f"weights must predict what the row of trial {spec.trial_id} is made of, but a "
            f"probability differs by {difference:.2g} (--tolerance {tolerance:g}). If the code or "
            f"the machine is another one, so is the model. --tolerance 1 draws it all the same, "
            f"and says so; without {store.weights(spec.trial_id)} it is trained again"
        )
