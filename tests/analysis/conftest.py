"""A results folder of hand-made trials, as a sweep of Table 5 leaves it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.assembled import beside
from analysis.comparison import Comparison
from analysis.typesetting.latex_table import PREAMBLE
from analysis.typesetting.tabular import Table
from mi2p.metrics import score
from mi2p.plan import Plan, PlanRow
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.store import Status, Store, trial_row

ENVIRONMENT = {
    "data_fingerprint": "f00d",
    "device": "cpu",
    "precision": "float32",
    "torch_version": "2.9.0",
}
CNN = ModelSpec(name="cnn", visual="densenet121")
BERT = ModelSpec(name="bert", textual="minilm")
ME_CNN = ModelSpec(
    name="me_cnn", visual="densenet121", textual="minilm", units=UnitSpec(attach=(1, 2, 3, 4))
)
ME_BERT = replace(ME_CNN, name="me_bert", units=UnitSpec(attach=(1, 2, 3)))


@dataclass(frozen=True)
class Lab:
    """Makes plans and writes trials into `results`."""

    results: Path
    dataset: str = "openclipart"

    def spec(self, model: ModelSpec, seed: int, *, lr: float = 1e-4) -> TrialSpec:
        train = TrainSpec(lr=lr, epochs=3)
        return TrialSpec(data=DataSpec(name=self.dataset), model=model, train=train, seed=seed)

    def row(
        self, key: str, label: str, model: ModelSpec, *, paper: str = "", seeds: Sequence[int]
    ) -> PlanRow:
        specs = tuple(self.spec(model, seed) for seed in seeds)
        return PlanRow(key=key, label=label, paper=paper, specs=specs)

    def plan(self, seeds: Sequence[int] = (0, 1, 2), *, name: str = "table5-lab") -> Plan:
        """Two visual and two textual rows."""
        rows = (
            self.row("cnn", "DenseNet-121", CNN, paper="DenseNet", seeds=seeds),
            self.row(
                "me_cnn-1-4",
                "DenseNet-121 + MI2P{1-4}",
                ME_CNN,
                paper="DenseNet + MI2P{1-4}",
                seeds=seeds,
            ),
            self.row("bert", "MiniLM", BERT, paper="BERT", seeds=seeds),
            self.row(
                "me_bert-1-3",
                "MiniLM + MI2P{1-3}",
                ME_BERT,
                paper="Bert + MI2P{1-3}",
                seeds=seeds,
            ),
        )
        return Plan(name=name, table=5, rows=rows)

    def trial(
        self,
        spec: TrialSpec,
        metrics: Mapping[str, float],
        *,
        status: Status = "done",
        **environment: Any,
    ) -> dict[str, Any]:
        """Store a trial; test metrics are named without their `test/`."""
        row = trial_row(
            spec,
            status=status,
            metrics={f"test/{name}": value for name, value in metrics.items()},
            environment=ENVIRONMENT | environment,
            error="boom" if status == "error" else None,
        )
        Store(self.results).write_trial(row)
        return row

    def fill(self, row: PlanRow, accuracies: Sequence[float], **environment: Any) -> None:
        """A finished trial per accuracy, its macro-F1 0.1 lower and its weighted F1 the same."""
        for spec, accuracy in zip(row.specs, accuracies, strict=False):
            metrics = {
                "accuracy": accuracy,
                "macro_f1": accuracy - 0.1,
                "weighted_f1": accuracy,
            }
            self.trial(spec, metrics, **environment)

    def answer(self, row: PlanRow, rights: Sequence[Sequence[bool]]) -> None:
        """A finished trial with predictions per entry, which says what examples it has right.

        Examples are of two classes in turn; metrics are those of the predictions.
        """
        for spec, right in zip(row.specs, rights, strict=False):
            labels = np.arange(len(right)) % 2
            said = np.where(right, labels, 1 - labels)
            probabilities = np.where(np.arange(2) == said[:, None], 0.75, 0.25)
            self.trial(spec, score(probabilities, labels, multilabel=False))
            kept = [
                {
                    "split": "test",
                    "example_id": f"x{i}",
                    "labels": [int(labels[i])],
                    "probabilities": probabilities[i].tolist(),
                }
                for i in range(len(right))
            ]
            Store(self.results).write_predictions(spec.trial_id, kept)

    def on(self, dataset: str) -> Lab:
        """The same folder with trials on another data set."""
        return replace(self, dataset=dataset)


UNTESTED = "No intervals, tests and verdicts: the predictions of these trials are not kept."
"""The footnote of tables of hand-made trials, which have numbers alone."""


def table_of(comparison: Comparison, results: Path, plan: Plan, *, tuned: bool = False) -> Table:
    """The table of a plan on one data set, with the paper's numbers beside ours."""
    (on,) = found = comparison.studied(results, plan, tuned=tuned)
    return beside(comparison, found, on)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "results")


@pytest.fixture
def compiles(tmp_path: Path) -> Callable[[Path, str], None]:
    """Asserts that a table compiles with its preamble alone and fits a page of this kind."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")

    def check(table: Path, page: str) -> None:
        paper = tmp_path / "paper.tex"
        head = rf"{page}{PREAMBLE}\begin{{document}}"
        paper.write_text(rf"{head}\input{{{table.resolve().as_posix()}}}\end{{document}}")
        ran = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", paper.name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-2000:]
        assert paper.with_suffix(".pdf").exists()
        for complaint in ("Missing character", "Overfull", "Float too large", "multiply defined"):
            assert complaint not in ran.stdout

    return check
