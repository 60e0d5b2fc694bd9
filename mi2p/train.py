"""One trial: train with Adam at a fixed rate, choose the epoch on validation, test once.

`fit` knows nothing of Ray. Two runs of a spec agree bit for bit on a CPU, and a run that is killed
after any epoch and started again ends with the same bits as one that was not: every epoch draws
its own random numbers from (seed, epoch), and nothing else is carried over than the checkpoint.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mi2p import metrics
from mi2p.checkpoint import Checkpoints, State
from mi2p.inputs import Inputs, prepare
from mi2p.legality import require
from mi2p.models import Classifier, build
from mi2p.models.memory import checkpoint_activations
from mi2p.parameters import pretrained_weights
from mi2p.runtime import Runtime, bfloat16, device_name
from mi2p.spec import TrialSpec
from mi2p.steps import Learner, autocast, check_shares, epoch_batches, loss, make_optimiser, step
from mi2p.team import Team

EVALUATION_BATCH = 64

OnEpoch = Callable[[dict[str, float], Path | None], None]
"""Called after each epoch with its record (`epoch`, `train/loss`, `val/...`) and checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Probabilities (N, K) of a split's examples, in the data set's order."""

    split: str
    ids: tuple[str, ...]
    labels: NDArray[np.integer] | NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a finished trial leaves."""

    spec: TrialSpec
    best_epoch: int
    metrics: dict[str, float]
    """Of the best epoch: `val/...`, and `test/...` when the trial confirms."""
    history: list[dict[str, float]]
    """A record per epoch; `epoch` counts from 1. `train/loss` is the sum over all predictions
    that are supervised, `val/loss` that of the prediction."""
    predictions: tuple[Predictions, ...]
    environment: dict[str, Any] = field(default_factory=dict)
    """Parameters, device, precision, data fingerprint, versions, seconds."""


def fit(spec: TrialSpec, runtime: Runtime, on_epoch: OnEpoch | None = None) -> Outcome:
    """Train and evaluate `spec`; `FloatingPointError` names the epoch and step of a bad loss.

    `ValueError` for a spec that averages trials: nothing is trained for it (`mi2p.averages`).
    """
    run = begin(spec, runtime)
    run.train(on_epoch)
    return run.outcome()


def begin(spec: TrialSpec, runtime: Runtime) -> Run:
    """Open what `spec` reads and build its model, ready to be trained.

    In each process of a team; `ValueError` when there is not an example for each in every part.
    """
    require(not spec.averages, "a trial that is trained averages none", averages=spec.averages)
    team = Team.current()
    device = runtime.make_deterministic()
    inputs = prepare(spec.data, spec.model, runtime)
    check_shares(spec.train, len(inputs.rows("train")), team.size)
    model = build(
        spec,
        len(inputs.dataset.classes),
        multilabel=inputs.dataset.multilabel,
        weights=runtime.weights,
        stored=inputs.stored,
    )
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if runtime.checkpoint_activations:
        checkpoint_activations(model)
    return Run(spec, model, inputs, device, runtime.checkpoints, team)


