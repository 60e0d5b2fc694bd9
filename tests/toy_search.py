"""A space, an objective and a runner of trials for tests of searches; no Ray, nothing trained."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from mi2p.options import SEARCH_SEED
from mi2p.plan import Plan, PlanRow
from mi2p.search.rounds import Search
from mi2p.search.studies import RowStudy
from mi2p.source import Job
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, trial_row

METRIC = "val/accuracy"
DECLARED = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="tiny_densenet"),
    train=TrainSpec(lr=1e-4, epochs=9),
)


@dataclass(frozen=True)
class ToySpace:
    """A learning rate, a dropout, and a weight decay for those that have one."""

    base: TrialSpec = DECLARED
    domains: Mapping[str, Any] | None = None
    """None, or the only learning rates there are."""

    def sample(self, ask: Any) -> TrialSpec:
        if self.domains:
            return self.spec_of({"lr": ask.suggest_categorical("lr", self.domains["lr"])})
        params = {
            "lr": ask.suggest_float("lr", 1e-6, 1e-1, log=True),
            "dropout": ask.suggest_float("dropout", 0, 0.9),
            "decays": ask.suggest_categorical("decays", [False, True]),
        }
        if params["decays"]:
            params["decay"] = ask.suggest_float("decay", 1e-6, 1e-1, log=True)
        return self.spec_of(params)

    def spec_of(self, params: Mapping[str, Any]) -> TrialSpec:
        train = replace(self.base.train, lr=params["lr"], weight_decay=params.get("decay", 0))
        dropout = params.get("dropout", self.base.model.head_dropout)
        return replace(
            self.base, train=train, model=replace(self.base.model, head_dropout=dropout)
        )

    def first(self) -> dict[str, Any]:
        if self.domains:
            return {"lr": self.base.train.lr}
        return {
            "lr": self.base.train.lr,
            "dropout": self.base.model.head_dropout,
            "decays": False,
        }

    def to_dict(self) -> dict[str, Any]:
        return {"base": self.base.to_dict(), "domains": self.domains}


def few(*rates: float) -> ToySpace:
    """A space of so many points."""
    return ToySpace(domains={"lr": list(rates)})


def score(spec: TrialSpec) -> float:
    """The objective: 1 at a rate of 3e-3, a dropout of 0.4 and a weight decay of 1e-4."""
    decay = math.log10(spec.train.weight_decay) + 4 if spec.train.weight_decay else 3
    rate = math.log10(spec.train.lr / 3e-3)
    return 1 - 0.15 * abs(rate) - 0.5 * abs(spec.model.head_dropout - 0.4) - 0.05 * abs(decay)


def done(spec: TrialSpec, value: float | None = None, **columns: Any) -> dict[str, Any]:
    """The row of a finished trial, with test metrics that no search may read."""
    metrics = {METRIC: score(spec) if value is None else value, "test/accuracy": 1 - score(spec)}
    counts = {"added_parameters": 7, "seconds": 1.0} | columns
    return trial_row(spec, status="done", metrics=metrics, environment=counts, best_epoch=1)


def failed(spec: TrialSpec, error: str = "boom") -> dict[str, Any]:
    return trial_row(spec, status="error", metrics={}, error=error)


def pruned(spec: TrialSpec) -> dict[str, Any]:
    return trial_row(spec, status="pruned", metrics={METRIC: 0.1})


def open_row(storage: BaseStorage, space: Any = None, **changed: Any) -> RowStudy:
    """A study of 12 configurations, 3 at a time, that `random` suggests."""
    options: dict[str, Any] = {
        "sampler": "random",
        "scheduler": "none",
        "against": None,
        "metric": METRIC,
        "budget": 12,
        "in_flight": 3,
    }
    searched: Any = space or ToySpace()
    return RowStudy(storage, searched, **(options | changed))


def params_of(study: RowStudy) -> list[dict[str, Any]]:
    return [trial.params for trial in study._trials]


def states_of(study: RowStudy) -> list[str]:
    return [trial.state.name for trial in study._trials]


def run_study(
    study: RowStudy, store: Store, *, at_once: int = 3, seed: int = 0
) -> list[TrialSpec]:
    """Run a study to its end; trials end in an order drawn from `seed`."""
    rng, out, ran = random.Random(seed), dict[str, TrialSpec](), list[TrialSpec]()
    while not study.is_over:
        while len(out) < at_once and (found := study.next(store, out)) is not None:
            out[found[1].trial_id] = found[1]
        if not out:  # the last suggestions were all answered
            assert study.is_over, "neither over nor anything to run"
            break
        spec = out.pop(rng.choice(list(out)))
        row = done(spec)
        store.write_trial(row)
        study.ended(spec.trial_id, row)
        ran.append(spec)
    return ran


def toy_row(key: str, space: ToySpace, seeds: tuple[int, ...] = (0, 1)) -> PlanRow:
    specs = tuple(replace(space.base, seed=seed) for seed in seeds)
    return PlanRow(key=key, label=f"Row {key}", paper="", specs=specs)


def toy_plan(*rows: PlanRow) -> Plan:
    return Plan(name="table5-toy", table=5, rows=rows)


class Killed(Exception):
    """The driver is gone; nothing was released."""


class Runner:
    """Runs the jobs of a `Search`, so many at a time, as the driver and its workers do."""

    def __init__(self, folder: Path, *, at_once: int = 4, seed: int = 0) -> None:
        self.store, self.at_once, self.rng = Store(folder), at_once, random.Random(seed)
        self.ran: list[str] = []
        """Trials that ended, by their ids."""
        self.jobs: list[Job] = []

    def run(
        self,
        search: Search,
        *,
        steps: float = math.inf,
        row_of: Callable[[TrialSpec], dict[str, Any]] = done,
    ) -> None:
        """Until the search is over; `Killed` after so many steps, of which a trial's end is three:
        its row is written, then it is told, then the next ones start."""
        out: dict[str, Job] = {}

        def step() -> None:
            nonlocal steps
            steps -= 1
            if steps < 0:
                raise Killed

        while not (search.over and not out):
            while len(out) < self.at_once and (job := search.next()) is not None:
                assert job.spec.trial_id not in out
                assert self.store.trial(job.spec.trial_id) is None, "a finished trial again"
                out[job.spec.trial_id] = job
                self.jobs.append(job)
                step()
            assert out, "neither over nor anything to run"
            job = out.pop(self.rng.choice(list(out)))
            row = row_of(job.spec)
            self.store.write_trial(row)
            self.ran.append(job.spec.trial_id)
            step()
            search.ended(job.spec.trial_id, row)
            step()


def is_search(spec: TrialSpec) -> bool:
    return spec.stage == "search" and spec.seed == SEARCH_SEED
