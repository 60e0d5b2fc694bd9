"""Takes a spot instance out of service before AWS ends it: `python -m mi2p.spot` on each node.

AWS gives two minutes' notice through the instance's metadata service. The watcher then drains the
Ray node, so that no further trial is placed on it and Ray counts what it loses as preempted; what
runs goes on until the end and resumes elsewhere from its last checkpoint. On an instance that is
no spot instance there is nothing to watch, and it ends.

Rebalance recommendations are left alone: they may come hours before a notice or without one, and
a trial loses at most the epoch that it is in. `AWS_EC2_METADATA_SERVICE_ENDPOINT`, as for AWS's
own libraries, is another address of the metadata service.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

POLL_SECONDS = 5
"""Between two looks; AWS asks for no more often."""
TOKEN_SECONDS = 21600
"""Validity of a session token of the metadata service; the longest it gives."""
MOST_FAILURES = 60
"""Looks in a row that may fail: five minutes."""
MOST_DRAINS = 20
"""Attempts to drain; those of two minutes."""


@dataclass(frozen=True)
class Notice:
    """What AWS is going to do with this instance."""

    action: str
    """terminate, stop or hibernate; the node is lost to Ray in each case."""
    at: datetime

    def seconds_left(self, now: datetime) -> int:
        """From now until then, at least 0."""
        return max(0, int((self.at - now).total_seconds()))


class Metadata:
    """The metadata service of an instance, version 2: each request shows a session token."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._token = ""
        # It is never behind a proxy, whatever the environment says of others.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self, path: str) -> str | None:
        """What is at `latest/meta-data/` + path; None where there is nothing.

        Raises OSError if the service cannot be reached or refuses.
        """
        try:
            return self._read(path)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
        # The token has expired.
        self._token = ""
        return self._read(path)

    def _read(self, path: str) -> str | None:
        if not self._token:
            asked = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            self._token = self._ask("PUT", "api/token", asked)
        try:
            return self._ask("GET", f"meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(
            f"{self._address}/latest/{path}", method=method, headers=headers
        )
        with self._opener.open(request, timeout=2) as answer:
            return str(answer.read().decode())


def parse_notice(text: str) -> Notice:
    """The notice in what the metadata service says at `spot/instance-action`.

    Raises ValueError if it is none.
    """
    try:
        said = json.loads(text)
        at = datetime.strptime(said["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return Notice(said["action"], at)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'a spot notice must be {{"action": ..., "time": "YYYY-MM-DDThh:mm:ssZ"}}, '
            f"but got {text!r}"
        ) from error


def wait_for_notice(metadata: Metadata, sleep: Callable[[float], None]) -> Notice | None:
    """The notice, once there is one; None at once if this is no spot instance.

    Raises RuntimeError if the metadata service gives no usable answer `MOST_FAILURES` times in a
    row.
    """
    spot, failures = False, 0
    while True:
        try:
            if not spot:
                if metadata.read("instance-life-cycle") != "spot":
                    return None
                spot = True
            text = metadata.read("spot/instance-action")
            if text is not None:
                return parse_notice(text)
            failures = 0
        except (OSError, ValueError) as error:
            failures += 1
            if failures == MOST_FAILURES:
                raise RuntimeError(
                    f"the instance's metadata service must answer, but {failures} times in a row "
                    f"it did not: {error}"
                ) from error
        sleep(POLL_SECONDS)


def drain(notice: Notice, sleep: Callable[[float], None]) -> None:
    """Tell Ray that this node ends at the notice's time; it places nothing on it from then on.

    Raises RuntimeError if Ray does not accept that in `MOST_DRAINS` attempts.
    """
    for _ in range(MOST_DRAINS):
        left = notice.seconds_left(datetime.now(UTC))
        done = subprocess.run(
            [
                "ray",
                "drain-node",
                "--reason=DRAIN_NODE_REASON_PREEMPTION",
                f"--reason-message=AWS: {notice.action} at {notice.at:%H:%M:%S} UTC",
                f"--deadline-remaining-seconds={left}",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        sleep(POLL_SECONDS)
    raise RuntimeError(
        f"Ray must accept that this node ends, but refused {MOST_DRAINS} times: "
        f"{(done.stderr or done.stdout).strip()[-500:]}"
    )


def main() -> int:
    """Watch until this node is drained; the exit status."""
    address = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
    try:
        notice = wait_for_notice(Metadata(address), time.sleep)
        if notice is None:
            print("no spot instance: nothing to watch", flush=True)
            return 0
        print(f"AWS will {notice.action} this instance at {notice.at:%H:%M:%S} UTC", flush=True)
        drain(notice, time.sleep)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print("drained: no further trial is placed here", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
