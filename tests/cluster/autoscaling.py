"""Sweeps on an autoscaled cluster of pretended GPUs: which nodes come, where trials land.

    python tests/cluster/autoscaling.py FOLDER DRAWINGS

Run inside a host of its own (`hosts.sh`): Ray's test cluster ends every Ray process that it sees.
The autoscaler is Ray's, its nodes are processes. Trials of one GPU or a part of it sleep; what
starts, places, watches and ends them is a sweep's own code. Those of two GPUs train. Prints a JSON object for each sweep.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
import ray.util
from rich.console import Console

from mi2p.cluster import joined, prepare_environment
from mi2p.ground import Ground
from mi2p.nodes import CONFIG, alive, offer
from mi2p.options import SweepOptions
from mi2p.placement import request_of
from mi2p.running import run
from mi2p.source import Job, Planned
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.store import Store, load
from mi2p.trainable import Places

BASE = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="tiny_densenet"),
    train=TrainSpec(lr=1e-3, epochs=2, batch_size=32),
)
SMALL_STORE = 80 << 20
TYPES = {
    "one": {
        "resources": {"CPU": 4, "GPU": 1, "object_store_memory": SMALL_STORE},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    },
    "four": {
        "resources": {"CPU": 8, "GPU": 4, "object_store_memory": SMALL_STORE},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 1,
    },
}
CLUSTER = {
    "cluster_name": "pretended",
    "max_workers": 3,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.2,
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "initialization_commands": [],
    "rsync_exclude": [],
    "rsync_filter": [],
    **{f"{who}setup_commands": [] for who in ("", "head_", "worker_")},
    **{f"{who}_start_ray_commands": [] for who in ("head", "worker")},
    "file_mounts_sync_continuously": False,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        **TYPES,
    },
}
"""As of Ray's own test cluster, `ray.cluster_utils.AutoscalingCluster`, of which the package
lacks a file. Lies where `ray up` would leave it."""
START = [
    *("ray", "start", "--head", "--num-cpus=0", "--num-gpus=0"),
    *(f"--object-store-memory={SMALL_STORE}", f"--autoscaling-config={CONFIG.expanduser()}"),
]
ENVIRONMENT = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}


def sleeping(config: Mapping[str, Any]) -> None:
    """A trial of two epochs, 4 to 8 s in all, that writes down where and when it ran."""
    from pathlib import Path

    from ray import tune

    from mi2p.spec import TrialSpec
    from mi2p.store import Store, trial_row

    trial = config["trial"]
    spec, start = TrialSpec.from_dict(trial["spec"]), time.time()
    for epoch in (1.0, 2.0):
        time.sleep(2 + spec.seed % 3)
        tune.report({"epoch": epoch, "val/accuracy": 0.5})
    store = Store(Path(trial["places"]["results"]))
    store.write_trial(trial_row(spec, status="done", metrics={"val/accuracy": 0.5}))
    context = ray.get_runtime_context()
    where = {
        "node": context.get_node_id(),
        "gpus": context.get_accelerator_ids()["GPU"],
        "span": [start, time.time()],
    }
    (store.folder / f"{spec.trial_id}.where").write_text(json.dumps(where))


@dataclass
class Watch:
    """Looks at the cluster's GPUs twice a second."""

    seen: list[tuple[float, float]] = field(default_factory=list)
    """Times, and GPUs that were offered then."""
    over: bool = False

    def look(self) -> None:
        while not self.over:
            self.seen.append((time.time(), gpus_now()))
            time.sleep(0.5)

    def offered(self, start: float, end: float) -> float:
        """GPU-seconds between two times."""
        pairs = zip(self.seen, self.seen[1:], strict=False)
        return sum(
            gpus * max(0.0, min(until, end) - max(at, start)) for (at, gpus), (until, _) in pairs
        )


def gpus_now() -> float:
    """GPUs of the nodes that are alive."""
    return sum(node.get("GPU", 0) for node in alive())


