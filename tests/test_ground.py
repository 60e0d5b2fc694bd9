"""What keeps a cluster from running trials, and how many it runs."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mi2p import ground as module
from mi2p.ground import (
    REFRESH_SECONDS,
    WAITING,
    Ground,
    Room,
    check_answers,
    identity_of,
    look_around,
    prepared,
)
from mi2p.nodes import Answer
from mi2p.options import SweepOptions
from mi2p.placement import Offer, Request

NODE = {"CPU": 4.0, "GPU": 2.0}
ANSWER = Answer(host="h1", python="3.11", torch="2.14.1", now=0.0)
OPTIONS = SweepOptions(results=Path("/data/results"))


def test_a_results_folder_keeps_its_name(tmp_path: Path) -> None:
    name = identity_of(tmp_path / "results")
    assert len(name) == 32 and identity_of(tmp_path / "results") == name
    assert identity_of(tmp_path / "other") != name


def test_of_two_sweeps_that_begin_at_once_one_gives_the_name(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def name(_: int) -> str:
        start.wait()
        return identity_of(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(name, range(8)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".id"]


def test_nodes_that_do_not_share_the_results_are_named() -> None:
    apart = replace(ANSWER, host="h2", shares=False)
    check_answers(OPTIONS, [ANSWER])
    with pytest.raises(
        ValueError, match=r"same results folder: .*/data/results is another one on h2$"
    ):
        check_answers(OPTIONS, [ANSWER, apart])


def test_nodes_must_compute_alike() -> None:
    other = replace(ANSWER, host="h2", torch="2.13.0")
    with pytest.raises(
        ValueError, match=r"one version of torch, but found 2\.14\.1 on h1; 2\.13\.0 on h2"
    ):
        check_answers(OPTIONS, [ANSWER, other])


def test_gpus_that_torch_does_not_see_are_refused_unless_the_user_says_so() -> None:
    blind = replace(ANSWER, offers_gpus=True)
    with pytest.raises(ValueError, match=r"Ray offers GPUs on h1, but torch sees none there"):
        check_answers(OPTIONS, [blind])
    check_answers(replace(OPTIONS, device="cpu"), [blind])
    check_answers(OPTIONS, [replace(blind, gpus=((1, True),))])


def test_clocks_that_differ_are_told_and_harm_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    late = [ANSWER, replace(ANSWER, host="h2", skew=3600.0)]
    monkeypatch.setattr(module, "survey", lambda *_: late)
    console = Console(file=(out := io.StringIO()), width=200)
    offer = Offer(nodes=[NODE, NODE])
    assert look_around(console, OPTIONS, Request(), offer, "id") == late
    assert "clocks of the cluster differ by 3600 s" in out.getvalue()
    # A machine alone is not asked, unless it is to say what GPUs it has.
    alone = Offer(nodes=[NODE])
    assert look_around(console, OPTIONS, Request(), alone, "id") == []
    assert look_around(console, OPTIONS, Request(gpus=1), alone, "id") == late


def test_room_grows_and_shrinks_with_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, now = [NODE, NODE], 0.0
    monkeypatch.setattr(module, "alive", lambda: nodes)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ground = Ground(places={}, request=Request(gpus=1), slots=4)
    room = Room(OPTIONS, ground)
    few = Room(replace(OPTIONS, max_concurrent=3), ground)
    assert (room(), few()) == (4 + 4, 3)
    nodes = [NODE]
    assert room() == 8  # it asks now and then only
    now += 2 * REFRESH_SECONDS
    assert (room(), few()) == (2 + 2, 2)
    nodes = [NODE] * 5
    now += 2 * REFRESH_SECONDS
    assert (room(), few()) == (10 + WAITING, 3)
    # For those that wait nodes come, also if there are none yet.
    growing = Room(OPTIONS, replace(ground, slots=1, offer=Offer(nodes=[], grows=True)))
    assert growing() == 1 + WAITING
    assert Room(replace(OPTIONS, max_concurrent=30), replace(ground, offer=growing.offer))() == 30
    together = Request(gpus=2)
    pairs = Room(OPTIONS, replace(ground, slots=1, request=together, offer=growing.offer))
    assert pairs() == 1 + WAITING
    # Processes of one trial are placed by that trial: none is begun for which there is no place.
    pairs = Room(OPTIONS, replace(ground, request=Request(gpus=2)))
    now += 2 * REFRESH_SECONDS
    assert pairs() == 5


def test_a_job_whose_results_would_be_deleted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(ValueError, match=r"absolute path in a submitted job.*but got results"):
        with prepared(Console(quiet=True), SweepOptions(), [], {}):
            pass
