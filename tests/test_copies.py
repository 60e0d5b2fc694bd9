"""Copies of stores on all nodes of a cluster: whole ones, where they are lacking."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mi2p.copies import _identity, _Receiver
from tests.test_layering import loaded_by

ROOT = Path(__file__).parents[1]


def test_a_node_answers_without_torch() -> None:
    assert "torch" not in loaded_by("mi2p.copies")


def test_a_shared_file_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_bytes(b"is not read, for the driver has verified it")
    receiver = _Receiver(str(tmp_path))
    known = {"a.arrow": _identity(tmp_path / "a.arrow")}
    assert receiver.wants(known) == []
    assert receiver.wants({"a.arrow": (0, 0, 0), "b.arrow": (0, 0, 0)}) == ["a.arrow", "b.arrow"]


def test_a_copy_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    receiver = _Receiver(str(tmp_path / "cache"))
    receiver.begin("a.arrow")
    receiver.write(b"12")
    assert not (tmp_path / "cache/a.arrow").exists()
    receiver.write(b"34")
    receiver.finish()
    assert (tmp_path / "cache/a.arrow").read_bytes() == b"1234"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["a.arrow"]
    receiver.begin("b.arrow")  # a write of it fails, and the next one is begun
    receiver.write(b"56")
    receiver.begin("c.arrow")
    receiver.finish()
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {"a.arrow", "c.arrow"}


SPREADING = """
import os, sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from mi2p import copies, spread
from mi2p.data.cache import stored
from mi2p.data.images import image_recipe, read_dataset
from mi2p.features import map_recipe, word_recipe
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec

folder = Path(sys.argv[1])
# Two nodes of one machine; a variable in the name of the cache gives each a disk of its own.
cluster = Cluster()
cluster.add_node(num_cpus=1, env_vars={"SCRATCH": str(folder / "a")})
other = cluster.add_node(num_cpus=2, env_vars={"SCRATCH": str(folder / "b")})
cluster.add_node(num_cpus=0, env_vars={"SCRATCH": str(folder / "a")})  # shares a's folder
ray.init(
    address=cluster.address,
    log_to_driver=False,
    runtime_env={"env_vars": {"PYTHONPATH": sys.argv[2]}},
)

os.environ["SCRATCH"] = str(folder / "a")
spread.SPREAD_FROM = 1
runtime = Runtime(cache=Path("$SCRATCH/cache"), device="cpu", data=folder / "planted")
data = DataSpec(name="openclipart", image_size=64, max_tokens=12)
dataset = read_dataset(data, runtime.data)
made = {}
recipes = (
    image_recipe(data, dataset),
    word_recipe(data, "tiny_bert", runtime),
    map_recipe(data, "tiny_densenet", runtime),
)
for recipe in recipes:
    done = []
    store = spread.make_store(recipe, runtime, done.append)
    assert done[-1] == recipe.count, done
    made[store.path.name] = store
    print(recipe.kind, store.path.name, len(done), flush=True)
names = list(made)
copies.PIECE_BYTES = 10_000
copies.copy_to_nodes(names, runtime.cache)
damaged = folder / "b" / "cache" / names[0]
before = {path: path.stat().st_mtime_ns for path in damaged.parent.iterdir()}
damaged.write_bytes(damaged.read_bytes()[:-100])
copies.copy_to_nodes(names, runtime.cache)
after = {path: path.stat().st_mtime_ns for path in damaged.parent.iterdir()}
assert {path for path in before if before[path] != after[path]} == {damaged}
cluster.remove_node(other, allow_graceful=False)
copies.copy_to_nodes(names, runtime.cache)
ray.shutdown()
cluster.shutdown()

os.environ["SCRATCH"] = str(folder / "here")
for recipe in recipes:
    stored(runtime.stores, recipe)
"""


@pytest.mark.slow
def test_a_cluster_makes_the_same_stores_and_each_node_keeps_a_copy(
    drawings: Path, tmp_path: Path
) -> None:
    (tmp_path / "planted").symlink_to(drawings)
    done = subprocess.run(
        [sys.executable, "-c", SPREADING, str(tmp_path), str(ROOT)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=600,  # a minute on an idle machine
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = [line.split() for line in done.stdout.splitlines() if line.count(" ") == 2]
    assert [kind for kind, *_ in made] == ["images", "words", "maps"]
    for _, name, chunks in made:
        assert int(chunks) > 10  # it was spread
        here = (tmp_path / "here" / "cache" / name).read_bytes()
        for node in "ab":
            assert (tmp_path / node / "cache" / name).read_bytes() == here, (node, name)
    left = [p.name for p in tmp_path.glob("*/cache/.*")]
    assert not left  # no half copies
