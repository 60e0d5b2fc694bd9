"""The sweep that was not disturbed, to which tests compare those that were."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cluster.sweeps import NUM_TRIALS, ROOT, Watched, command


@pytest.fixture(scope="session")
def undisturbed(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """`Watched.bits` of the sweep on one machine."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(
        command(str(drawings), str(folder), str(folder / "cache")),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bits = Watched(folder / "results").bits()
    assert len(bits) == 2 * NUM_TRIALS + 1
    return bits
