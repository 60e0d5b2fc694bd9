"""`cluster/gpu.yaml` through a real `ray up`, and what the cluster lets in.

The cloud is moto's and its instances are hosts on this machine: everything is executed but images,
file systems, quotas and prices, which only AWS has. The tests are one story and run in order.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.cluster.ec2 import IMAGE, Cloud, cloud, environment
from tests.cluster.hosts import CLIENT, Hosts, hosts, why_not

MISSING = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))]

ROOT = Path(__file__).parents[2]
NET, PREFIX = "10.201.0", "fa"
FILE = "/mnt/shared/repository/cluster/gpu.yaml"
CIDR = "203.0.113.7/32"

HOLD = """
import json, os, sys, time
import ray

ray.init(address="auto", log_to_driver=False)

@ray.remote(num_cpus=1, max_retries=-1)
def hold(name):
    address = ray.util.get_node_ip_address()
    with open(f"/mnt/shared/tasks/{name}.part", "w") as file:
        file.write(address)
    os.replace(file.name, f"/mnt/shared/tasks/{name}")
    while not os.path.exists("/mnt/shared/tasks/let-go"):
        time.sleep(0.2)
    return address

tasks = [hold.options(num_gpus=gpus).remote(name) for name, gpus in (("a", 1), ("b", 1), ("c", 4))]
addresses = ray.get(tasks)
with open("/mnt/shared/tasks/result", "w") as file:
    json.dump(addresses, file)
"""
NODES = """
import json
import ray

ray.init("auto")
with open("/mnt/shared/tasks/nodes", "w") as file:
    json.dump(ray.nodes(), file)
"""


@dataclass(frozen=True)
class Running:
    """A cluster that is up."""

    hosts: Hosts
    cloud: Cloud
    group: str
    """The id of its security group."""

    def on_client(self, command: str, *, timeout: float = 300) -> str:
        """What a command prints that the user types in the repository's root."""
        return self.hosts.run(CLIENT, f"{EXPORTS}; {command}", timeout=timeout)

    def head(self) -> dict[str, Any]:
        (head,) = (each for each in self.cloud.instances() if kind(each) == "head")
        return head


EXPORTS = (
    "export "
    + " ".join(f"{key}={value}" for key, value in environment(f"{NET}.2").items())
    + "; cd /mnt/shared/repository"
)


def kind(instance: dict[str, Any]) -> str:
    """The node type that an instance was made for."""
    return {tag["Key"]: str(tag["Value"]) for tag in instance["Tags"]}["ray-user-node-type"]


