"""Find the OpenClipart drawings on this machine, or fetch them.

They are two Debian packages in the public domain; unpacking them needs neither root nor Debian.
Everything here is about folders and processes; what is in them is read by `openclipart.py`.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from mi2p.data.places import VARIABLE, DataUnavailable, find_folder

PACKAGES = ("openclipart-png", "openclipart-svg")
INSTALLED = Path("/usr/share/openclipart")
FETCHED = Path("data/openclipart")
# 156 MB of packages, 342 MB unpacked, both there at the same time.
NEEDED_BYTES = 520_000_000

HOW_TO_GET_IT = f"""\
To get the drawings by hand, on any system:
  1. Fetch openclipart-png_0.18+dfsg-19_all.deb and openclipart-svg_0.18+dfsg-19_all.deb from
     any Debian or Ubuntu mirror, pool/main/o/openclipart/ (Ubuntu: pool/universe/o/openclipart/);
     any 0.18 build works.
  2. Unpack each into one folder DIR: `dpkg-deb -x FILE DIR`, or, without dpkg-deb,
     `ar x FILE` and `tar xf data.tar.xz -C DIR`.
  3. Point to it: `--data DIR` of the sweep scripts, or the environment variable {VARIABLE}=DIR."""


def drawings_folder(folder: Path) -> Path | None:
    """Return the folder with png/ and svg/ for any of the places people point to, else None.

    Legal are that folder itself, the folder the packages were unpacked into, and a data folder
    with either of these in it as `openclipart`.
    """
    for base in (folder, folder / "openclipart"):
        for candidate in (base, base / "usr/share/openclipart"):
            if (candidate / "png").is_dir() and (candidate / "svg").is_dir():
                return candidate.absolute()
    return None


def locate(data_root: Path | None) -> Path:
    """Return the absolute folder that contains png/ and svg/.

    Looks only in `data_root` if given, else in $MI2P_DATA, then where the Debian packages
    install, then in ./data/openclipart, where `fetch` puts it.

    Raises DataUnavailable, naming every place looked at.
    """
    return find_folder(
        data_root,
        drawings_folder,
        usual=(INSTALLED, FETCHED),
        expected="No OpenClipart drawings found. Expected folders png/ and svg/ in the folder "
        "itself, in openclipart/ or in usr/share/openclipart/ below it.",
        how=HOW_TO_GET_IT,
    )


def fetch(destination: Path, echo: Callable[[str], None]) -> Path:
    """Download and unpack the drawings into `destination`; return the folder with png/ and svg/.

    Safe to repeat, to kill, and to start twice: work happens in a hidden folder beside the
    destination, which is renamed when complete, under a lock. Needs apt-get and dpkg-deb, not
    root.

    Raises ValueError when the destination holds something else, DataUnavailable when the
    drawings cannot be had.
    """
    destination = destination.absolute()
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(destination.parent / f".{destination.name}.lock"):
            found = drawings_folder(destination)
            if found is None:
                _fetch_locked(destination, echo)
                found = drawings_folder(destination)
    except OSError as error:
        raise _unavailable(f"Cannot write the drawings to {destination}: {error}.") from error
    assert found is not None
    return found


def _unavailable(reason: str) -> DataUnavailable:
    return DataUnavailable(reason, HOW_TO_GET_IT)


def _fetch_locked(destination: Path, echo: Callable[[str], None]) -> None:
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ValueError(
            "The destination of the drawings must not exist or be an empty folder, but "
            f"{destination} holds something else."
        )
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise _unavailable(
            f"Fetching needs apt-get and dpkg-deb (Debian or Ubuntu); missing: {missing}."
        )
    marker = f".{destination.name}.partial-"
    for left_by_killed in destination.parent.glob(f"{marker}*"):
        shutil.rmtree(left_by_killed)
    free = shutil.disk_usage(destination.parent).free
    if free < NEEDED_BYTES:
        raise _unavailable(
            f"Fetching needs {NEEDED_BYTES // 10**6} MB of disk, but {destination.parent} has "
            f"{free // 10**6} MB free."
        )
    with tempfile.TemporaryDirectory(prefix=marker, dir=destination.parent) as temporary:
        unpacked = _download_and_unpack(Path(temporary), echo)
        unpacked.rename(destination)


def _download_and_unpack(work: Path, echo: Callable[[str], None]) -> Path:
    echo(f"Downloading {' and '.join(PACKAGES)} (156 MB) with apt-get ...")
    # As root, apt would change to its own user, which may not write here, and print a warning.
    _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *PACKAGES], work)
    unpacked = work / "unpacked"
    unpacked.mkdir()
    for package in PACKAGES:
        files = list(work.glob(f"{package}_*.deb"))
        if len(files) != 1:
            raise _unavailable(f"apt-get left {len(files)} files for {package}, expected 1.")
        echo(f"Unpacking {files[0].name} ...")
        _run(["dpkg-deb", "-x", str(files[0]), str(unpacked)], work)
    if drawings_folder(unpacked) is None:
        raise _unavailable("The packages fetched do not contain png/ and svg/ folders.")
    return unpacked


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a tool quietly in `folder`; on failure raise DataUnavailable with what it printed."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode == 0:
        return
    printed = [line for line in result.stderr.splitlines() if "unsandboxed" not in line]
    said = "\n  ".join(printed) or "(nothing)"
    reason = f"{command[0]} failed with status {result.returncode} and said:\n  {said}"
    # Lists never downloaded, or so old that the file they name is gone from the mirror.
    if any(sign in said for sign in ("Unable to locate package", "find a source", "404")):
        reason += "\nThe package lists are missing or old: try `sudo apt-get update` first."
    raise _unavailable(reason)
