"""What a trial that failed leaves: a row with the error, and the whole traceback beside it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from mi2p.spec import TrialSpec
from mi2p.store import Store, trial_row


def record_error(
    store: Store, spec: TrialSpec, error: BaseException | str, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Write and return the row of a trial that failed, and the traceback in errors/<id>.txt."""
    if isinstance(error, str):
        text, lines = error, error.strip().splitlines()[-1:]
    else:
        text = "".join(traceback.format_exception(error))
        # The first line of the message: what follows it are details.
        lines = traceback.format_exception_only(error)[-1].strip().splitlines()[:1]
    folder = store.folder / "errors"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{spec.trial_id}.txt").write_text(text, encoding="utf-8")
    faults = store.record(spec.trial_id).text()
    row = trial_row(
        spec,
        status="error",
        metrics=metrics,
        environment={"faults": faults},
        error="".join(lines) or "the worker died",
    )
    store.write_trial(row)
    return row
