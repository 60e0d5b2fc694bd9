"""Finding and fetching the drawings, with fake apt-get and dpkg-deb on the PATH."""

import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mi2p.data import openclipart_files
from mi2p.data.openclipart_files import fetch, locate
from mi2p.data.places import DataUnavailable

APT = """echo "$@" >> "$LOG"
echo "W: Download is performed unsandboxed as root" >&2
touch openclipart-png_1%3a0.18_all.deb openclipart-svg_1%3a0.18_all.deb
"""
# Called as `dpkg-deb -x FILE DIR`: makes png/ or svg/, as the file's name says.
DPKG = """case "$2" in *-png_*) kind=png;; *) kind=svg;; esac
mkdir -p "$3/usr/share/openclipart/$kind/food"
"""
FAILING_APT = """echo "W: Download is performed unsandboxed as root" >&2
echo "E: {message}" >&2
exit 100
"""
KILLING_DPKG = DPKG + 'kill -9 "$PPID"\nsleep 1\n'


class Tools:
    """A folder of fake executables at the head of the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    def set(self, name: str, script: str) -> None:
        tool = self.folder / name
        tool.write_text(f"#!/bin/sh\n{script}")
        tool.chmod(0o755)

    def downloads(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    made = Tools(folder)
    made.set("apt-get", APT)
    made.set("dpkg-deb", DPKG)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(made.log))
    return made


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openclipart_files, "INSTALLED", tmp_path / "installed")
    monkeypatch.delenv("MI2P_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def quiet(message: str) -> None:
    assert "unsandboxed" not in message


def make_drawings(folder: Path) -> Path:
    (folder / "png").mkdir(parents=True)
    (folder / "svg").mkdir()
    return folder


@pytest.mark.parametrize(
    "below", ["", "usr/share/openclipart", "openclipart", "openclipart/usr/share/openclipart"]
)
def test_explicit_folder_may_be_any_level(tmp_path: Path, below: str) -> None:
    drawings = make_drawings(tmp_path / "root" / below)
    assert locate(tmp_path / "root") == drawings


def test_explicit_folder_is_never_replaced_by_another(tmp_path: Path) -> None:
    make_drawings(tmp_path / "data/openclipart")
    (tmp_path / "half/png").mkdir(parents=True)
    with pytest.raises(DataUnavailable, match=r"png/ and svg/.*Looked at: .*/half\."):
        locate(tmp_path / "half")


def test_places_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataUnavailable, match=r"installed, .*data/openclipart \(MI2P_DATA is not"):
        locate(None)
    fetched = make_drawings(tmp_path / "data/openclipart")
    assert locate(None) == fetched
    installed = make_drawings(tmp_path / "installed")
    assert locate(None) == installed
    monkeypatch.setenv("MI2P_DATA", str(tmp_path / "mine"))
    assert locate(None) == installed
    mine = make_drawings(tmp_path / "mine/openclipart")
    assert locate(None) == mine


def test_fetch_unpacks_once(tmp_path: Path, tools: Tools) -> None:
    said: list[str] = []
    target = tmp_path / "data/openclipart"
    first = fetch(target, echo=said.append)
    assert first == target / "usr/share/openclipart"
    assert (first / "png/food").is_dir() and (first / "svg/food").is_dir()
    assert "unsandboxed" not in "".join(said)
    assert fetch(target, echo=quiet) == first == locate(None)
    assert tools.downloads() == 1
    assert sorted(p.name for p in target.parent.iterdir()) == [".openclipart.lock", "openclipart"]


def test_two_fetches_at_once_download_once(tmp_path: Path, tools: Tools) -> None:
    tools.set("apt-get", "sleep 0.3\n" + APT)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(tmp_path / "clips", echo=quiet)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "clips/usr/share/openclipart"] * 2
    assert tools.downloads() == 1


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("Unable to locate package openclipart-png", True),
        ("Failed to fetch openclipart-png.deb  404  Not Found", True),
        ("Temporary failure resolving 'mirror'", False),
    ],
)
def test_apts_error_is_shown_with_the_way_out(
    tmp_path: Path, tools: Tools, message: str, hint: bool
) -> None:
    tools.set("apt-get", FAILING_APT.format(message=message))
    with pytest.raises(DataUnavailable) as caught:
        fetch(tmp_path / "clips", echo=quiet)
    text = str(caught.value)
    assert f"apt-get failed with status 100 and said:\n  E: {message}" in text
    assert "unsandboxed" not in text
    assert ("sudo apt-get update" in text) is hint
    for part in (
        "openclipart-png_0.18+dfsg-19_all.deb",
        "openclipart-svg_0.18+dfsg-19_all.deb",
        "pool/main/o/openclipart/",
        "dpkg-deb -x FILE DIR",
        "tar xf data.tar.xz",
        "--data DIR",
        "MI2P_DATA",
    ):
        assert part in text
    assert not (tmp_path / "clips").exists()
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


def test_killed_fetch_leaves_nothing_that_is_used(tmp_path: Path, tools: Tools) -> None:
    tools.set("dpkg-deb", KILLING_DPKG)
    script = (
        "import sys; from pathlib import Path; from mi2p.data.openclipart_files import fetch;"
        "fetch(Path(sys.argv[1]), echo=print)"
    )
    target = tmp_path / "data/openclipart"
    root = Path(openclipart_files.__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", script, str(target)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
    )
    assert killed.returncode == -9
    assert len(list(target.parent.glob(".openclipart.partial-*"))) == 1
    with pytest.raises(DataUnavailable):
        locate(None)
    tools.set("dpkg-deb", DPKG)
    assert fetch(target, echo=quiet) == locate(None)
    assert not list(target.parent.glob(".openclipart.partial-*"))


def test_missing_tools_are_named(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tools.folder / "dpkg-deb").unlink()
    monkeypatch.setenv("PATH", str(tools.folder))
    with pytest.raises(DataUnavailable, match=r"missing: \['dpkg-deb'\]"):
        fetch(tmp_path / "clips", echo=quiet)


def test_full_disk_is_noticed_before_downloading(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=12_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataUnavailable, match=r"needs 520 MB of disk, but .* has 12 MB free"):
        fetch(tmp_path / "clips", echo=quiet)
    assert tools.downloads() == 0


def test_packages_of_another_kind_are_refused(tmp_path: Path, tools: Tools) -> None:
    tools.set("dpkg-deb", 'mkdir -p "$3/usr/share/other"\n')
    with pytest.raises(DataUnavailable, match="do not contain png/ and svg/"):
        fetch(tmp_path / "clips", echo=quiet)
    tools.set("apt-get", "touch openclipart-png_1_all.deb\n")
    with pytest.raises(DataUnavailable, match="left 0 files for openclipart-svg"):
        fetch(tmp_path / "clips", echo=quiet)


def test_foreign_destination_is_left_alone(tmp_path: Path, tools: Tools) -> None:
    mine = tmp_path / "clips/mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        fetch(mine.parent, echo=quiet)
    with pytest.raises(DataUnavailable, match="Cannot write the drawings"):
        fetch(mine / "below", echo=quiet)
    assert mine.read_text() == "precious"
