"""Score fusion of models that were trained apart: the mean of two trials' probabilities.

The paper's Score Fusion is "averaging the classification scores of each unimodal model" (section
4.3). Nothing is trained for it. The sweep makes such a trial of the predictions that its two parts
have left, as soon as both are over; this takes neither torch nor Ray.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mi2p import metrics
from mi2p.failures import record_error
from mi2p.plan import Plan, PlanRow
from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row

SAME = ("split", "example_id", "labels")
"""Columns in which the predictions of both parts must agree, row by row."""
SHARED = (
    *("data_fingerprint", "device", "precision", "torch_version", "code_version", "code"),
    "images_left_out",
)
"""Columns of a trial's row that hold for an average if they hold for both parts."""
SUMMED = ("parameters", "added_parameters")

LEAST_LOG = -100.0
"""Logarithms of probabilities are cut here, as torch's losses of probabilities do."""

Row = Mapping[str, Any]


def with_parts(plan: Plan, rows: Iterable[PlanRow]) -> dict[str, TrialSpec]:
    """The trials of `rows` by their ids, each after those of the plan that it averages.

    `ValueError` for a trial that averages one that is not in the plan, or is itself an average.
    """
    known = {spec.trial_id: spec for spec in plan.specs()}
    found: dict[str, TrialSpec] = {}
    for row in rows:
        for spec in row.specs:
            for part in spec.averages:
                if part not in known or known[part].averages:
                    raise ValueError(
                        f"row {row.key!r} of plan {plan.name!r} must average trials that the plan "
                        f"trains, but {part} (seed {spec.seed}) is none of them"
                    )
                found[part] = known[part]
            found[spec.trial_id] = spec
    return found


def can_be_made(store: Store, spec: TrialSpec) -> bool:
    """Whether `spec` averages trials, and both are done."""
    parts = [store.trial(part) for part in spec.averages]
    return bool(parts) and all(part and part["status"] == "done" for part in parts)


def average(
    store: Store, specs: Iterable[TrialSpec]
) -> Iterator[tuple[TrialSpec, dict[str, Any]]]:
    """Make, and yield, the rows of averages whose two parts are over.

    What has been made of the same predictions is left alone; when a part was run again, so is its
    average. One fails if a part did, or if their predictions do not fit; that is in its row.
    """
    for spec in specs:
        parts = [row for row in map(store.trial, spec.averages) if row is not None]
        if not spec.averages or len(parts) < len(spec.averages):
            continue  # no average, or a part is not over yet
        if not _is_due(store, spec, parts):
            continue
        try:
            row = _averaged(store, spec, parts)
        except (ValueError, OSError) as error:
            row = record_error(store, spec, error, {})
        yield spec, row


def _is_due(store: Store, spec: TrialSpec, parts: Sequence[Row]) -> bool:
    row = store.trial(spec.trial_id)
    if row is None or any(part["status"] != "done" for part in parts):
        return row is None or row["status"] == "done"
    if row["status"] == "error":
        return True  # it can be made now
    try:
        return bool(row["averages"] != made_of(store, spec.averages))
    except OSError:
        return True  # and fails, which is then in its row


def made_of(store: Store, ids: Iterable[str]) -> str:
    """The trials' ids, each with a fingerprint of its predictions: `id@hex id@hex`."""
    files = {trial_id: store.predictions_file(trial_id) for trial_id in ids}
    return " ".join(
        f"{trial_id}@{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        for trial_id, path in files.items()
    )


def _averaged(store: Store, spec: TrialSpec, parts: Sequence[Row]) -> dict[str, Any]:
    """Everything the average leaves; its row last, because it says that all is there."""
    for part in parts:
        if part["status"] != "done":
            why = part["error"] or part["status"]
            raise ValueError(f"it averages trial {part['trial_id']}, which is not done: {why}")
    environment = _environment(parts) | {"averages": made_of(store, spec.averages)}
    multilabel = parts[0]["val/accuracy"] is None  # as `metrics.score` leaves it out
    found = _mean(
        [store.predictions(trial_id, _frame) for trial_id in spec.averages], spec.averages
    )
    row = trial_row(
        spec, status="done", metrics=_scored(found, multilabel), environment=environment
    )
    cells = found.itertuples(index=False, name=None)
    store.write_predictions(
        spec.trial_id, [dict(zip(found.columns, of_row, strict=True)) for of_row in cells]
    )
    store.write_trial(row)
    return row


