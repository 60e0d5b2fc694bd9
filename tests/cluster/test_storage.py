"""Shared storage that is full or read-only in mid-run; on a file system made for that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.sweeps import NUM_TRIALS, ROOT, Watched, command, wait, write_slow_disk

pytestmark = pytest.mark.slow

SIZE = 64 << 20


class Disk:
    """An ext4 file system in a file, which can be filled and can break."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(SIZE)
        _do("mkfs.ext4", "-q", "-m", "0", str(image))

    def mount(self) -> None:
        _do("mount", "-o", "loop", str(self.image), str(self.folder))

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], timeout=60, check=False)

    def fill(self) -> None:
        """Leave no room for another byte."""
        with (self.folder / "filler").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(1 << 12))

    def empty(self) -> None:
        (self.folder / "filler").unlink()

    def fail(self) -> None:
        """What ext4 does after an error of the disk: all that is open becomes read-only, too."""
        _do("mount", "-o", "remount,abort", str(self.folder))

    def repair(self) -> None:
        _do("umount", str(self.folder))
        subprocess.run(["e2fsck", "-fy", str(self.image)], capture_output=True, check=False)
        self.mount()


def _do(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices")
    made = Disk(tmp_path / "disk.img", tmp_path / "disk")
    made.mount()
    yield made
    made.unmount()


@pytest.mark.parametrize(
    ("harm", "mend", "told"),
    [
        (Disk.fill, Disk.empty, "No space left on device"),
        (Disk.fail, Disk.repair, "Read-only file system"),
    ],
    ids=["full", "read-only"],
)
def test_storage_that_cannot_be_written_ends_the_sweep_and_no_trial(
    disk: Disk,
    drawings: Path,
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    harm: object,
    mend: object,
    told: str,
) -> None:
    assert callable(harm) and callable(mend)
    slow = write_slow_disk(tmp_path / "slow")
    environment = {**os.environ, "PYTHONPATH": f"{slow}{os.pathsep}{ROOT}"}
    line = command(str(drawings), str(disk.folder), str(tmp_path / "cache"))
    sweep = Watched(disk.folder / "results")
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            line, cwd=tmp_path, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait(lambda: len(sweep.rows()) >= 2 and sweep.checkpoints(), log.read_text)
        harm(disk)
        status = process.wait(timeout=120)
    finally:
        process.kill()
    said = log.read_text()
    print(said, file=sys.stderr)
    assert status == 1, said
    assert "error: " in said and told in said
    assert "Traceback" not in said
    assert {record["status"] for record in sweep.records().values()} == {"done"}
    assert 2 <= len(sweep.rows()) < NUM_TRIALS

    mend(disk)
    again = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(sweep.rows()) == NUM_TRIALS
    assert sweep.bits() == undisturbed
