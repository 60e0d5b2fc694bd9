"""The shape of the code: what imports what, how large it is, and that it is tested."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 300
WITHOUT_TEST: dict[str, str] = {
    "mi2p/__init__.py": "a docstring and the version",
    "mi2p/data/__init__.py": "names meet readers; tests/data/test_openclipart*.py go through it",
    "mi2p/models/__init__.py": "the registry; tests/models/test_classifier.py runs every entry",
    "mi2p/models/baselines/__init__.py": "a docstring",
    "mi2p/search/__init__.py": "a docstring",
    "mi2p/checks/__init__.py": "a docstring",
    "mi2p/backbones.py": "declarations; tests/models/test_visual.py and test_textual.py hold "
    "every one of them to what is built",
}
"""Modules without a test of their name, and why."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    return named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(path: Path) -> Iterator[str]:
    """Top-level packages that a module imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def loaded_by(*names: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after these imports."""
    code = f"import sys, {', '.join(names)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_this_file_sees_the_code() -> None:
    assert {"mi2p/spec.py", "mi2p/models/injection.py"} <= {named(p) for p in modules("mi2p")}
    assert "torch" in imported(ROOT / "mi2p/models/injection.py")
    assert "json" in loaded_by("json")


SCRIPTS = [dotted(path) for path in modules("sweeps")]
DECLARATIONS = [
    *SCRIPTS,
    "mi2p.commands",
    "mi2p.filters",
    "mi2p.options",
    "mi2p.overrides",
    "mi2p.paths",
    "mi2p.plan",
    "mi2p.pricing",
    "mi2p.remote",
    "mi2p.search.spaces",
    "mi2p.spec",
    "mi2p.data",
    "mi2p.data.__main__",
]


@pytest.mark.parametrize("name", DECLARATIONS)
def test_declarations_load_neither_torch_nor_ray(name: str) -> None:
    # `--help` must come at once, and a plan must be checked on a machine without a GPU stack.
    assert not {"torch", "ray", "optuna", "transformers", "timm"} & loaded_by(name)


def test_the_driver_prepares_data_without_torch() -> None:
    names = ("mi2p.preparation", "mi2p.store", "mi2p.progress", "mi2p.averages")
    assert "torch" not in loaded_by(*names)


def test_analysis_loads_neither_torch_nor_ray() -> None:
    # Tables are made on a laptop, in a second, from files alone.
    names = [dotted(path) for path in modules("analysis")]
    assert len(names) > 1
    assert not {"torch", "ray", "optuna", "transformers", "timm"} & loaded_by(*names)


def test_few_modules_know_ray() -> None:
    # The data commands only ask a cluster that the user names whether it has GPUs.
    assert knowing("ray") == {
        "mi2p/cluster.py",
        "mi2p/copies.py",
        "mi2p/data/__main__.py",
        "mi2p/distributed.py",
        "mi2p/feed.py",
        "mi2p/nodes.py",
        "mi2p/orphans.py",
        "mi2p/running.py",
        "mi2p/spread.py",
        "mi2p/trainable.py",
    }


def test_few_modules_know_optuna() -> None:
    found = knowing("optuna")
    assert {path.rpartition("/")[0] for path in found} == {"mi2p/search"}
    # A space is data, and what a sweep asks for trials knows only its interface.
    for module in ("domains", "spaces", "rounds", "tuning"):
        assert f"mi2p/search/{module}.py" not in found


def knowing(package: str) -> set[str]:
    """Modules that import it, at any depth."""
    return {named(p) for p in modules("mi2p") if package in imported(p)}


def test_modules_are_small() -> None:
    lines = {
        named(path): len(path.read_text().splitlines())
        for package in ("mi2p", "analysis")
        for path in modules(package)
    }
    longer = {name: n for name, n in lines.items() if n > MAX_LINES}
    assert not longer


def test_every_module_has_a_test_of_its_name() -> None:
    missing = set()
    for path in modules("mi2p"):
        inside = path.relative_to(ROOT / "mi2p")
        if not (ROOT / "tests" / inside.parent / f"test_{inside.name}").exists():
            missing.add(named(path))
    assert missing == WITHOUT_TEST.keys()


def test_hooks_are_registered_in_one_place() -> None:
    # A hook writes into the stream where no reader sees it; those of `recording` only read.
    registering = {
        named(path)
        for package in ("mi2p", "analysis", "sweeps")
        for path in modules(package)
        if "register_forward" in path.read_text() or "_hook(" in path.read_text()
    }
    assert registering == {"mi2p/models/textual.py", "mi2p/recording.py"}
