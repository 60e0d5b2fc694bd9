"""The watcher of spot instances against a server that plays the metadata service."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mi2p import spot
from mi2p.spot import Metadata, Notice, drain, parse_notice, wait_for_notice

NOTICE = '{"action": "terminate", "time": "2026-11-28T12:02:00Z"}'


class Instance:
    """What the metadata service of an instance would say, and what it was asked."""

    def __init__(self) -> None:
        self.life_cycle = "spot"
        self.action: str | None = None
        self.broken = False
        self.tokens: list[str] = []
        self.asked: list[tuple[str, str]] = []

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        self.asked.append((method, path))
        if self.broken:
            return 503, ""
        if (method, path) == ("PUT", "/latest/api/token"):
            if not 1 <= int(headers.get("x-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
                return 400, ""
            self.tokens.append(f"token {len(self.tokens)}")
            return 200, self.tokens[-1]
        # Version 2 answers nobody without the session's token.
        if headers.get("x-aws-ec2-metadata-token") not in self.tokens[-1:]:
            return 401, ""
        if path == "/latest/meta-data/instance-life-cycle":
            return 200, self.life_cycle
        if path == "/latest/meta-data/spot/instance-action" and self.action:
            return 200, self.action
        return 404, ""


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
def address(instance: Instance) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            code, text = instance.answer(self.command, self.path, headers)
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = _do

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def sleeping(*then: Callable[[], None]) -> Callable[[float], None]:
    """A `sleep` that does something at each call, and fails when it is called once more."""
    left = iter(then)
    return lambda seconds: next(left)()


def nothing() -> None:
    pass


def test_a_notice_is_waited_for(instance: Instance, address: str) -> None:
    def give() -> None:
        instance.action = NOTICE

    found = wait_for_notice(Metadata(address), sleeping(nothing, nothing, give))
    assert found == Notice("terminate", datetime(2026, 11, 28, 12, 2, tzinfo=UTC))
    # One session for all looks.
    assert len(instance.tokens) == 1


def test_an_on_demand_instance_has_nothing_to_watch(instance: Instance, address: str) -> None:
    instance.life_cycle = "on-demand"
    assert wait_for_notice(Metadata(address), sleeping()) is None


def test_an_expired_session_is_renewed(instance: Instance, address: str) -> None:
    def expire() -> None:
        instance.tokens.append("another's")
        instance.action = NOTICE

    assert wait_for_notice(Metadata(address), sleeping(expire)) is not None
    assert instance.tokens == ["token 0", "another's", "token 2"]


def test_an_outage_is_outlasted(instance: Instance, address: str) -> None:
    def fail() -> None:
        instance.broken = True

    def recover() -> None:
        instance.broken, instance.action = False, NOTICE

    assert wait_for_notice(Metadata(address), sleeping(fail, nothing, recover)) is not None


def test_a_service_that_never_answers_is_an_error(instance: Instance, address: str) -> None:
    instance.broken = True
    with pytest.raises(RuntimeError, match="60 times in a row it did not: HTTP Error 503"):
        wait_for_notice(Metadata(address), sleeping(*[nothing] * 59))


def test_no_proxy_is_asked(
    instance: Instance, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Metadata(address).read("instance-life-cycle") == "spot"


@pytest.mark.parametrize("text", ["", "{}", '{"action": "stop"}', '["stop"]', NOTICE[:-4]])
def test_what_is_no_notice_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="a spot notice must be"):
        parse_notice(text)


def test_seconds_left_are_never_negative() -> None:
    at = datetime(2026, 11, 28, 12, 2, tzinfo=UTC)
    assert Notice("stop", at).seconds_left(at - timedelta(minutes=2)) == 120
    assert Notice("stop", at).seconds_left(at + timedelta(minutes=1)) == 0


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `ray` that notes what it is called with and fails while `refusals` has lines left."""
    (tmp_path / "refusals").touch()
    script = tmp_path / "ray"
    script.write_text(
        "#!/bin/sh\n"
        f"cd {tmp_path}\n"
        'printf "%s\\n" "$*" >> calls\n'
        "if [ -s refusals ]; then sed -i 1d refusals; echo not yet >&2; exit 1; fi\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_draining_names_reason_and_deadline(ray: Path) -> None:
    drain(Notice("terminate", datetime.now(UTC) + timedelta(seconds=110)), sleeping())
    (call,) = (ray / "calls").read_text().splitlines()
    command, reason, *message, deadline = call.split()
    assert (command, reason) == ("drain-node", "--reason=DRAIN_NODE_REASON_PREEMPTION")
    assert message[:2] == ["--reason-message=AWS:", "terminate"]
    assert 100 <= int(deadline.removeprefix("--deadline-remaining-seconds=")) <= 110


def test_draining_is_tried_again_but_not_for_ever(ray: Path) -> None:
    notice = Notice("terminate", datetime.now(UTC))
    (ray / "refusals").write_text("1\n2\n")
    drain(notice, sleeping(nothing, nothing))
    assert len((ray / "calls").read_text().splitlines()) == 3
    (ray / "refusals").write_text("x\n" * 100)
    with pytest.raises(RuntimeError, match="refused 20 times: not yet"):
        drain(notice, lambda seconds: None)


def test_the_command_drains_once_and_ends(
    instance: Instance,
    address: str,
    ray: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)
    soon = datetime.now(UTC) + timedelta(minutes=2)
    instance.action = json.dumps({"action": "stop", "time": f"{soon:%Y-%m-%dT%H:%M:%SZ}"})
    assert spot.main() == 0
    assert len((ray / "calls").read_text().splitlines()) == 1
    assert "AWS will stop this instance" in capsys.readouterr().out
