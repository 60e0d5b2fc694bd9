"""What is made on AWS before `ray up`, against moto's account."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "cluster/aws.py"
REGION = "us-west-2"
ZONES = 4
"""Of moto's default VPC, a subnet each."""
pytestmark = pytest.mark.slow


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The script, beside a copy of the file that it fills in, in an account of its own."""
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    spec = importlib.util.spec_from_file_location("aws", FILE)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    with mock_aws():
        spec.loader.exec_module(script)
        copied = tmp_path / "gpu.yaml"
        copied.write_bytes(FILE.with_name("gpu.yaml").read_bytes())
        monkeypatch.setattr(script, "FILE", copied)
        # moto has no images of Amazon's that are named so.
        monkeypatch.setattr(script, "newest_image", lambda ec2: "ami-0123456789abcdef0")
        yield script


def run(aws: ModuleType, monkeypatch: pytest.MonkeyPatch, cidr: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["aws.py", "--ssh-from", cidr])
    aws.main()
    found: dict[str, Any] = yaml.safe_load(aws.FILE.read_text())
    return found


def rules(aws: ModuleType, config: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Protocol, ports, members' groups and addresses of each rule of the head's group."""
    (group,) = config["available_node_types"]["head"]["node_config"]["SecurityGroupIds"]
    ec2 = aws.boto3.client("ec2", region_name=REGION)
    found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    return [
        (
            rule["IpProtocol"],
            rule.get("FromPort"),
            rule.get("ToPort"),
            [pair["GroupId"] == group for pair in rule["UserIdGroupPairs"]],
            [each["CidrIp"] for each in rule["IpRanges"]],
        )
        for rule in found
    ]


def test_a_group_a_file_system_and_an_image_are_filled_in(
    aws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run(aws, monkeypatch, "203.0.113.7/32")
    assert "FILL-IN" not in aws.FILE.read_text()
    assert rules(aws, config) == [
        ("-1", None, None, [True], []),
        ("tcp", 22, 22, [], ["203.0.113.7/32"]),
    ]
    efs = aws.boto3.client("efs", region_name=REGION)
    (system,) = efs.describe_file_systems()["FileSystems"]
    assert system["Encrypted"]
    assert f"{system['FileSystemId']}.efs.{REGION}.amazonaws.com:/" in aws.FILE.read_text()
    targets = efs.describe_mount_targets(FileSystemId=system["FileSystemId"])["MountTargets"]
    assert len({target["AvailabilityZoneName"] for target in targets}) == len(targets) == ZONES
    for node in config["available_node_types"].values():
        assert node["node_config"]["ImageId"] == "ami-0123456789abcdef0"


def test_again_from_elsewhere_changes_only_who_may_use_ssh(
    aws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(aws, monkeypatch, "203.0.113.7/32")
    before = aws.FILE.read_text()
    assert run(aws, monkeypatch, "198.51.100.0/24") == first
    assert aws.FILE.read_text() == before
    assert rules(aws, first)[1] == ("tcp", 22, 22, [], ["198.51.100.0/24"])


def test_who_may_use_ssh_must_be_said(
    aws: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["aws.py"])
    with pytest.raises(SystemExit):
        aws.main()
    assert "--ssh-from" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(aws, monkeypatch, "my-laptop")


def test_the_newest_image_is_taken(aws: ModuleType) -> None:
    script = importlib.util.spec_from_file_location("aws", FILE)
    assert script and script.loader
    fresh = importlib.util.module_from_spec(script)
    script.loader.exec_module(fresh)

    class Images:
        def describe_images(self, **asked: Any) -> dict[str, Any]:
            assert asked["Owners"] == ["amazon"]
            ages = {"ami-1": "2026-01-02", "ami-3": "2026-03-02", "ami-2": "2026-02-02"}
            named = asked["Filters"][0]["Values"] == [fresh.IMAGE]
            images = [{"ImageId": i, "CreationDate": age} for i, age in ages.items()]
            return {"Images": images if named else []}

    assert fresh.newest_image(Images()) == "ami-3"
    ec2 = aws.boto3.client("ec2", region_name=REGION)
    with pytest.raises(LookupError, match="must have an image named 'Deep Learning"):
        fresh.newest_image(ec2)