class Run:
    """The state of one training run: model, optimiser, history."""

    def __init__(
        self,
        spec: TrialSpec,
        model: Classifier,
        inputs: Inputs,
        device: torch.device,
        checkpoints: Path | None,
        team: Team,
    ) -> None:
        self.spec, self.model, self.inputs, self.device = spec, model, inputs, device
        self.team = team
        self.multilabel = inputs.dataset.multilabel
        self.optimiser = make_optimiser(model, spec)
        self.learner = Learner(model, team)
        self.history: list[dict[str, float]] = []
        self.checkpoints = Checkpoints(checkpoints) if checkpoints else None
        self.best_weights: dict[str, Tensor] | None = None
        self.seconds = 0.0
        self.weights = pretrained_weights(model, inputs)

    def train(self, on_epoch: OnEpoch | None) -> None:
        self._resume()
        for epoch in range(len(self.history) + 1, self.spec.train.epochs + 1):
            start = time.perf_counter()
            record = {"epoch": float(epoch), "train/loss": self._train_epoch(epoch)}
            _, val = self._evaluate("val")
            record |= val
            self.history.append(record)
            self.seconds += time.perf_counter() - start
            path = self._keep(epoch, best=self.best_epoch())
            if on_epoch is not None:
                on_epoch(record, path)

    def outcome(self) -> Outcome:
        best = self.best_epoch()
        weights = self.checkpoints.best(best) if self.checkpoints else self.best_weights
        assert weights is not None
        self.model.load_trained_state(weights)
        predictions, val = self._evaluate("val")
        kept, found = [predictions], val
        if self.spec.stage == "confirm":
            predictions, test = self._evaluate("test")
            kept.append(predictions)
            found = val | test
            if self.multilabel:
                found |= metrics.tuned_scores(*((p.probabilities, p.labels) for p in kept))
        return Outcome(
            spec=self.spec,
            best_epoch=best,
            metrics=found,
            history=self.history,
            predictions=tuple(kept),
            environment=self._environment(),
        )

    def best_epoch(self) -> int:
        """The first epoch with the highest primary metric on validation."""
        metric = f"val/{metrics.primary(multilabel=self.multilabel)}"
        return 1 + int(np.argmax([record[metric] for record in self.history]))

    def _train_epoch(self, epoch: int) -> float:
        """Mean training loss of the epoch."""
        seed = np.random.SeedSequence([self.spec.seed, epoch])
        torch.manual_seed(int(seed.generate_state(1)[0]))  # dropout, stochastic depth
        rows = np.random.default_rng(seed).permutation(self.inputs.rows("train"))
        augment = None
        if self.spec.data.augment != "none":
            augment = np.random.default_rng(seed.spawn(1)[0])
        batches = epoch_batches(self.spec.train, rows)
        self.model.train()
        total = 0.0
        for number, parts in enumerate(batches, start=1):
            sizes = [len(part) for part in parts]
            read = (
                self.inputs.batch(part, self.device, augment, self.team.share(len(part)))
                for part in parts
            )
            where = f"epoch {epoch}, step {number} of {len(batches)} (lr {self.spec.train.lr:g})"
            total += step(self.learner, self.optimiser, read, sizes=sizes, where=where)
        self._check_noise(epoch)
        return total / len(rows)

    def _check_noise(self, epoch: int) -> None:
        """`RuntimeError` unless all processes have drawn the same numbers."""
        cuda = self.device.type == "cuda"
        state = torch.cuda.get_rng_state(self.device) if cuda else torch.get_rng_state()
        if not self.team.agrees(zlib.crc32(state.numpy().tobytes())):
            raise RuntimeError(f"the trial's processes drew different noise in epoch {epoch}")

    @torch.no_grad()
    def _evaluate(self, split: str) -> tuple[Predictions, dict[str, float]]:
        """Predictions of a split and its metrics, named `split/...`."""
        self.model.eval()
        rows = self.inputs.rows(split)
        found = torch.zeros(len(rows), len(self.inputs.dataset.classes), device=self.device)
        # Whole batches for each process, so that none has other bits than in one process.
        for start in self.team.turns(range(0, len(rows), EVALUATION_BATCH)):
            part = slice(start, start + EVALUATION_BATCH)
            with autocast(self.device):
                found[part] = self.model(self.inputs.batch(rows[part], self.device)).float()
        logits = self.team.add_up(found).cpu()
        labels = self.inputs.labels[rows]
        probabilities = (logits.sigmoid() if self.multilabel else logits.softmax(-1)).numpy()
        scores = metrics.score(probabilities, labels.numpy(), multilabel=self.multilabel)
        scores["loss"] = float(loss(logits, labels))
        if not np.isfinite(scores["loss"]):  # the last step of an epoch can ruin the weights
            raise FloatingPointError(
                f"{split} loss is {scores['loss']} after epoch {len(self.history) + 1} "
                f"(lr {self.spec.train.lr:g})"
            )
        examples = self.inputs.everything.examples
        kept = Predictions(
            split=split,
            ids=tuple(examples[i].id for i in rows),
            labels=labels.numpy(),
            probabilities=probabilities,
        )
        return kept, {f"{split}/{name}": value for name, value in scores.items()}

    def _keep(self, epoch: int, *, best: int) -> Path | None:
        """Keep the state behind `epoch`, and its weights if it is the best one."""
        weights = self.model.trained_state()
        if self.checkpoints is None:
            if epoch == best:
                self.best_weights = {k: v.detach().clone() for k, v in weights.items()}
            return None
        state = {
            "trial_id": self.spec.trial_id,
            "history": self.history,
            "best_epoch": best,
            "seconds": self.seconds,
            "model": weights,
            "optimiser": self.optimiser.state_dict(),
        }
        if self.team.first:
            self.checkpoints.save(state, best=weights if epoch == best else None)
        self.team.wait()  # for what any of them may read
        return self.checkpoints.last

    def _resume(self) -> None:
        state = self._agreed_state()
        if state is None:
            return
        if state["trial_id"] != self.spec.trial_id:
            raise ValueError(f"checkpoint of trial {state['trial_id']}, not {self.spec.trial_id}")
        self.model.load_trained_state(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history, self.seconds = state["history"], state["seconds"]

    def _agreed_state(self) -> State | None:
        """What all processes go on from; `RuntimeError` if one cannot read it."""
        if self.checkpoints is None:
            return None
        found = self.checkpoints.load() if self.team.first else None
        name = self.team.told(found[0] if found else None)
        if name is None:
            return None
        state = found[1] if found else self.checkpoints.read(name)
        if not self.team.agrees(0 if state is None else len(state["history"])) or state is None:
            raise RuntimeError(
                f"all processes of a trial must read one state, but {name} in "
                f"{self.checkpoints.folder} is not the same for all"
            )
        return state

    def _environment(self) -> dict[str, Any]:
        added = sum(p.numel() for p in self.model.added_parameters())
        return {
            "data_fingerprint": self.inputs.dataset.fingerprint,
            "weights": self.weights,
            "device": device_name(self.device),
            "precision": "bfloat16" if bfloat16(self.device) else "float32",
            "torch_version": torch.__version__,
            "parameters": sum(p.numel() for p in self.model.trained_parameters()),
            "added_parameters": added,
            "images_left_out": int((~self.inputs.usable).sum()),
            "processes": self.team.size,
            "seconds": self.seconds,
        }
