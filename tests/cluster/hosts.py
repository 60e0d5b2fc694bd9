"""Several hosts on one machine (`hosts.sh`): each with its own address, processes and sshd.

Needs root, Linux namespaces, iproute2 and an ssh server; `why_not` says what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).with_name("hosts.sh")
SHARED = Path("/mnt/shared")
"""A folder that all hosts see, as an NFS share would be."""
CLIENT = "c"
"""The host from which a user types; it holds the ssh key of the others."""
BINARIES = Path(sys.executable).parent
"""Of the environment that runs the tests; hosts have it first on their PATH."""


def why_not() -> str | None:
    """What keeps this machine from having hosts, or None."""
    missing = [
        name for name in ("ip", "unshare", "nsenter", "ssh-keygen") if not shutil.which(name)
    ]
    if not Path("/usr/sbin/sshd").exists():
        missing.append("sshd")
    if missing:
        return f"needs {', '.join(missing)}"
    if os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run(
        ["unshare", "--net", "--pid", "--mount", "--fork", "true"],
        capture_output=True,
        check=False,
    )
    return None if tried.returncode == 0 else "namespaces are not allowed here"


class Hosts:
    """Hosts h1, h2, ... at NET.11, NET.12, ..., and the client at NET.2."""

    def __init__(self, folder: Path, *, net: str = "10.200.0", prefix: str = "rc") -> None:
        """`folder` keeps them; what is in `shared` below it is `SHARED` on each."""
        self.folder, self.net = folder, net
        self.shared = folder / "shared"
        self.environment = {
            **os.environ,
            "HOSTS_ROOT": str(folder),
            "HOSTS_PREFIX": prefix,
            "HOSTS_NET": net,
            # Each host has a /tmp of its own, below which these may lie.
            "HOSTS_RO": f"{BINARIES.parent} {SCRIPT.parents[2]}",
            "HOSTS_PATH": str(BINARIES),
        }

    def address(self, name: str) -> str:
        """The IP address of a host."""
        return (self.folder / "hosts" / name / "ip").read_text().strip()

    def add(self, name: str, address: str) -> None:
        """Power on one more host."""
        self._do("add", name, address)

    def run(self, name: str, command: str, *, timeout: float = 300, check: bool = True) -> str:
        """What a shell command prints on a host; `AssertionError` with its output if it fails."""
        done = subprocess.run(
            [str(SCRIPT), "sh", name, command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command} on {name}:\n{done.stdout}"
        return done.stdout

    def start(self, name: str, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a shell command on a host; all it prints goes to `log`."""
        with log.open("wb") as file:
            return subprocess.Popen(
                [str(SCRIPT), "sh", name, command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def cut(self, name: str) -> None:
        """Cut the host's link; its processes go on."""
        self._do("link", name, "down")

    def heal(self, name: str) -> None:
        """Undo `cut`."""
        self._do("link", name, "up")

    def power_off(self, name: str) -> None:
        """End every process of a host at once, and its link."""
        self._do("crash", name)

    def _do(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


@contextmanager
def hosts(
    folder: Path, count: int, *, net: str = "10.200.0", prefix: str = "rc"
) -> Iterator[Hosts]:
    """So many hosts beside the client; all of them are gone at the end."""
    found = Hosts(folder, net=net, prefix=prefix)
    try:
        found._do("up", str(count))
        yield found
    finally:
        found._do("down")
