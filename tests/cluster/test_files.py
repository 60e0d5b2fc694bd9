"""The files of `cluster/` against what reads them: Ray, KubeRay's schema, bash."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
pytestmark = pytest.mark.slow
LAUNCHED = ("gpu.yaml", "onprem.yaml")


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text())
    return found


def filled_out(name: str) -> dict[str, Any]:
    """The file as `ray up` takes it: with Ray's defaults, and valid for its schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(load(name))
    validate_config(config)
    return config


def starts(config: dict[str, Any]) -> list[str]:
    """The commands that start Ray, the head's first."""
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [command for command in commands if "ray start" in command]


@pytest.mark.parametrize("name", LAUNCHED)
def test_rays_own_validation_accepts_the_file(name: str) -> None:
    config = filled_out(name)
    assert config["head_node_type"] in config["available_node_types"]


def test_rays_own_validation_can_fail() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = load("gpu.yaml")
    config["available_node_types"]["head"]["instances"] = 1
    with pytest.raises(Exception, match="instances"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_start_of_ray_has_the_same_settings(name: str) -> None:
    head, worker = starts(filled_out(name))
    for command in (head, worker):
        before, _, _ = command.partition("ray start")
        assert "RAY_AUTH_MODE=token " in before
        assert "RAY_memory_monitor_refresh_ms=0 " in before
    assert "--head" in head
    assert "--address=$RAY_HEAD_IP:6379" in worker


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_head_takes_no_trials_and_its_dashboard_listens_on_itself(name: str) -> None:
    head, _ = starts(filled_out(name))
    options = head.split()
    assert {"--num-cpus=0", "--num-gpus=0", "--dashboard-host=127.0.0.1"} <= set(options)
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in options


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_token_is_there_and_private_before_ray_starts(name: str) -> None:
    config = filled_out(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    # Ray mounts files, then runs setup commands in order, then starts.
    for commands in (config["head_setup_commands"], config["worker_setup_commands"]):
        assert "chmod 600 ~/.ray/auth_token" in commands[0]


@pytest.mark.parametrize("name", LAUNCHED)
def test_all_that_is_installed_reaches_the_nodes_and_no_data_does(name: str) -> None:
    mounts = load(name)["file_mounts"]
    mounts.pop("~/.ray/auth_token")
    assert all(remote == f"~/mi2p/{local}" for remote, local in mounts.items())
    assert {"pyproject.toml", "README.md", "LICENSE", "mi2p", "analysis", "sweeps"} <= set(
        mounts.values()
    )
    assert all((ROOT / local).exists() for local in mounts.values())


def test_the_machines_under_a_desk_are_all_workers() -> None:
    config = filled_out("onprem.yaml")
    (node,) = config["available_node_types"].values()
    assert node["min_workers"] == len(load("onprem.yaml")["provider"]["worker_ips"])


def nodes() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load("gpu.yaml")["available_node_types"]
    return found


def test_the_head_on_aws_offers_no_cpu_and_is_no_spot_instance() -> None:
    head = nodes()["head"]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_on_aws_are_spot_and_on_demand_of_two_sizes_or_more() -> None:
    workers = {name: node for name, node in nodes().items() if name != "head"}
    sizes: dict[bool, set[str]] = {True: set(), False: set()}
    for name, node in workers.items():
        market = node["node_config"].get("InstanceMarketOptions")
        assert market in (None, {"MarketType": "spot"})
        assert (market is not None) == name.endswith("_spot")
        assert node.get("min_workers", 0) == 0
        if node["max_workers"]:
            sizes[market is not None].add(node["node_config"]["InstanceType"])
        # The cheaper one is tried first.
        assert (node.get("priority", 0) > 0) == (market is not None)
    assert len(sizes[True]) >= 2
    assert len(sizes[False]) >= 2


@pytest.mark.parametrize("name", nodes())
def test_each_instance_on_aws_is_guarded(name: str) -> None:
    config = nodes()[name]["node_config"]
    assert config["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    # One that is named: what Ray makes lets ssh in from anywhere.
    assert config["SecurityGroupIds"] == ["sg-FILL-IN"]
    (disk,) = config["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] and disk["Ebs"]["DeleteOnTermination"]


def test_idle_nodes_on_aws_end_and_stopped_ones_are_not_kept() -> None:
    config = load("gpu.yaml")
    assert 0 < config["idle_timeout_minutes"] <= 10
    assert config["provider"]["cache_stopped_nodes"] is False


def test_the_shared_folder_on_aws_waits_for_its_file_system() -> None:
    (command,) = (each for each in load("gpu.yaml")["setup_commands"] if "mount -t" in each)
    assert "mount -t nfs4" in command
    options = re.search(r"-o (\S+) fs-FILL-IN\.efs\.", command)
    assert options
    assert {"nfsvers=4.1", "hard"} <= set(options.group(1).split(","))
    assert command.index("mountpoint -q /mnt/shared ||") < command.index("mount -t")


def test_each_worker_on_aws_watches_for_spot_notices() -> None:
    command = load("gpu.yaml")["worker_start_ray_commands"][-1]
    assert "python -m mi2p.spot" in command and command.endswith("&")


def test_only_the_lines_that_say_so_are_to_be_filled_in() -> None:
    # Each of them once, so that a user who fills in by hand misses none.
    text = (CLUSTER / "gpu.yaml").read_text()
    kinds = re.findall(r"\b(\w+)-FILL-IN\b", text)
    assert sorted(kinds) == ["ami", "fs", "sg"]
    assert len(re.findall(r"# FILLED IN:", text)) == 3
    addresses = re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", (CLUSTER / "onprem.yaml").read_text())
    documented = [address for address in addresses if address.startswith("192.0.2.")]
    assert set(addresses) - set(documented) == {"127.0.0.1"}


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        yield


def test_ray_knows_the_gpus_of_the_instance_types(mocked: None) -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = AWSNodeProvider.fillout_available_node_types_resources(load("gpu.yaml"))
    found = config["available_node_types"]
    assert found["head"]["resources"]["CPU"] == 0
    for name, node in found.items():
        if name != "head":
            assert node["resources"]["GPU"] == int(name.split("_")[1])
            kind = "A100" if node["resources"]["GPU"] == 8 else "A10G"
            assert node["resources"][f"accelerator_type:{kind}"] == 1


def kubernetes() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text())
    return {document["kind"]: document for document in documents}


def schema() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("rayjob_v1.yaml").read_text())
    return found


def test_kuberays_schema_accepts_the_job() -> None:
    import jsonschema

    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.validate(kubernetes()["RayJob"], schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.rayClusterSpec.authOptions.mode", "tokens"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.rayClusterSpec.autoscaling", True),
        ("spec.backoffLimit", "3"),
    ],
)
def test_kuberays_schema_can_refuse(path: str, value: object) -> None:
    import jsonschema

    job = copy.deepcopy(kubernetes()["RayJob"])
    at = job
    *parents, last = path.split(".")
    for key in parents:
        at = at[key]
    at[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, schema())


