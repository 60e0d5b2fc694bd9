"""A Ray cluster on hosts, brought up with `cluster/onprem.yaml`, and sweeps that run on it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.hosts import CLIENT, SHARED, Hosts

ROOT = Path(__file__).parents[2]
HEAD = "h1"
SLOW_DISK = """
import sys, time

def wait(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("/last.pt"):
        time.sleep(1.0)

sys.addaudithook(wait)
"""
"""A `sitecustomize` module: a second for each checkpoint, so that tiny trials can be hit."""
EPOCHS = 6


class Cluster:
    """Ray on h1, which is the head and has no trials, and on other hosts with a CPU each."""

    def __init__(self, hosts: Hosts, workers: tuple[str, ...]) -> None:
        self.hosts, self.workers = hosts, workers
        self.file = hosts.shared / "onprem.yaml"
        watch = hosts.shared / "watch"
        watch.mkdir(parents=True)
        (watch / "sitecustomize.py").write_text(SLOW_DISK)

    @staticmethod
    def bashrc() -> str:
        """What the shells of hosts need for it."""
        return (
            f"export PYTHONPATH={SHARED}/watch:~/mi2p RAY_AUTH_MODE=token "
            "RAY_USAGE_STATS_ENABLED=0 PYTHONDONTWRITEBYTECODE=1\n"
        )

    def up(self) -> None:
        """`ray up`, as a user types it in the repository's root; all hosts are in at the end."""
        addresses = [self.hosts.address(name) for name in (HEAD, *self.workers)]
        text = (ROOT / "cluster/onprem.yaml").read_text()
        self.file.write_text(yaml.safe_dump(for_hosts(yaml.safe_load(text), addresses)))
        self.on_client("test -e ~/.ray/auth_token || ray get-auth-token --generate > /dev/null")
        self.on_client(f"timeout 280 ray up -y --no-config-cache {SHARED}/{self.file.name}")
        wait(lambda: self.alive() == len(self.workers), "all hosts must join")

    def on_client(self, command: str) -> str:
        """What a command prints that the user types in the repository's root."""
        return self.hosts.run(CLIENT, f"cd {ROOT}; {command}")

    def alive(self) -> int:
        """How many CPUs, and so workers, the cluster has now; 0 if it does not answer."""
        said = self.hosts.run(HEAD, "timeout 60 ray status", check=False)
        found = re.search(r"/(\d+)\.\d+ CPU", said)
        return int(found[1]) if found else 0


def for_hosts(config: dict[str, Any], addresses: list[str]) -> dict[str, Any]:
    """The file, filled in, with only that replaced in which hosts differ from machines."""
    config["provider"] |= {"head_ip": addresses[0], "worker_ips": addresses[1:]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id_ed25519"}
    # The environment is on the PATH, and processes are started for a single CPU.
    config["setup_commands"] = [each for each in config["setup_commands"] if "chmod" in each]
    memory = "--object-store-memory=80000000"
    head, workers = config["head_start_ray_commands"], config["worker_start_ray_commands"]
    head[1] = head[1].replace("ray start", f"ray start {memory}")
    workers[1] = workers[1].replace("ray start", f"ray start --num-cpus=1 --num-gpus=0 {memory}")
    return config


def wait(what: Callable[[], Any], message: str, *, seconds: float = 240) -> Any:
    """What `what` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"after {seconds} s: {message}"
        time.sleep(0.3)
    return found


class Sweep:
    """The ablation sweep on a cluster, whose driver is on the head."""

    def __init__(self, cluster: Cluster, name: str, *more: str) -> None:
        self.cluster, self.name = cluster, name
        self.folder = cluster.hosts.shared / name
        self.results = self.folder / "results"
        self.first_seen: dict[str, bytes] = {}
        """Each trial's row file when it was first there, by the trial's id."""
        self.command = command(f"{SHARED}/{name}", *more)
        self.started = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Type the command on the head."""
        self.folder.mkdir(exist_ok=True)
        self.started += 1
        line = f"cd {SHARED}/{self.name}; echo $$ > driver; exec {self.command}"
        self.process = self.cluster.hosts.start(HEAD, line, self.log)

    @property
    def log(self) -> Path:
        """All that the last driver printed."""
        return self.folder / f"log{self.started}"

    def kill_driver(self) -> None:
        """SIGKILL for the driver alone."""
        self.cluster.hosts.run(HEAD, f"kill -9 $(cat {SHARED}/{self.name}/driver)")
        assert self.process is not None
        self.process.wait(timeout=60)

    def rows(self) -> dict[str, bytes]:
        """Row files by their trials' ids; one that has changed since it was first seen is an
        error: its trial ran twice."""
        now = {p.stem: p.read_bytes() for p in (self.results / "trials").glob("*.parquet")}
        for trial_id, content in self.first_seen.items():
            assert now.get(trial_id) == content, f"the row of {trial_id} has changed"
        self.first_seen = now
        return now

    def epochs(self) -> dict[str, int]:
        """When each trial that runs last kept a checkpoint, in ns of the file's time."""
        found = {}
        for path in (self.results / "checkpoints").glob("*/last.pt"):
            try:
                found[path.parent.name] = path.stat().st_mtime_ns
            except FileNotFoundError:  # its trial has just ended
                continue
        return found

    def on_host(self, name: str) -> str | None:
        """The trial that a host runs and that has kept a checkpoint; None if it has none."""
        said = self.cluster.hosts.run(name, f"{OPEN_FILES} | grep -o '{self.name}/.*[.]lock'",
                                      check=False)  # fmt: skip
        kept = self.epochs()
        ids = {Path(line).stem for line in said.splitlines()}
        return next((trial_id for trial_id in ids if trial_id in kept), None)

    def until(self, what: Callable[[], Any], message: str, *, seconds: float = 240) -> Any:
        """What `what` returns once that is true, while the driver runs and rows stay."""

        def look() -> Any:
            self.rows()
            found = what()
            ended = self.process is not None and self.process.poll() is not None
            assert found or not ended, f"the driver ended: {self.log.read_text()}"
            return found

        return wait(look, f"{message}\n{self.log.read_text()}", seconds=seconds)

    def recovered(self, trial_id: str, *, since: float) -> float:
        """Seconds from the fault at `since` (of time.monotonic) until its trial has reported
        again, or is done."""
        before = self.epochs().get(trial_id)
        self.until(
            lambda: trial_id in self.rows() or self.epochs().get(trial_id) not in (None, before),
            f"trial {trial_id} must go on",
        )
        return time.monotonic() - since

    def finish(self, *, seconds: float = 300) -> str:
        """What the driver has printed when it has ended, with exit status 0."""
        assert self.process is not None
        wait(lambda: self.rows() is None or self.process.poll() is not None, "it must end",
             seconds=seconds)  # fmt: skip
        said = self.log.read_text()
        assert self.process.returncode == 0, said
        self.rows()
        return said

    def bits(self) -> dict[str, bytes]:
        """What must not depend on faults: the table, predictions and epochs."""
        kinds = ("tables/*.tex", "predictions/*.parquet", "epochs/*.parquet")
        files = (path for kind in kinds for path in self.results.glob(kind))
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


OPEN_FILES = "for f in /proc/[0-9]*/fd/*; do readlink $f; done 2>/dev/null"


def command(folder: str, *more: str) -> str:
    """The sweep of Table 5 over 11 trials, smoke-sized but for their epochs."""
    return (
        f"python {ROOT}/sweeps/ablation_layers.py --smoke --set train.epochs={EPOCHS} --yes "
        f"--visual tiny_densenet --textual tiny_bert --data {SHARED}/drawings "
        f"--results {folder}/results --cache {SHARED}/cache {' '.join(more)}"
    )
