"""Makes what `cluster/gpu.yaml` needs on AWS before `ray up`, and fills it in.

    python cluster/aws.py --ssh-from 203.0.113.7/32     # your address, as CIDR

A security group that lets in ssh from there and its own members only; a file system (EFS) that
outlives the cluster, reachable from each subnet of the default VPC; the newest image with NVIDIA's
driver. What is there already is kept, so that the command can be repeated. The file system is paid
for by what lies on it, until you delete it. Needs credentials where boto3 finds them.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import time
from pathlib import Path
from typing import Any

import boto3
import yaml

FILE = Path(__file__).with_name("gpu.yaml")
IMAGE = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) *"
WAIT_SECONDS = 300


def security_group(ec2: Any, vpc: str, name: str, cidr: str) -> str:
    """The id of the VPC's group of this name, which admits its members and ssh from `cidr` only.

    Other addresses that ssh was let in from are let in no more.
    """
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": [name]}]
    found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    if found:
        group, rules = found[0]["GroupId"], found[0]["IpPermissions"]
    else:
        about = "mi2p: ssh from one place, all within the group"
        made = ec2.create_security_group(GroupName=name, Description=about, VpcId=vpc)
        group, rules = made["GroupId"], []
    if rules:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules)
    members = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": cidr}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[members, ssh])
    return str(group)


def file_system(efs: Any, name: str, subnets: dict[str, str], group: str) -> str:
    """The id of the file system of this name, with a way in from each zone.

    `subnets` are one of each zone, by zone. Raises TimeoutError if it is not there in time.
    """
    # AWS makes one for a creation token, however often it is asked.
    there = efs.describe_file_systems(CreationToken=name)["FileSystems"]
    if not there:
        tags = [{"Key": "Name", "Value": name}]
        efs.create_file_system(
            CreationToken=name, Encrypted=True, ThroughputMode="elastic", Tags=tags
        )
    end = time.monotonic() + WAIT_SECONDS
    while not there or there[0]["LifeCycleState"] != "available":
        if time.monotonic() > end:
            raise TimeoutError(f"the file system {name} must be there in {WAIT_SECONDS} s")
        time.sleep(2 if there else 0)
        there = efs.describe_file_systems(CreationToken=name)["FileSystems"]
    system = str(there[0]["FileSystemId"])
    targets = efs.describe_mount_targets(FileSystemId=system)["MountTargets"]
    for zone in subnets.keys() - {target["AvailabilityZoneName"] for target in targets}:
        efs.create_mount_target(
            FileSystemId=system, SubnetId=subnets[zone], SecurityGroups=[group]
        )
    return system


def newest_image(ec2: Any) -> str:
    """The id of Amazon's newest image of the name above; LookupError if there is none."""
    filters = [{"Name": "name", "Values": [IMAGE]}, {"Name": "state", "Values": ["available"]}]
    images = ec2.describe_images(Owners=["amazon"], Filters=filters)["Images"]
    if not images:
        raise LookupError(f"Amazon must have an image named {IMAGE!r} in this region")
    return str(max(images, key=lambda image: image["CreationDate"])["ImageId"])


def filled(text: str, *ids: str) -> str:
    """The file with these ids in place of those of their kinds (`sg-...`) that it has."""
    for found in ids:
        kind = found.partition("-")[0]
        text = re.sub(rf"\b{kind}-(FILL-IN|[0-9a-f]+)\b", found, text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ssh-from", required=True, metavar="CIDR", type=ipaddress.IPv4Network)
    cidr = str(parser.parse_args().ssh_from)
    text = FILE.read_text()
    config = yaml.safe_load(text)
    region, name = config["provider"]["region"], config["cluster_name"]
    ec2 = boto3.client("ec2", region_name=region)
    efs = boto3.client("efs", region_name=region)

    filters = [{"Name": "default-for-az", "Values": ["true"]}]
    subnets = ec2.describe_subnets(Filters=filters)["Subnets"]
    if not subnets:
        raise SystemExit(f"{region} must have a default VPC with subnets")
    group = security_group(ec2, subnets[0]["VpcId"], name, cidr)
    by_zone = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
    system = file_system(efs, name, by_zone, group)
    FILE.write_text(filled(text, group, system, newest_image(ec2)))
    print(f"{group}: ssh from {cidr}; {system} at /mnt/shared; {FILE} is filled in")


if __name__ == "__main__":
    main()
