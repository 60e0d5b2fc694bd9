"""Stores made by a cluster: the same bytes, in order; and probes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mi2p.data.cache import Chunk, Recipe
from mi2p.runtime import Runtime
from mi2p.spread import is_spread, make_store

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("kind", "count", "device", "expected"),
    [
        ("images", 999, "cpu", False),
        ("images", 1000, "cpu", True),
        ("maps", 1000, "cpu", True),
        ("tokens", 99_999, "cpu", False),  # seconds at most
        ("images", 10, "cuda", False),
        ("maps", 10, "cuda", True),  # the driver may have no GPU, and must not use a trial's
        ("words", 10, "cuda", True),
    ],
)
def test_what_is_left_to_workers(
    kind: str, count: int, device: Any, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mi2p.spread.num_cpus", lambda: 3)
    recipe = Recipe(kind=kind, key={}, count=count, step=64, start=lambda: never)
    assert is_spread(recipe, Runtime(cache=Path(), device=device)) == expected


def test_a_cluster_must_agree_on_the_device() -> None:
    recipe = Recipe(kind="maps", key={}, count=10, step=64, start=lambda: never)
    with pytest.raises(ValueError, match=r"must be cpu or cuda .* not auto"):
        make_store(recipe, Runtime(cache=Path()))


def test_two_cpus_are_no_more_than_the_driver_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mi2p.spread.num_cpus", lambda: 2)
    recipe = Recipe(kind="images", key={}, count=10_000, step=64, start=lambda: never)
    assert not is_spread(recipe, Runtime(cache=Path(), device="cpu"))


def never(rows: slice) -> Chunk:
    raise AssertionError("made")


PROBING = """
import sys, time
from dataclasses import replace
from pathlib import Path

import ray

from mi2p.ground import Ground
from mi2p.pricing import shapes
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec
from mi2p.spread import probe_all
from mi2p.trainable import Places

folder = Path(sys.argv[1])
ray.init(num_cpus=2, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": sys.argv[2]}})
places = Places(
    results=str(folder / "results"),
    cache=str(folder / "cache"),
    data=str(folder / "planted"),
    weights=None,
)
data = DataSpec(name="openclipart", image_size=64, max_tokens=12, limit=48)
train = TrainSpec(lr=1e-3, batch_size=16, epochs=1)
cnn = TrialSpec(data=data, model=ModelSpec(name="cnn", visual="tiny_densenet"), train=train)
bert = replace(cnn, model=ModelSpec(name="bert", textual="tiny_bert"))
wanted = shapes([cnn, bert, replace(cnn, seed=1)])
done, start = [], time.time()
probes, startup = probe_all(wanted, Ground(places={"openclipart": places}, slots=1), done.append)
took = time.time() - start
assert list(probes) == list(wanted) and done == [1, 2], (probes, done)
assert all(found.step_seconds > 0 and found.train == 48 for found in probes.values())
assert 0 < startup < took, (startup, took)
assert not (folder / "results").exists()

ruined = replace(cnn, train=replace(train, lr=1e38))
try:
    probe_all(shapes([ruined]), Ground(places={"openclipart": places}, slots=2))
except RuntimeError as error:
    print(error)
"""


@pytest.mark.slow
def test_trials_are_probed_by_workers_of_a_cluster(drawings: Path, tmp_path: Path) -> None:
    (tmp_path / "planted").symlink_to(drawings)
    done = subprocess.run(
        [sys.executable, "-c", PROBING, str(tmp_path), str(ROOT)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=600,  # half a minute on an idle machine
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a probe of cnn on openclipart failed: " in done.stdout, done.stdout
    assert "FloatingPointError: loss is" in done.stdout, done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "planted"]