def sweep(folder: Path, gpus: float, count: int) -> dict[str, Any]:
    """Run so many trials of so many GPUs each; what was seen."""
    specs = [replace(BASE, seed=seed) for seed in range(count)]
    results = folder / f"results-{gpus:g}"
    results.mkdir(parents=True)
    options = SweepOptions(results=results, gpus_per_trial=gpus, yes=True, device="cpu")
    places = Places(results=str(results), cache="", data="", weights=None)
    offered = offer()
    request = request_of(gpus, None, offered)
    ground = Ground(
        places={"openclipart": places},
        request=request,
        offer=offered,
        slots=offered.slots(request),
    )
    store = Store(results)
    source = Planned(Job(spec=s, label=f"seed {s.seed}", name=f"s{s.seed}") for s in specs)
    watch = Watch()
    watcher = threading.Thread(target=watch.look)
    watcher.start()
    start = time.time()
    end = run(Console(quiet=True), options, "sweep", store, source, ground, trainable=sleeping)
    finish = time.time()
    watch.over = True
    watcher.join()
    found = [json.loads(path.read_text()) for path in results.glob("*.where")]
    busy = gpus * sum(f["span"][1] - f["span"][0] for f in found)
    first = min(f["span"][0] for f in found)
    last = max(f["span"][1] for f in found)
    return {
        "gpus_per_trial": gpus,
        "trials": len(found),
        "end": end,
        "slots": ground.slots,
        "most_gpus": max(g for _, g in watch.seen),
        "at_once_on_a_gpu": at_once(found),
        "seconds": round(finish - start, 1),
        "seconds_until_the_first": round(first - start, 1),
        "busy_gpu_seconds": round(busy, 1),
        "offered_gpu_seconds": round(watch.offered(start, finish), 1),
        "utilisation": round(busy / watch.offered(start, finish), 3),
        "utilisation_between_first_and_last": round(busy / watch.offered(first, last), 3),
    }


def pairs(folder: Path, drawings: Path) -> dict[str, Any]:
    """A sweep whose trials train on two GPUs each, as a user types it; where they were."""
    command = [
        *(sys.executable, "sweeps/ablation_layers.py", "--smoke", "--yes", "--device", "cpu"),
        *("--visual", "tiny_densenet", "--textual", "tiny_bert", "--data", str(drawings)),
        *("--rows", "me_cnn-1", "bert", "--gpus-per-trial", "2", "--address", "auto"),
        *("--results", str(folder / "pairs"), "--cache", str(folder / "cache")),
    ]
    groups: dict[str, Any] = {}
    process = subprocess.Popen(command, stdout=sys.stderr)
    while process.poll() is None:
        for name, group in ray.util.placement_group_table().items():
            gpus = sum(bundle.get("GPU", 0) for bundle in group["bundles"].values())
            if gpus and group["state"] == "CREATED":
                groups[name] = (gpus, len(set(group["bundles_to_node_id"].values())))
        time.sleep(0.3)
    return {
        "gpus_per_trial": 2.0,
        "end": "all" if process.returncode == 0 else f"exit {process.returncode}",
        "statuses": sorted(load(folder / "pairs")["status"].unique()),
        "gpus_of_each_trial": max(gpus for gpus, _ in groups.values()),
        "nodes_of_each_trial": max(nodes for _, nodes in groups.values()),
    }


def at_once(found: list[dict[str, Any]]) -> int:
    """The most trials that were on one GPU at a time."""
    most = 0
    for one in found:
        begin = one["span"][0]
        beside = [
            f
            for f in found
            if (f["node"], f["gpus"]) == (one["node"], one["gpus"])
            and f["span"][0] <= begin < f["span"][1]
        ]
        most = max(most, len(beside))
    return most


def wait_for(gpus: float, seconds: float) -> float:
    """Seconds until the cluster has so many GPUs."""
    start = time.monotonic()
    while gpus_now() != gpus:
        if time.monotonic() > start + seconds:
            raise TimeoutError(f"{gpus_now():g} GPUs after {seconds:g} s, not {gpus:g}")
        time.sleep(0.5)
    return time.monotonic() - start


def main() -> None:
    folder = Path(sys.argv[1])
    CONFIG.expanduser().write_text(json.dumps(CLUSTER), encoding="utf-8")
    prepare_environment()
    subprocess.run(START, check=True, env=os.environ | ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        with joined("auto"):
            print(json.dumps({"host": socket.gethostname(), "gpus": gpus_now()}), flush=True)
            for gpus, count in ((1.0, 40), (0.5, 18)):
                print(json.dumps(sweep(folder, gpus, count)), flush=True)
            print(json.dumps(pairs(folder, Path(sys.argv[2]))), flush=True)
            idle = {"idle_seconds_until_all_are_gone": round(wait_for(0, 90), 1)}
            print(json.dumps(idle), flush=True)
            try:
                request_of(8, None, offer())
            except ValueError as error:
                print(json.dumps({"refused": str(error)}), flush=True)
    finally:
        subprocess.run(["ray", "stop", "--force"], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
