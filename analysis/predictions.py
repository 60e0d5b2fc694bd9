"""What the trials of a row answered to the test examples, from their stored predictions."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analysis.cells import RowTrials
from analysis.inference.resampling import Answers, answers
from mi2p.metrics import score
from mi2p.store import Store

TOLERANCE = 1e-6
"""How far a stored metric may be from that of the stored predictions."""
COLUMNS = ["split", "example_id", "labels", "probabilities"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """The test examples of a trial in the order of their ids."""

    trial_id: str
    examples: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,), or indicators (N, K) of several labels."""
    probabilities: NDArray[np.float32]
    """(N, K)."""


def of_rows(results: Path, rows: Sequence[RowTrials], *, multilabel: bool) -> dict[str, Answers]:
    """Key of a row to what its finished trials answered; rows of one data set.

    A trial whose predictions are not kept is left out, as is a row without any. `ValueError` if
    trials did not predict the same examples with the same labels, or do not have the metrics that
    their predictions give.
    """
    first: Predicted | None = None
    found = {}
    for row in rows:
        seeds, probabilities = [], []
        for trial in row.finished.to_dict("records"):
            made = read(results, str(trial["trial_id"]), multilabel=multilabel)
            if made is None:
                continue
            first = first or made
            _refuse_others(first, made)
            _refuse_other_metrics(made, trial, multilabel=multilabel)
            seeds.append(int(trial["seed"]))
            probabilities.append(made.probabilities)
        if first is not None and seeds:
            found[row.row.key] = answers(seeds, probabilities, first.labels, multilabel=multilabel)
    return found


def read(results: Path, trial_id: str, *, multilabel: bool) -> Predicted | None:
    """What a trial predicted of the test split; None if it is not kept.

    `ValueError` for a file that is damaged, or has no test example.
    """
    store = Store(results)
    try:
        found = store.predictions(
            trial_id, partial(_decoded, trial_id=trial_id, multilabel=multilabel), COLUMNS
        )
    except FileNotFoundError:
        return None
    twice = [one for one, other in itertools.pairwise(found.examples) if one == other]
    if twice:
        path = store.predictions_file(trial_id)
        raise ValueError(
            f"a trial predicts an example once, but {path} has {twice[0]!r} several times"
        )
    return found


def _decoded(table: pa.Table, *, trial_id: str, multilabel: bool) -> Predicted:
    table = table.filter(pc.equal(table["split"], "test")).combine_chunks()
    if not len(table):
        raise ValueError("it has no example of the test split")
    nulls = [name for name in COLUMNS if table[name].null_count]
    if nulls:
        raise ValueError(f"values are missing in {', '.join(nulls)}")
    examples = np.array(table["example_id"].to_pylist())
    order = np.argsort(examples, kind="stable")
    probabilities = _flat(table["probabilities"]).reshape(len(table), -1)
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities are not finite")
    labels = _flat(table["labels"]).astype(np.int64)
    if multilabel:
        held = pc.list_value_length(table["labels"]).to_numpy()
        indicators = np.zeros(probabilities.shape, np.int64)
        indicators[np.repeat(np.arange(len(held)), held), labels] = 1
        labels = indicators
    return Predicted(
        trial_id=trial_id,
        examples=tuple(examples[order].tolist()),
        labels=labels[order],
        probabilities=probabilities[order],
    )


def _flat(lists: Any) -> NDArray[Any]:
    """All items of a column of lists, one list after the other."""
    items: NDArray[Any] = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return items


def _refuse_others(first: Predicted, other: Predicted) -> None:
    for what, same in (
        ("examples", first.examples == other.examples),
        ("labels", np.array_equal(first.labels, other.labels)),
        ("classes", first.probabilities.shape == other.probabilities.shape),
    ):
        if not same:
            raise ValueError(
                f"trials that are compared must have predicted the same test {what}, but those of "
                f"{first.trial_id} and {other.trial_id} differ; delete the files of one in "
                "trials/ and predictions/ and run the sweep again"
            )


def _refuse_other_metrics(
    made: Predicted, trial: Mapping[Hashable, Any], *, multilabel: bool
) -> None:
    """Metrics that a trial's row does not have, or has as NaN, are not looked at."""
    for name, value in score(made.probabilities, made.labels, multilabel=multilabel).items():
        stored = trial.get(f"test/{name}")
        if stored is not None and abs(stored - value) > TOLERANCE:
            raise ValueError(
                f"predictions must give the metrics of their trial, but those of {made.trial_id} "
                f"give test/{name} {value:.6f}, and its row has {stored:.6f}; delete its files in "
                "trials/ and predictions/ and run the sweep again"
            )
