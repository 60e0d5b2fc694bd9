"""A real small sweep, whose tables must come out as they are kept here, byte for byte.

Packaged drawings and backbones, 96 examples of each split (`--set data.limit=96`), Table 6 on
tiny random backbones (`--smoke`); what was typed is in `sweep.sh`. Its trials are in three parquet
files here, where a results folder has one for each trial.

    python -m tests.golden pack RESULTS    # keep another sweep here
    python -m tests.golden tables          # keep the tables as they come out now
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mi2p.plan import read_plan
from mi2p.store import EPOCH_SCHEMA, PREDICTION_SCHEMA, TRIAL_SCHEMA

HERE = Path(__file__).parent
TABLES = HERE / "tables"
SCHEMAS = {"trials": TRIAL_SCHEMA, "epochs": EPOCH_SCHEMA, "predictions": PREDICTION_SCHEMA}
COPIED = ("plans", "datasets")
STUDIES = "studies.journal"


def unpack(results: Path) -> Path:
    """Make the results folder that the sweep left, without its checkpoints and curves."""
    for kind, schema in SCHEMAS.items():
        (results / kind).mkdir(parents=True)
        rows = pq.read_table(HERE / f"{kind}.parquet", schema=schema)
        for trial_id in rows["trial_id"].unique().to_pylist():
            mine = rows.filter(pc.equal(rows["trial_id"], trial_id))
            pq.write_table(mine, results / kind / f"{trial_id}.parquet")
    for name in COPIED:
        shutil.copytree(HERE / name, results / name)
    shutil.copy(HERE / STUDIES, results / STUDIES)
    return results


def pack(results: Path) -> None:
    """Keep the trials of the plans of `results` here, in place of those that are kept."""
    wanted = {
        trial_id
        for path in (results / "plans").glob("*.json")
        for row in read_plan(path).rows
        for trial_id in [
            *(spec.trial_id for spec in row.specs),
            *(row.searched.trials if row.searched else ()),
        ]
    }
    for kind, schema in SCHEMAS.items():
        files = [
            path for path in sorted((results / kind).glob("*.parquet")) if path.stem in wanted
        ]
        rows = pa.concat_tables([pq.read_table(path, schema=schema) for path in files])
        pq.write_table(rows, HERE / f"{kind}.parquet", compression="zstd")
    for name in COPIED:
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(results / name, HERE / name)
    shutil.copy(results / STUDIES, HERE / STUDIES)


def keep_tables(results: Path) -> None:
    """Keep the tables of the unpacked `results` here."""
    shutil.rmtree(TABLES, ignore_errors=True)
    shutil.copytree(results / "tables", TABLES)