def test_the_job_on_kubernetes_shares_a_volume_and_spares_the_head() -> None:
    claim = kubernetes()["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    spec = kubernetes()["RayJob"]["spec"]
    assert spec["shutdownAfterJobFinishes"] and spec["ttlSecondsAfterFinished"] > 0
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    assert workers["minReplicas"] == 0 < workers["maxReplicas"]
    for group in (head, workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {"name": "RAY_memory_monitor_refresh_ms", "value": "0"} in container["env"]
        assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/mnt/shared"}]
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (worker,) = workers["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    # Both are on the shared volume; the script is one that the image has.
    assert re.findall(r"--(results|cache) /mnt/shared/", spec["entrypoint"]) == [
        "results",
        "cache",
    ]
    script = re.search(r"/home/ray/mi2p/(sweeps/\w+\.py)", spec["entrypoint"])
    assert script and (ROOT / script.group(1)).exists()


def test_the_versions_of_ray_agree() -> None:
    version = kubernetes()["RayJob"]["spec"]["rayClusterSpec"]["rayVersion"]
    assert f"FROM rayproject/ray:{version}-" in (CLUSTER / "Dockerfile").read_text()


def test_shellcheck_has_nothing_to_say() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("needs shellcheck")
    done = subprocess.run(
        ["shellcheck", CLUSTER / "slurm.sbatch"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
