"""What finished trials leave on disk, and how to read it back.

    results/trials/<trial_id>.parquet        one row: spec, status, metrics, environment
    results/epochs/<trial_id>.parquet        a row per epoch
    results/predictions/<trial_id>.parquet   a row per example of val (and test when confirming)
    results/weights/<trial_id>.pt            what was trained, at the best epoch, where it is kept
    results/index/                           a cache of the first two, which may be deleted

Every file is written to a temporary name and renamed, with one fixed schema per folder, so that
`pandas.read_parquet("results/trials")` reads all trials at any moment.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mi2p import __version__, code
from mi2p.faults import Record
from mi2p.files import whole
from mi2p.loading import damaged, read_all, read_one
from mi2p.spec import DataSpec, FusionSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec

Status = Literal["done", "pruned", "error"]
Row = Mapping[str, Any]
Decoded = TypeVar("Decoded")

METRICS = ("loss", "accuracy", "macro_f1", "micro_f1", "weighted_f1")
ENVIRONMENT = (
    *("data_fingerprint", "weights", "device", "precision", "torch_version"),
    *("code_version", "code"),
)
COUNTS = ("parameters", "added_parameters", "images_left_out", "processes")

TUNED = ("val/threshold", "test/macro_f1_tuned", "test/micro_f1_tuned")
"""Multi-label metrics at a threshold tuned on validation, beside those at 0.5."""

_METRIC_COLUMNS = (*(f"{split}/{name}" for split in ("val", "test") for name in METRICS), *TUNED)

PARTS: Mapping[str, type[Any]] = {
    "data": DataSpec,
    "model": ModelSpec,
    "units": UnitSpec,
    "textual_units": UnitSpec,
    "fusion": FusionSpec,
    "train": TrainSpec,
}
"""Parts of a spec whose fields are columns; the parts of a model are no columns of it."""


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a spec's field; a tuple is kept as text."""
    kinds = {
        type(choice) if get_origin(hint) is Literal else choice
        for choice in get_args(hint) or (hint,)
    }
    for kind, arrow in ((bool, pa.bool_()), (float, pa.float64()), (str, pa.string())):
        if kind in kinds:
            return arrow
    return pa.string() if get_origin(hint) is tuple else pa.int64()


def _spec_columns() -> list[tuple[str, pa.DataType]]:
    """`part.field` for every plain field of the parts of a spec."""
    return [
        (f"{part}.{name}", _arrow_type(hint))
        for part, cls in PARTS.items()
        for name, hint in get_type_hints(cls).items()
        if name not in PARTS
    ]


TRIAL_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("trial_id", "status", "error", "stage")),
        ("seed", pa.int64()),
        *_spec_columns(),
        ("best_epoch", pa.int64()),
        *((name, pa.float64()) for name in _METRIC_COLUMNS),
        *((name, pa.int64()) for name in COUNTS),
        ("seconds", pa.float64()),
        *((name, pa.string()) for name in ENVIRONMENT),
        ("averages", pa.string()),
        ("faults", pa.string()),
        ("spec", pa.string()),
    ]
)
EPOCH_SCHEMA = pa.schema(
    [("trial_id", pa.string()), ("epoch", pa.int64()), ("train/loss", pa.float64())]
    + [(f"val/{name}", pa.float64()) for name in METRICS]
)
PREDICTION_SCHEMA = pa.schema(
    [
        ("trial_id", pa.string()),
        ("split", pa.string()),
        ("example_id", pa.string()),
        ("labels", pa.list_(pa.int32())),
        ("probabilities", pa.list_(pa.float32())),
    ]
)


