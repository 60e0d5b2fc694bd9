"""A fixed list of jobs is handed out once, in its order."""

from __future__ import annotations

from dataclasses import replace

from mi2p.source import Job, Planned
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec

SPEC = TrialSpec(
    data=DataSpec(),
    model=ModelSpec(name="cnn", visual="tiny_densenet"),
    train=TrainSpec(lr=1e-3, epochs=1),
)
JOBS = [Job(spec=replace(SPEC, seed=n), label=f"seed {n}", name=f"cnn-seed{n}") for n in (2, 0, 1)]


def test_jobs_come_once_in_their_order_and_then_no_more() -> None:
    source = Planned(iter(JOBS))
    assert source.total == 3 and not source.over
    assert [source.next() for _ in range(3)] == JOBS
    assert source.over and source.next() is None
    assert source.total == 3


def test_a_source_without_jobs_is_over() -> None:
    assert Planned([]).over


def test_nothing_is_stopped_for_what_it_reports() -> None:
    source = Planned(JOBS)
    assert not source.reported(JOBS[0].spec.trial_id, {"epoch": 1.0, "val/accuracy": 0.0})
