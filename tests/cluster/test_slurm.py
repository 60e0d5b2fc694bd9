"""`cluster/slurm.sbatch` really run, on two hosts, with stand-ins for Slurm's own commands."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import CLIENT, Hosts, hosts, why_not

MISSING = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))]

ROOT = Path(__file__).parents[2]
NET, PREFIX = "10.202.0", "fs"
FIRST, SECOND = CLIENT, "h1"
"""The nodes of the allocation; the first runs the batch script and reaches the other by ssh."""

JOBS = itertools.count(1042)
"""Numbers of jobs, from which ports follow: a test that is run once more gets others."""

# As Slurm's: runs a command on a node with the caller's environment, and passes a SIGTERM on.
SRUN = f"""#!/bin/bash
while [[ $1 == --* ]]; do
  [[ $1 == --nodelist=* ]] && node=${{1#*=}}
  shift
done
if [[ $node == {FIRST} ]]; then exec "$@"; fi
mapfile -t settings < <(env | grep -E '^(RAY|SLURM)_')
there="echo \\$\\$ > /mnt/shared/step.$$; exec $(printf '%q ' env "${{settings[@]}}" "$@")"
quiet="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
run() {{ ssh -i /root/.ssh/id_ed25519 $quiet {NET}.11 "$@"; }}
trap 'run kill -TERM "$(cat /mnt/shared/step.$$)"' TERM
run "$there" < /dev/null &
wait; wait
"""
SCONTROL = """#!/bin/bash
if [[ $1 == requeue ]]; then echo "$2" >> /mnt/shared/requeued; exit; fi
tr , '\\n' <<< "$3"
"""
# A sweep as far as the script is concerned.
DRIVER = """
import sys, time
import ray

ray.init(sys.argv[sys.argv.index("--address") + 1], log_to_driver=False)
@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where():
    time.sleep(1)
    return ray.util.get_node_ip_address()

print("ran on", *sorted(set(ray.get([where.remote() for _ in range(8)]))), flush=True)
if "--wait" in sys.argv:
    time.sleep(300)
sys.exit(3)
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with hosts(tmp_path_factory.mktemp("slurm"), 1, net=NET, prefix=PREFIX) as found:
        (found.shared / "home").mkdir()
        commands = found.shared / "bin"
        commands.mkdir()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        (found.shared / "driver.py").write_text(DRIVER)
        (found.shared / "slurm.sbatch").write_bytes((ROOT / "cluster/slurm.sbatch").read_bytes())
        yield found


def batch(job: int, nodelist: str, *arguments: str) -> str:
    """The command with which Slurm runs the batch script on the first node."""
    settings = {
        "PATH": "/mnt/shared/bin:$PATH",
        "HOME": "/mnt/shared/home",
        "SLURM_JOB_ID": job,
        "SLURM_JOB_NODELIST": nodelist,
        "SLURM_CPUS_PER_TASK": 1,
        "SLURM_GPUS_ON_NODE": 0,
    }
    exports = " ".join(f"{key}={value}" for key, value in settings.items())
    return f"export {exports}; exec bash /mnt/shared/slurm.sbatch {' '.join(arguments)}"


def requeued(nodes: Hosts) -> list[str]:
    """Numbers of the jobs that were queued again."""
    path = nodes.shared / "requeued"
    return path.read_text().split() if path.exists() else []


def remains(nodes: Hosts, name: str) -> str:
    """What a job left on a node: processes of Ray, sockets, its private folder."""
    processes = nodes.run(name, "pgrep -x raylet; pgrep -x gcs_server", check=False)
    files = nodes.run(name, "ls -d /tmp/mi2p-* /mnt/shared/home/.mi2p-* 2>/dev/null", check=False)
    return processes + files


def test_a_job_runs_on_both_nodes_and_leaves_nothing(nodes: Hosts) -> None:
    job = next(JOBS)
    command = batch(job, f"{FIRST},{SECOND}", "/mnt/shared/driver.py", "--results", "x")
    said = nodes.run(FIRST, f"({command}); echo status $?", timeout=280)
    assert f"ran on {NET}.11 {NET}.2" in said, said
    # The script's own status is the sweep's.
    assert said.strip().endswith("status 3"), said
    assert remains(nodes, FIRST) == ""
    assert remains(nodes, SECOND) == ""
    assert str(job) not in requeued(nodes)


def test_a_job_whose_time_is_up_is_queued_again(nodes: Hosts, tmp_path: Path) -> None:
    log = tmp_path / "log"
    number = next(JOBS)
    command = batch(number, FIRST, "/mnt/shared/driver.py", "--wait")
    job = nodes.start(FIRST, f"echo $$ > /mnt/shared/batch; {command}", log)
    end = time.monotonic() + 180
    while "ran on" not in log.read_text():
        assert time.monotonic() < end and job.poll() is None, log.read_text()
        time.sleep(0.5)
    nodes.run(FIRST, "kill -USR1 $(cat /mnt/shared/batch)")
    assert job.wait(timeout=60) == 0, log.read_text()
    assert requeued(nodes)[-1] == str(number)
    assert remains(nodes, FIRST) == ""


def test_a_job_without_a_sweep_says_how(nodes: Hosts) -> None:
    said = nodes.run(FIRST, f"({batch(next(JOBS), FIRST)}); echo status $?")
    assert said.split("\n")[0].startswith("usage: sbatch cluster/slurm.sbatch sweeps/SCRIPT.py")
    assert "status 2" in said
