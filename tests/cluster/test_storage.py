"""Shared storage that is full or read-only in mid-run; on a file system made for that."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.sweeps import NUM_TRIALS, ROOT, Watched, command, wait, write_slow_disk

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SIZE = 64 << 20


class Disk:
    """An ext4 file system in a file, which can be filled and can break."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        self.emptied = threading.Event()
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(SIZE)
        _do("mkfs.ext4", "-q", "-m", "0", str(image))

    def mount(self) -> None:
        _do("mount", "-o", "loop", str(self.image), str(self.folder))

    def unmount(self) -> None:
        """End with it, also while what a killed sweep has started still ends."""
        self.emptied.set()
        _do("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Take every free byte, from now on also each that others free."""
        self.filling = threading.Thread(target=self._fill)
        self.filling.start()

    def _fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            while not self.emptied.is_set():
                try:
                    file.write(bytes(1 << 12))
                except OSError:
                    self.emptied.wait(0.02)

    def empty(self) -> None:
        """Free what `fill` took."""
        self.emptied.set()
        self.filling.join()
        (self.folder / "filler").unlink()

    def fail(self) -> None:
        """What ext4 does after an error of the disk: all that is open becomes read-only, too."""
        _do("sync", "--file-system", str(self.folder))
        _do("mount", "-o", "remount,abort", str(self.folder))

    def repair(self) -> None:
        """Mount what is left of it, on another disk: namespaces made meanwhile keep this one."""
        self.unmount()
        self.image = Path(shutil.copy(self.image, self.image.with_name("repaired.img")))
        found = subprocess.run(
            ["e2fsck", "-fy", str(self.image)], capture_output=True, check=False
        )
        assert found.returncode in (0, 1), found.stdout  # clean, or mended
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
    assert status == 1, said
    (error,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert told in error and "the same command goes on" in error
    assert said.endswith(f"{error}\n")
    assert {record["status"] for record in sweep.records().values()} == {"done"}
    assert 2 <= len(sweep.rows()) < NUM_TRIALS

    mend(disk)
    again = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(sweep.rows()) == NUM_TRIALS
    assert sweep.bits() == undisturbed