def _environment(parts: Sequence[Row]) -> dict[str, Any]:
    """A column that differs between the parts is None; averaging itself takes no time.

    The parts' seconds are in their own rows, so that a sum over all rows counts none twice.
    """
    first, second = parts
    if first["data_fingerprint"] != second["data_fingerprint"]:
        raise ValueError(
            "trials that are averaged must have seen the same data, but those of "
            f"{first['trial_id']} have the fingerprint {first['data_fingerprint']} and those of "
            f"{second['trial_id']} have {second['data_fingerprint']}"
        )
    found = {name: first[name] if first[name] == second[name] else None for name in SHARED}
    for name in SUMMED:
        counts = [part[name] for part in parts]
        found[name] = None if None in counts else sum(counts)
    weights = [part["weights"] for part in parts]
    return {**found, "weights": None if None in weights else " ".join(weights), "seconds": 0.0}


def _frame(predictions: pa.Table) -> pd.DataFrame:
    """A row per example; labels are tuples."""
    frame: pd.DataFrame = predictions.to_pandas()
    frame["labels"] = [tuple(map(int, labels)) for labels in frame["labels"]]
    return frame


def _mean(parts: Sequence[pd.DataFrame], ids: Sequence[str]) -> pd.DataFrame:
    """The predictions with the mean of both probabilities, as float32."""
    first, second = parts
    if len(first) != len(second):
        raise ValueError(
            f"trials that are averaged must have predicted the same examples, but {ids[0]} has "
            f"{len(first)} and {ids[1]} has {len(second)}"
        )
    for name in SAME:
        for number, (one, other) in enumerate(zip(first[name], second[name], strict=True)):
            if one != other:
                raise ValueError(
                    "trials that are averaged must have predicted the same examples in the same "
                    f"order, but the {name} of number {number} is {one!r} in {ids[0]} and "
                    f"{other!r} in {ids[1]}"
                )
    # In float64: the sum of two float32 is exact in it, and the mean is rounded once.
    stacked = [np.stack(part["probabilities"].tolist()).astype(np.float64) for part in parts]
    mean = ((stacked[0] + stacked[1]) / 2).astype(np.float32)
    return first[list(SAME)].assign(probabilities=list(mean))


def _scored(found: pd.DataFrame, multilabel: bool) -> dict[str, float]:
    """Metrics of every split, as a trained trial has them."""
    scores: dict[str, float] = {}
    arrays: dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]] = {}
    for split, part in found.groupby("split", sort=False):
        probabilities = np.stack(part["probabilities"].tolist())
        labels = _truth(part["labels"], probabilities.shape, multilabel)
        arrays[str(split)] = probabilities, labels
        of_split = metrics.score(probabilities, labels, multilabel=multilabel)
        of_split["loss"] = loss(probabilities, labels)
        scores |= {f"{split}/{name}": value for name, value in of_split.items()}
    if multilabel and "test" in arrays:
        scores |= metrics.tuned_scores(arrays["val"], arrays["test"])
    return scores


def _truth(
    labels: Iterable[Sequence[int]], shape: tuple[int, ...], multilabel: bool
) -> NDArray[np.int64]:
    """Class indices (N,), or indicators (N, K) when several labels may hold."""
    if not multilabel:
        return np.array([label for (label,) in labels], np.int64)
    indicators = np.zeros(shape, np.int64)
    for row, held in enumerate(labels):
        indicators[row, list(held)] = 1
    return indicators


def loss(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Cross-entropy of (N, K) for labels (N,), binary cross-entropy for indicators (N, K)."""
    p = probabilities.astype(np.float64)

    def log(values: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(values), LEAST_LOG)

    if labels.ndim == 1:
        return float(-log(p[np.arange(len(p)), labels]).mean())
    return float(-np.where(labels == 1, log(p), log(1 - p)).mean())
