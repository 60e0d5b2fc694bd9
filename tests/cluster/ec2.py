"""EC2 on one machine: moto answers its API, and each instance that it says runs is a host.

moto's server runs on the client host, and so does, in a thread of the tests, what powers hosts on
and off. moto invents no images, networks or roles: `Cloud` makes those that `ray up` asks for.
"""

from __future__ import annotations

import ctypes
import glob
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.cluster.hosts import CLIENT, Hosts

IMAGE = "ami-12c6146b"
"""One that moto knows."""
REGION = "us-west-2"
ROLE = "ray-autoscaler-v1"
"""Ray makes it where it is missing, and then waits for half a minute."""
CLONE_NEWNET = 0x40000000


def environment(address: str) -> dict[str, str]:
    """With which boto3 and the spot watcher of a host ask the client host at this address."""
    return {
        "AWS_ENDPOINT_URL": f"http://{address}:5000",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}:5001",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": REGION,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


class Cloud:
    """An account with a network of one zone, whose instances are hosts."""

    def __init__(self, hosts: Hosts, prefix: str) -> None:
        self._hosts, self._prefix = hosts, prefix
        self._inside = ThreadPoolExecutor(1, initializer=self._enter)
        self._names: dict[str, str] = {}
        self._over = threading.Event()
        self._follower = threading.Thread(target=self._follow)
        self.failures: list[str] = []
        """What went wrong while hosts were powered on or off."""

    def client(self, service: str) -> Any:
        """boto3's; to be used by what is given to `do`."""
        url = environment(self._hosts.address(CLIENT))["AWS_ENDPOINT_URL"]
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    def do(self, what: Callable[[], Any]) -> Any:
        """What a function returns that is called in the network of the client host."""
        return self._inside.submit(what).result(timeout=60)

    def instances(self) -> list[dict[str, Any]]:
        """What EC2 says of those that run."""
        return list(self.do(self._running))

    def host(self, instance: str) -> str:
        """The name of an instance's host."""
        return self._names[instance]

    def _enter(self) -> None:
        """Put this thread, and no other, into the client host's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self._prefix}-{CLIENT}") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def _running(self) -> list[dict[str, Any]]:
        answer = self.client("ec2").describe_instances()
        found = [instance for group in answer["Reservations"] for instance in group["Instances"]]
        return [each for each in found if each["State"]["Name"] in ("pending", "running")]

    def _prepare(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                ec2, iam = self.client("ec2"), self.client("iam")
                subnets = ec2.describe_subnets()["Subnets"]
                break
            except (BotoCoreError, ClientError):  # the server is not up yet
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
        net = self._hosts.net
        vpc = ec2.create_vpc(CidrBlock=f"{net}.0/24")["Vpc"]["VpcId"]
        made = ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"{net}.0/24", AvailabilityZone=f"{REGION}a"
        )["Subnet"]["SubnetId"]
        ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": True})
        for subnet in subnets:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        self.vpc = vpc
        iam.create_instance_profile(InstanceProfileName=ROLE)
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
        iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)

    def _follow(self) -> None:
        self._enter()
        while not self._over.is_set():
            try:
                running = {each["InstanceId"]: each for each in self._running()}
                for instance in running.keys() - self._names.keys():
                    self._allow_keys()
                    name = "i" + instance[2:8]
                    self._names[instance] = name
                    self._hosts.add(name, running[instance]["PrivateIpAddress"])
                for instance in self._names.keys() - running.keys():
                    # EC2 shuts an instance down before it takes it: connections are closed.
                    name = self._names.pop(instance)
                    self._hosts.run(name, "kill -KILL -1", check=False)
                    self._hosts.power_off(name)
            except (AssertionError, OSError, BotoCoreError, subprocess.SubprocessError) as error:
                self.failures.append(repr(error))
            self._over.wait(0.5)

    def _allow_keys(self) -> None:
        """Let in who has a key pair that `ray up` made on the client host."""
        folder = self._hosts.folder / "hosts"
        pid = (folder / CLIENT / "pid").read_text().strip()
        keys = [
            subprocess.check_output(["ssh-keygen", "-y", "-f", file])
            for file in glob.glob(f"/proc/{pid}/root/root/.ssh/*.pem")
        ]
        (folder / "authorized_keys.extra").write_bytes(b"".join(keys))


@contextmanager
def cloud(hosts: Hosts, prefix: str, logs: Path) -> Iterator[Cloud]:
    """A cloud of which the client host of `hosts` is the user's machine."""
    found = Cloud(hosts, prefix)
    shared = "/mnt/shared"
    (hosts.shared / "imds.py").write_bytes(Path(__file__).with_name("imds.py").read_bytes())
    (hosts.shared / "notices").mkdir()
    servers = [
        hosts.start(CLIENT, "exec moto_server -H 0.0.0.0 -p 5000", logs / "moto"),
        hosts.start(CLIENT, f"exec python {shared}/imds.py {shared}/notices", logs / "imds"),
    ]
    try:
        found.do(found._prepare)
        found._follower.start()
        yield found
    finally:
        found._over.set()
        if found._follower.is_alive():
            found._follower.join(timeout=120)
        for server in servers:
            server.terminate()
        found._inside.shutdown()
