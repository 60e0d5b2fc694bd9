"""The command line that every sweep script shares. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mi2p.plan import Plan, PlanRow


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Where and how a sweep runs; what it trains is declared by the script."""

    dataset: str = "openclipart"
    """Data set: openclipart or openclipart-tags (several labels per drawing)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """A trial per row and seed; tables show mean and sample standard deviation over them."""
    rows: tuple[str, ...] = ()
    """Run only these rows, by the key the plan prints; all by default."""
    gpus_per_trial: float | None = None
    """GPUs of a trial: 0, a fraction, or 1. Default: 1 where the cluster has GPUs, else 0."""
    max_concurrent: int = 0
    """Trials at a time; 0 runs as many as fit."""
    address: str | None = None
    """Ray cluster to use: auto, or host:port. Default: a private one on this machine."""
    results: Path = Path("results")
    """Folder of trial rows, predictions, curves and tables."""
    data: Path | None = None
    """Folder of the data set. Default: $MI2P_DATA, the system's, or data/ (fetched into it)."""
    weights: Path | None = None
    """Folder of pretrained weights. Default: $MI2P_WEIGHTS, packaged ones, or the hub."""
    cache: Path = Path("cache")
    """Folder of decoded images and frozen features, shared by all trials; safe to delete."""
    retry_failed: bool = False
    """Run trials again that ended with an error."""
    dry_run: bool = False
    """Print the plan and stop."""
    yes: bool = False
    """Do not ask before starting."""
    smoke: bool = False
    """The whole path to a table in under 2 minutes: 1 seed, 1 epoch, 48 examples per split."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(
                f"--seeds must be distinct numbers from 0 up, at least one, but got {self.seeds}"
            )
        if self.gpus_per_trial is not None and not 0 <= self.gpus_per_trial <= 1:
            raise ValueError(f"--gpus-per-trial must be in 0 ... 1, but got {self.gpus_per_trial}")
        if self.max_concurrent < 0:
            raise ValueError(f"--max-concurrent must be >= 0, but got {self.max_concurrent}")


def chosen_rows(plan: Plan, keys: tuple[str, ...]) -> tuple[PlanRow, ...]:
    """The rows with these keys (all when there are none); an unknown key lists the known ones."""
    known = [row.key for row in plan.rows]
    for key in keys:
        if key not in known:
            raise ValueError(f"--rows: no row {key!r}; the rows are {', '.join(known)}")
    return tuple(row for row in plan.rows if not keys or row.key in keys)
