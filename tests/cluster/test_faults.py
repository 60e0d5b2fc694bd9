"""Sweeps on several hosts that are powered off, cut off and killed, and what must not change.

The cluster is brought up once and the tests are one story, in order. Trials are made to take a
second for each epoch, so that faults hit them; nothing else is made slower.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import CLIENT, SHARED, hosts, why_not
from tests.cluster.onprem import BASHRC, HEAD, Cluster, Sweep
from tests.cluster.sweeps import NUM_TRIALS, ROOT

MISSING = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(bool(MISSING), reason=str(MISSING)),
]

WORKERS = ("h2", "h3", "h4")
CLOCK = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
"""Debian's faketime; with it the clock of h4 is an hour ahead in all that these tests do."""
Report = Callable[[str], None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Prints a line that is seen without -s: what was measured is no assertion."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    return line


@pytest.fixture(scope="module")
def cluster(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("faults")
    extra = folder / "hosts" / "bashrc.extra"
    extra.parent.mkdir()
    extra.write_text(BASHRC)
    with hosts(folder, 1 + len(WORKERS)) as machines:
        shutil.copytree(drawings, machines.shared / "drawings")
        if CLOCK.exists():
            # Files have the time of the server that keeps them.
            ahead = f"export LD_PRELOAD={CLOCK} FAKETIME=+1h NO_FAKE_STAT=1\n"
            (machines.shared / "bashrc.h4").write_text(ahead)
        made = Cluster(machines, WORKERS)
        made.up()
        yield made


@pytest.fixture(scope="module")
def disturbed(cluster: Cluster) -> Sweep:
    """The sweep of the first test."""
    return Sweep(cluster, "three")


def kinds(sweep: Sweep, trial_id: str) -> list[str]:
    """Of the faults in a finished trial's row, in order."""
    return [fault["kind"] for fault in json.loads(sweep.records()[trial_id]["faults"] or "[]")]


def test_a_lost_host_a_cut_host_and_a_killed_driver_in_one_run(
    cluster: Cluster, disturbed: Sweep, undisturbed: dict[str, bytes], report: Report
) -> None:
    sweep = disturbed
    start = time.monotonic()
    sweep.start()
    lost = sweep.until(lambda: sweep.on_host("h2"))
    report(f"first checkpoint after {time.monotonic() - start:.1f} s")
    cut = sweep.until(lambda: sweep.on_host("h3"))
    since = time.monotonic()
    cluster.hosts.power_off("h2")
    cluster.hosts.cut("h3")
    sweep.until(lambda: cluster.alive() == 1)
    report(f"one host off, one cut off: declared dead after {time.monotonic() - since:.1f} s")
    cluster.hosts.heal("h3")
    for trial_id, seconds in sweep.recovered((lost, cut), since=since).items():
        what = {lost: "powered off", cut: "cut off"}[trial_id]
        report(f"host {what}: its trial reported again after {seconds:.1f} s")

    killed = sweep.until(lambda: sweep.on_host("h4"))
    since = time.monotonic()
    sweep.kill()
    sweep.start()
    seconds = sweep.recovered((killed,), since=since)[killed]
    report(f"driver killed: its trial reported again after {seconds:.1f} s")
    sweep.finish()
    assert len(sweep.rows()) == NUM_TRIALS
    assert sweep.bits() == undisturbed
    assert kinds(sweep, lost)[0] == "node"
    assert "driver" in kinds(sweep, killed)


@pytest.mark.skipif(not CLOCK.exists(), reason="needs faketime")
def test_a_clock_that_is_an_hour_ahead_is_told_and_changes_nothing(disturbed: Sweep) -> None:
    said = disturbed.log.read_text()
    assert re.search(r"clocks of the cluster differ by 3[56]\d\d s", said), said


def test_a_host_that_was_cut_off_joins_again(cluster: Cluster, report: Report) -> None:
    since = time.monotonic()
    cluster.wait_for(2)
    report(f"the host that was cut off is in again after {time.monotonic() - since:.1f} s more")


def test_a_drained_host_a_lost_head_and_a_killed_process(
    cluster: Cluster, undisturbed: dict[str, bytes], report: Report
) -> None:
    sweep = Sweep(cluster, "head")
    sweep.start()
    # What a drained host runs goes on; it stands still, so that it is there to the end.
    drained = sweep.until(lambda: sweep.on_host("h3"))
    cluster.hosts.run("h3", f"kill -STOP {sweep.held('h3')[drained]}")
    give_notice(cluster, "h3")
    count = len(sweep.rows())
    sweep.until(lambda: len(sweep.rows()) >= count + 2)
    assert sweep.held("h3").keys() == {drained}
    cluster.hosts.power_off("h3")
    cluster.hosts.power_off(HEAD)
    before = sweep.rows()
    assert len(before) < NUM_TRIALS

    since = time.monotonic()
    for name in (HEAD, "h2", "h3"):
        cluster.hosts.add(name, f"{cluster.hosts.net}.{10 + int(name[1:])}")
    cluster.up()
    report(f"head powered off: the cluster is up again after {time.monotonic() - since:.1f} s")
    sweep.start()
    sweep.until(lambda: len(sweep.rows()) > len(before))
    report(f"head powered off: the next trial is done after {time.monotonic() - since:.1f} s")

    killed = sweep.kill_trial("h4")
    since = time.monotonic()
    seconds = sweep.recovered((killed,), since=since)[killed]
    report(f"process killed: its trial reported again after {seconds:.1f} s")
    sweep.finish()
    assert len(sweep.rows()) == NUM_TRIALS
    assert sweep.bits() == undisturbed
    assert "process" in kinds(sweep, killed)


def give_notice(cluster: Cluster, name: str) -> None:
    """What AWS says to a spot instance, and the watcher that hears it."""
    hosts = cluster.hosts
    notices = hosts.shared / "notices"
    notices.mkdir()
    (notices / hosts.address(name)).touch()
    hosts.start(CLIENT, f"python {ROOT}/tests/cluster/imds.py {SHARED}/notices", notices / "log")
    service = f"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://{hosts.address(CLIENT)}:5001"
    assert "drained" in hosts.run(name, f"{service} timeout 100 python -m mi2p.spot")


def test_results_on_a_hosts_own_disk_are_refused(cluster: Cluster) -> None:
    sweep = Sweep(cluster, "own", results="/root/own")
    sweep.start()
    said = sweep.finish(status=1)
    assert "must see the same results folder" in said
    assert "Traceback" not in said
