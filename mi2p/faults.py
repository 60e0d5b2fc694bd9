"""What befell a trial before it was over: lost nodes, dead processes, full disks, stopped sweeps.

A trial's record lies beside its checkpoints until its row is written, which has it as `faults`. A
worker notes that it begins, the driver why a worker is gone; two beginnings without a reason
between them mean that the driver itself was gone. Nothing in it depends on a clock.
"""

from __future__ import annotations

import errno
import json
import re
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mi2p.files import write_whole

Kind = Literal["node", "process", "storage", "driver", "apart"]
"""`apart`: a node does not see what the driver sees. No trial goes on there."""

MOST: Mapping[str, int] = {"node": 20, "process": 2, "storage": 2}
"""Faults of a kind after which a trial still goes on. A machine that is lost is seldom a trial's
own fault, a process that dies on a machine that lives often is. A driver is started by a user."""

STORAGE_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENODEV", "ENXIO", "ETIMEDOUT")
)
"""Of an `OSError`: the disk is full, read-only or gone, whatever the trial does."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One that the driver heard of."""

    kind: Kind
    what: str


def of_storage(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that of a disk and not of what was computed."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False


def of_lost_actor(message: str, *, preempted: bool) -> Fault:
    """What Ray's message says of an actor that is gone."""
    found = re.search(r"\bip: (\S+)", message)
    where = f" {found.group(1)}" if found else ""
    if preempted:
        return Fault(kind="node", what=f"node{where} was taken back")
    # Out of reach for a while, it is mostly the network that is gone.
    if re.search(r"\bnode\b.*\b(died|dead|terminated|unreachable)|unavailable", message):
        return Fault(kind="node", what=f"node{where} was lost")
    return Fault(kind="process", what=f"the process on{where or ' its node'} died")


class Record:
    """What is known of one trial's faults; a record that cannot be read is an empty one."""

    def __init__(self, results: Path, trial_id: str) -> None:
        self.path = results / "checkpoints" / f"{trial_id}.faults.json"

    def begins(self) -> None:
        """A worker begins, or goes on."""
        self._add({"begins": socket.gethostname()})

    def add(self, fault: Fault, epoch: int) -> None:
        """The driver heard of a fault after so many epochs."""
        self._add({"kind": fault.kind, "what": fault.what, "epoch": epoch})

    def faults(self) -> list[dict[str, Any]]:
        """`kind`, `what` and, where the driver knew, the last `epoch` before it; in order."""
        found, running = [], None
        for event in self._events():
            if "begins" not in event:
                found.append(event)
                running = None
                continue
            if running is not None:
                found.append({"kind": "driver", "what": f"the sweep stopped ({running})"})
            running = event["begins"]
        return found

    def text(self) -> str | None:
        """The faults as a row has them; None without any."""
        found = self.faults()
        return json.dumps(found, sort_keys=True) if found else None

    def too_many(self) -> str | None:
        """Why the trial is not to go on, if so."""
        kinds = Counter(fault["kind"] for fault in self.faults())
        for kind, most in MOST.items():
            if kinds[kind] > most:
                last = next(f["what"] for f in reversed(self.faults()) if f["kind"] == kind)
                return f"gave up after {kinds[kind]} faults of kind {kind}: {last}"
        return None

    def remove(self) -> None:
        """The trial's row is written."""
        self.path.unlink(missing_ok=True)

    def read(self) -> str:
        """All of it as text; `FileNotFoundError` where there is none."""
        return self.path.read_text(encoding="utf-8")

    def write(self, text: str) -> None:
        """Replace all of it."""
        write_whole(self.path, text)

    def _add(self, event: Mapping[str, Any]) -> None:
        self.write(json.dumps([*self._events(), event]) + "\n")

    def _events(self) -> list[dict[str, Any]]:
        try:
            events: list[dict[str, Any]] = json.loads(self.read())
        except (FileNotFoundError, ValueError):
            return []
        return events
