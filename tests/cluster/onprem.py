"""A Ray cluster on hosts, brought up with `cluster/onprem.yaml`, and sweeps that run on it."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.hosts import CLIENT, SHARED, Hosts
from tests.cluster.sweeps import ROOT, Watched, command, wait, write_slow_disk

HEAD = "h1"
FRESH_SECONDS = 6.0
"""Since a trial's first checkpoint was seen; it takes three times as long."""
BASHRC = f"""
export PYTHONPATH={SHARED}/slow:~/mi2p RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export PYTHONDONTWRITEBYTECODE=1
test ! -e {SHARED}/bashrc.$(hostname) || . {SHARED}/bashrc.$(hostname)
"""
NODES = """
from ray._raylet import GcsClient
nodes = GcsClient("127.0.0.1:6379").get_all_node_info().values()
print("workers:", sum(node.state == 0 and "CPU" in node.resources_total for node in nodes))
"""


class Cluster:
    """Ray on h1, which is the head and has no trials, and on workers with a CPU each."""

    def __init__(self, hosts: Hosts, workers: tuple[str, ...]) -> None:
        self.hosts, self.workers = hosts, workers
        self.file = hosts.shared / "onprem.yaml"
        write_slow_disk(hosts.shared / "slow")

    def up(self) -> None:
        """`ray up`, as a user types it in the repository's root; all workers are in at the end."""
        addresses = [self.hosts.address(name) for name in (HEAD, *self.workers)]
        config = yaml.safe_load((ROOT / "cluster/onprem.yaml").read_text())
        self.file.write_text(yaml.safe_dump(for_hosts(config, addresses)))
        token = "test -e ~/.ray/auth_token || ray get-auth-token --generate > /dev/null"
        up = f"timeout 280 ray up -y --no-config-cache {SHARED}/{self.file.name}"
        self.hosts.run(CLIENT, f"cd {ROOT}; {token}; {up}")
        self.wait_for(len(self.workers))

    def wait_for(self, count: int) -> None:
        """Until so many workers are in the cluster."""
        wait(lambda: self.alive() == count, self.status)

    def alive(self) -> int:
        """How many workers the head believes to be there; 0 if it does not answer."""
        # Not `ray status`, which shows lost nodes until the autoscaler has forgotten them.
        said = self.hosts.run(HEAD, f"timeout 60 python -c {shlex.quote(NODES)}", check=False)
        found = re.search(r"^workers: (\d+)$", said, re.MULTILINE)
        return int(found[1]) if found else 0

    def status(self) -> str:
        """What `ray status` prints on the head."""
        return self.hosts.run(HEAD, "timeout 60 ray status", check=False)


def for_hosts(config: dict[str, Any], addresses: list[str]) -> dict[str, Any]:
    """The file, filled in, with only that replaced in which hosts differ from machines."""
    config["provider"] |= {"head_ip": addresses[0], "worker_ips": addresses[1:]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id_ed25519"}
    # The environment is on the PATH, and processes are started for a single CPU.
    config["setup_commands"] = [each for each in config["setup_commands"] if "chmod" in each]
    memory = "--object-store-memory=80000000"
    head, worker = config["head_start_ray_commands"], config["worker_start_ray_commands"]
    head[1] = head[1].replace("ray start", f"ray start {memory}")
    worker[1] = worker[1].replace("ray start", f"ray start --num-cpus=1 --num-gpus=0 {memory}")
    return config


class Sweep(Watched):
    """The ablation sweep on a cluster; its driver runs on the head."""

    def __init__(self, cluster: Cluster, name: str, *, results: str | None = None) -> None:
        self.folder = cluster.hosts.shared / name
        super().__init__(self.folder / "results")
        self.cluster, self.name = cluster, name
        where = results or f"{SHARED}/{name}"
        arguments = command(f"{SHARED}/drawings", where, f"{SHARED}/cache", "--address", "auto")
        self.command = shlex.join(arguments)
        self.starts = 0
        self.kept_since: dict[str, float] = {}
        """When the first checkpoint of each trial was first seen, by time.monotonic."""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Type the command on the head."""
        self.folder.mkdir(exist_ok=True)
        self.starts += 1
        line = f"cd {SHARED}/{self.name}; echo $$ > driver; exec {self.command}"
        self.process = self.cluster.hosts.start(HEAD, line, self.log)

    @property
    def log(self) -> Path:
        """All that the last driver printed."""
        return self.folder / f"log{self.starts}"

    def kill(self) -> None:
        """SIGKILL for the driver alone."""
        self.cluster.hosts.run(HEAD, f"kill -9 $(cat {SHARED}/{self.name}/driver)")
        self._ended(60)

    def finish(self, status: int = 0) -> str:
        """What the driver has printed when it has ended; `status` is what it must end with."""
        found = self._ended(300)
        said = self.log.read_text()
        assert found == status, said
        return said

    def _ended(self, seconds: float) -> int:
        assert self.process is not None
        process = self.process

        def over() -> bool:
            self.rows()
            return process.poll() is not None

        wait(over, self.log.read_text, seconds=seconds)
        self.rows()
        return int(process.returncode)

    def until(self, what: Callable[[], Any]) -> Any:
        """What `what` returns once that is true, which must be while the driver runs."""
        assert self.process is not None
        process = self.process

        def look() -> Any:
            self.rows()
            found = what()
            assert found or process.poll() is None, f"it ended early: {self.log.read_text()}"
            return found

        return wait(look, self.log.read_text)

    def on_host(self, name: str) -> str | None:
        """A trial that a host runs and whose first checkpoint was seen just now, so that most of
        it is still to come; None without one."""
        held, now = self.held(name), time.monotonic()
        for each in self.checkpoints():
            self.kept_since.setdefault(each, now)
        fresh = (each for each in held if now - self.kept_since.get(each, 0.0) < FRESH_SECONDS)
        return next(fresh, None)

    def held(self, name: str) -> dict[str, int]:
        """The trials whose locks processes of a host have open, and the process's number there."""
        listing = "for f in /proc/[0-9]*/fd/*; do echo $f $(readlink $f); done 2>/dev/null"
        said = self.cluster.hosts.run(name, listing, check=False)
        lock = rf"/proc/(\d+)/fd/\d+ {SHARED}/{self.name}/results/checkpoints/(\w+)\.lock"
        return {trial_id: int(process) for process, trial_id in re.findall(lock, said)}

    def kill_trial(self, name: str) -> str:
        """SIGKILL for the process of the trial that a host runs; the trial's id."""
        trial_id: str = self.until(lambda: self.on_host(name))
        process = self.held(name)[trial_id]
        self.cluster.hosts.run(name, f"kill -9 {process}")
        return trial_id

    def recovered(self, trial_ids: tuple[str, ...], *, since: float) -> dict[str, float]:
        """Seconds from `since` (of time.monotonic) until each of these trials has kept another
        checkpoint than it has now, or is done."""
        before = self.checkpoints()
        found: dict[str, float] = {}

        def look() -> bool:
            now, rows = self.checkpoints(), self.rows()
            for each in trial_ids:
                on = each in rows or now.get(each, before.get(each)) != before.get(each)
                if on and each not in found:
                    found[each] = time.monotonic() - since
            return len(found) == len(trial_ids)

        self.until(look)
        return found