def trial_row(
    spec: TrialSpec,
    *,
    status: Status,
    metrics: Mapping[str, Any],
    environment: Mapping[str, Any] | None = None,
    best_epoch: int | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """The row of a trial; a column that does not apply to it (units of a CNN) is None.

    Metrics of a trial that is not `done` are those of its last report, for diagnosis.
    """
    model = spec.model
    parts = {
        "data": spec.data,
        "model": model,
        "units": model.units,
        "textual_units": model.textual_units,
        "fusion": model.fusion,
        "train": spec.train,
    }
    row: dict[str, Any] = dict.fromkeys(TRIAL_SCHEMA.names)
    row |= {"trial_id": spec.trial_id, "status": status, "error": error, "stage": spec.stage}
    row |= {"seed": spec.seed, "best_epoch": best_epoch}
    row |= {"code_version": __version__, "code": code.fingerprint()}
    for part, value in parts.items():
        plain = value.to_dict() if value is not None else {}
        for name, item in plain.items():
            if name not in PARTS:
                row[f"{part}.{name}"] = ",".join(map(str, item)) if name == "attach" else item
    # Metrics only: what Tune reports also has a `trial_id`, which is its own and not ours.
    row |= {name: metrics[name] for name in _METRIC_COLUMNS if name in metrics}
    row |= dict(environment or {})
    row["spec"] = json.dumps(spec.to_dict(), sort_keys=True)
    return row


class Store:
    """A results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_trial(self, row: Row) -> None:
        """Write a trial's row; last of all its files, because it says that the trial is over."""
        _write(self._path("trials", row["trial_id"]), [row], TRIAL_SCHEMA)

    def fetched(self, trial_id: str) -> dict[str, Any] | None:
        """`trial`, after what a worker left elsewhere has been brought here."""
        return self.trial(trial_id)

    def hand_over(self, trial_id: str) -> None:
        """Bring a row that was written here to where workers look for it: here."""

    def record(self, trial_id: str) -> Record:
        """What befell the trial so far."""
        return Record(self.folder, trial_id)

    def checkpoints(self, trial_id: str) -> Path:
        """Where a trial keeps its checkpoints until its row is written."""
        return self.folder / "checkpoints" / trial_id

    def weights(self, trial_id: str) -> Path:
        """Where the trained weights of a finished trial are, if they are kept."""
        return self._path("weights", trial_id)

    def forget(self, trial_id: str) -> None:
        """Delete what is kept of a trial until its row is there: checkpoints, and its record."""
        shutil.rmtree(self.checkpoints(trial_id), ignore_errors=True)
        self.record(trial_id).remove()

    def write_epochs(self, trial_id: str, history: Iterable[Mapping[str, float]]) -> None:
        """Write a record per epoch."""
        rows = [{"trial_id": trial_id, **record} for record in history]
        _write(self._path("epochs", trial_id), rows, EPOCH_SCHEMA)

    def write_predictions(self, trial_id: str, rows: Iterable[Row]) -> None:
        """Write `split`, `example_id`, `labels` (class indices), `probabilities` per example."""
        rows = [{"trial_id": trial_id, **row} for row in rows]
        _write(self._path("predictions", trial_id), rows, PREDICTION_SCHEMA)

    def trial(self, trial_id: str) -> dict[str, Any] | None:
        """The row of a trial that is over, or None; a file that is no row is a `ValueError`."""
        table = read_one(self._path("trials", trial_id), TRIAL_SCHEMA)
        if table is None:
            return None
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows[0]

    def predictions_file(self, trial_id: str) -> Path:
        """Where the predictions of a finished trial are; `FileNotFoundError` if they are not."""
        path = self._path("predictions", trial_id)
        if not path.exists():
            raise FileNotFoundError(
                f"trial {trial_id} is done, but its predictions are not in {path}; delete its row "
                "in trials/ to run it again"
            )
        return path

    def predictions(
        self,
        trial_id: str,
        decode: Callable[[pa.Table], Decoded],
        columns: Sequence[str] = PREDICTION_SCHEMA.names,
    ) -> Decoded:
        """What `decode` makes of these columns of a finished trial's predictions.

        `FileNotFoundError` if it has none; `ValueError` for a damaged file, also where that shows
        in `decode` only.
        """
        path = self.predictions_file(trial_id)
        try:
            return decode(pq.read_table(path, columns=list(columns), schema=PREDICTION_SCHEMA))
        # A damaged page can also give lists that fit no array, or bytes that are no text.
        except (pa.ArrowException, OSError, ValueError, IndexError) as error:
            raise damaged(path, " ".join(str(error).split())) from error

    def discard_error(self, trial_id: str) -> None:
        """Forget that a trial failed, so that it runs again; a finished one stays."""
        row = self.trial(trial_id)
        if row is not None and row["status"] == "error":
            self._path("trials", trial_id).unlink(missing_ok=True)

    def set_aside(self, trial_id: str, folder: Path) -> None:
        """Move all that a trial left to `folder`, of the same form; what is not there is no error.

        It counts as to run from the first move on, so that a stop in between leaves no row without
        predictions. `FileExistsError`, before anything is moved, if `folder` has such a file.
        """
        moves = {}
        for kind in ("trials", "predictions", "epochs", "weights"):
            source, target = self._path(kind, trial_id), Store(folder)._path(kind, trial_id)
            if source.exists():
                if target.exists():
                    raise FileExistsError(f"{target} is there; it is not replaced by {source}")
                moves[source] = target
        for source, target in moves.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)

    def _path(self, kind: str, trial_id: str) -> Path:
        return self.folder / kind / f"{trial_id}.{'pt' if kind == 'weights' else 'parquet'}"


def load(folder: str | Path) -> pd.DataFrame:
    """One tidy row per trial of a results folder, in the order of their ids."""
    return _with_absent(_load(Path(folder), "trials", TRIAL_SCHEMA))


def _with_absent(trials: pd.DataFrame) -> pd.DataFrame:
    """Rows written before a spec had some field, with the value that field stands for."""
    for part, cls in PARTS.items():
        first, *later = (f for f in dataclasses.fields(cls) if f.name not in PARTS)
        there = trials[f"{part}.{first.name}"].notna()  # a CNN has no units
        for field in later:
            column = f"{part}.{field.name}"
            if "absent" in field.metadata:
                trials.loc[there & trials[column].isna(), column] = field.metadata["absent"]
    return trials


def load_epochs(folder: str | Path) -> pd.DataFrame:
    """One row per epoch of every trial."""
    return _load(Path(folder), "epochs", EPOCH_SCHEMA)


def load_predictions(folder: str | Path) -> pd.DataFrame:
    """One row per example that a trial predicted."""
    return _load(Path(folder), "predictions", PREDICTION_SCHEMA)


def _load(folder: Path, kind: str, schema: pa.Schema) -> pd.DataFrame:
    """Predictions are most of what a results folder has: they are not kept twice."""
    index = folder / "index" / f"{kind}.arrow" if kind != "predictions" else None
    try:
        found = read_all(folder / kind, schema, index=index)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no {kind} in {folder}: {error}") from error
    frame: pd.DataFrame = found.to_pandas()
    return frame


def _write(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    with whole(path) as partial:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), partial)