def wait(what: Callable[[], Any], message: str, *, seconds: float = 420) -> Any:
    """What `what` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"after {seconds} s: {message}"
        time.sleep(0.5)
    return found


def aws_module() -> ModuleType:
    """`cluster/aws.py`, which is a script."""
    spec = importlib.util.spec_from_file_location("aws", ROOT / "cluster/aws.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def for_hosts(text: str, group: str) -> dict[str, Any]:
    """The file, filled in, with only that replaced in which hosts differ from instances."""
    filled = aws_module().filled(text, group, IMAGE)
    config: dict[str, Any] = yaml.safe_load(filled)
    # moto's public addresses lead nowhere.
    config["provider"]["use_internal_ips"] = True
    config["idle_timeout_minutes"] = 0.5
    # The shared folder is there, and an environment is on the PATH.
    kept = [each for each in config["setup_commands"] if "chmod" in each or "bashrc" in each]
    config["setup_commands"] = kept
    for name, node in config["available_node_types"].items():
        if name != "head":
            # GPUs are pretended, and processes are started for a single CPU.
            node["resources"] = {"CPU": 1, "GPU": int(name.split("_")[1])}
    # A second trial for one GPU is to find no spot instance.
    config["available_node_types"]["gpu_1_spot"]["max_workers"] = 1
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        commands[1] = commands[1].replace("ray start", "ray start --object-store-memory=80000000")
    return config


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("cluster")
    extra = folder / "hosts" / "bashrc.extra"
    extra.parent.mkdir()
    lines = [f"export {key}={value}\n" for key, value in environment(f"{NET}.2").items()]
    extra.write_text("".join(lines))
    with hosts(folder, 0, net=NET, prefix=PREFIX) as machines:
        machines.shared.chmod(0o777)
        (machines.shared / "tasks").mkdir()
        (machines.shared / "tasks").chmod(0o777)
        (machines.shared / "hold.py").write_text(HOLD)
        (machines.shared / "nodes.py").write_text(NODES)
        with cloud(machines, PREFIX, folder) as account:
            aws = aws_module()
            group = account.do(
                lambda: aws.security_group(account.client("ec2"), account.vpc, "mi2p", CIDR)
            )
            up = Running(machines, account, group)
            text = (ROOT / "cluster/gpu.yaml").read_text()
            config = for_hosts(text, group)
            repository = machines.shared / "repository"
            repository.mkdir()
            for source in config["file_mounts"].values():
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, repository / source)
                elif (ROOT / source).exists():
                    shutil.copy(ROOT / source, repository / source)
            (repository / "cluster/gpu.yaml").write_text(yaml.safe_dump(config))
            up.on_client("ray get-auth-token --generate > /dev/null")
            up.on_client(f"timeout 280 ray up -y {FILE}")
            yield up
            assert not account.failures


def test_the_head_is_up_and_takes_no_trials(running: Running) -> None:
    head = running.head()
    assert (head["InstanceType"], head.get("InstanceLifecycle")) == ("m6i.xlarge", None)
    tags = {tag["Key"]: tag["Value"] for tag in head["Tags"]}
    assert tags["ray-cluster-name"] == "mi2p"
    assert tags["ray-node-type"] == "head"
    assert head["MetadataOptions"]["HttpTokens"] == "required"
    assert len(running.cloud.instances()) == 1

    said = running.on_client(
        f"timeout 120 ray exec {FILE} 'ray status && python /mnt/shared/nodes.py'"
    )
    # A node on which nothing runs is idle, or active while it is new.
    assert "\n 1 head" in said.replace("\r", "")
    nodes = json.loads((running.hosts.shared / "tasks" / "nodes").read_text())
    (resources,) = (node["Resources"] for node in nodes)
    assert not resources.get("CPU")
    assert not resources.get("GPU")


def test_the_group_lets_in_its_members_and_ssh_from_one_place(running: Running) -> None:
    (used,) = running.head()["SecurityGroups"]
    assert used["GroupId"] == running.group
    answer = running.cloud.do(
        lambda: running.cloud.client("ec2").describe_security_groups(GroupIds=[running.group])
    )
    members, ssh = answer["SecurityGroups"][0]["IpPermissions"]
    assert members["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in members["UserIdGroupPairs"]] == [running.group]
    assert members["IpRanges"] == []
    assert (ssh["IpProtocol"], ssh["FromPort"], ssh["ToPort"]) == ("tcp", 22, 22)
    assert ssh["IpRanges"] == [{"CidrIp": CIDR}]
    assert ssh["UserIdGroupPairs"] == []


CODE = "curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}'"


def test_the_token_is_the_users_and_no_other_user_reads_it(running: Running) -> None:
    name = running.cloud.host(running.head()["InstanceId"])
    on_node = running.hosts.run(name, "cat ~ubuntu/.ray/auth_token")
    assert on_node == running.on_client("ray get-auth-token 2>/dev/null")
    assert running.hosts.run(name, "stat -c %a ~ubuntu/.ray/auth_token").strip() == "600"


def test_the_dashboard_is_not_there_for_another_host(running: Running) -> None:
    address = running.head()["PrivateIpAddress"]
    # 7 is curl's "failed to connect"; port 22 tells that the host itself is reached.
    open_port = running.on_client(f"timeout 20 bash -c 'echo > /dev/tcp/{address}/22'; echo $?")
    assert open_port.strip() == "0"
    refused = running.on_client(f'{CODE} http://{address}:8265/api/version; echo " $?"')
    assert refused.split() == ["000", "7"]


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/cluster_status", "/nodes?view=summary"])
def test_the_dashboard_answers_nobody_without_the_token(running: Running, path: str) -> None:
    name = running.cloud.host(running.head()["InstanceId"])
    url = f"'http://127.0.0.1:8265{path}'"
    token = running.on_client("ray get-auth-token 2>/dev/null").strip()
    ask = f"{CODE} {url}"
    assert running.hosts.run(name, ask).strip() in ("401", "403")
    wrong = running.hosts.run(name, f"{CODE} -H 'Authorization: Bearer {'0' * 64}' {url}")
    assert wrong.strip() in ("401", "403")
    right = running.hosts.run(name, f"{CODE} -H 'Authorization: Bearer {token}' {url}")
    assert right.strip() == "200"


def test_a_job_is_not_taken_without_the_token(running: Running) -> None:
    name = running.cloud.host(running.head()["InstanceId"])
    what = '{"entrypoint": "touch /mnt/shared/in"}'
    job = f"-X POST -H 'Content-Type: application/json' -d '{what}'"
    code = running.hosts.run(name, f"{CODE} {job} http://127.0.0.1:8265/api/jobs/")
    assert code.strip() in ("401", "403")
    assert not (running.hosts.shared / "in").exists()


def test_a_job_goes_through_the_tunnel(running: Running, tmp_path: Path) -> None:
    tunnel = running.hosts.start(CLIENT, f"{EXPORTS}; exec ray dashboard {FILE}", tmp_path / "log")
    here = "http://127.0.0.1:8265"

    def code() -> str:
        return running.hosts.run(CLIENT, f"{CODE} {here}/api/jobs/", check=False).strip()

    wait(lambda: code() in ("401", "403"), "the tunnel must open")
    job = "sh -c 'echo $RAY_ADDRESS > /mnt/shared/tasks/job'"
    running.on_client(f"RAY_AUTH_MODE=token timeout 150 ray job submit --address {here} -- {job}")
    tunnel.terminate()
    # The driver of a job is told which cluster is its own.
    address = (running.hosts.shared / "tasks" / "job").read_text().strip()
    assert address == f"{running.head()['PrivateIpAddress']}:6379"


def test_a_driver_with_another_token_is_refused(running: Running) -> None:
    address = running.head()["PrivateIpAddress"]
    driver = f"import ray; ray.init('{address}:6379'); print('joined')"
    said = running.hosts.run(
        CLIENT,
        f'RAY_AUTH_MODE=token RAY_AUTH_TOKEN={"0" * 64} timeout 100 python -c "{driver}"',
        check=False,
    )
    assert "joined" not in said
    assert "AuthenticationError" in said or "Unauthenticated" in said


@pytest.mark.faults
def test_trials_get_the_nodes_that_they_need_and_outlive_a_lost_one(
    running: Running, tmp_path: Path
) -> None:
    tasks = running.hosts.shared / "tasks"

    def places() -> dict[str, dict[str, Any]]:
        """The instance of each task that runs."""
        by_address = {each["PrivateIpAddress"]: each for each in running.cloud.instances()}
        found = {name: tasks / name for name in "abc" if (tasks / name).exists()}
        where = {name: by_address.get(file.read_text()) for name, file in found.items()}
        return {name: instance for name, instance in where.items() if instance}

    log = tmp_path / "driver"
    command = f"{EXPORTS}; exec ray exec {FILE} 'python /mnt/shared/hold.py'"
    driver = running.hosts.start(CLIENT, command, log)
    wait(lambda: len(places()) == 3, f"tasks must run on three nodes\n{log.read_text()}")

    def node(instance: dict[str, Any]) -> tuple[str, str, str | None]:
        return kind(instance), instance["InstanceType"], instance.get("InstanceLifecycle")

    first = places()
    assert sorted(map(str, (node(first["a"]), node(first["b"])))) == sorted(
        map(
            str,
            (("gpu_1_spot", "g5.xlarge", "spot"), ("gpu_1_ondemand", "g5.xlarge", None)),
        )
    )
    assert node(first["c"]) == ("gpu_4_spot", "g5.12xlarge", "spot")
    for each in first.values():
        assert [group["GroupId"] for group in each["SecurityGroups"]] == [running.group]

    # AWS gives notice: the node is taken out of service; then it goes.
    lost = next(name for name in "ab" if first[name].get("InstanceLifecycle"))
    instance = first[lost]["InstanceId"]
    host = running.cloud.host(instance)
    (running.hosts.shared / "notices" / first[lost]["PrivateIpAddress"]).touch()
    watched = lambda: running.hosts.run(host, "cat ~ubuntu/spot.log")  # noqa: E731
    wait(lambda: "drained" in watched(), "the spot node must be drained")
    running.cloud.do(
        lambda: running.cloud.client("ec2").terminate_instances(InstanceIds=[instance])
    )
    wait(
        lambda: places().get(lost, {}).get("InstanceId", instance) != instance,
        f"the task of the lost node must run on another\n{log.read_text()}",
    )

    (tasks / "let-go").touch()
    assert driver.wait(timeout=120) == 0
    addresses = json.loads((tasks / "result").read_text())
    assert addresses[:2].count(first[lost]["PrivateIpAddress"]) == 0
    assert running.head()["PrivateIpAddress"] not in addresses
    wait(
        lambda: [kind(each) for each in running.cloud.instances()] == ["head"],
        "idle nodes must go",
    )


def test_down_ends_every_instance(running: Running) -> None:
    running.on_client(f"timeout 200 ray down -y {FILE}")
    assert running.cloud.instances() == []
