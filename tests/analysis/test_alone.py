"""The analysis runs from `pip install .[analysis]`, where neither torch nor Ray may be.

Fresh interpreters refuse every module of a distribution that the extra does not bring.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mi2p.store import Store
from tests.analysis.test_importances import NAME
from tests.analysis.test_importances import store as keep_study

ROOT = Path(__file__).parents[2]
REFUSING = """\
import json, os, sys

class Refusing:
    modules = frozenset(json.loads(os.environ["REFUSED_MODULES"]))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"No module named {name!r}; the extra lacks it", name=name)

sys.meta_path.insert(0, Refusing())
"""


def extra() -> list[Requirement]:
    """What pyproject lists for the analysis."""
    plain = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [Requirement(one) for one in plain["project"]["optional-dependencies"]["analysis"]]


@cache
def brought() -> frozenset[str]:
    """Distributions that pip installs for the extra."""
    found: set[str] = set()
    left = extra()
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name in found:
            continue
        found.add(name)
        try:
            of = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another system than this one
            continue
        left += [
            other
            for other in of
            if other.marker is None
            or any(other.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
        ]
    return frozenset(found)


@cache
def refused() -> frozenset[str]:
    """Top-level modules of the distributions that are here, but not brought."""
    return frozenset(
        module
        for module, owners in packages_distributions().items()
        if not brought() & {canonicalize_name(owner) for owner in owners}
        and module not in ("mi2p", "analysis", "sweeps", "tests")
    )


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., str]:
    """Runs Python in the root as if only the extra were installed, and returns its output."""
    folder = tmp_path / "refusing"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(REFUSING)

    def run(*arguments: str | Path) -> str:
        ran = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
                "REFUSED_MODULES": json.dumps(sorted(refused())),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return ran.stdout

    return run


def test_the_extra_brings_no_training_stack() -> None:
    assert {"numpy", "pandas", "optuna"} <= brought()
    assert not {"torch", "torchvision", "ray", "transformers", "timm", "mi2p"} & brought()
    assert {"torch", "torchvision", "ray", "transformers", "timm"} <= refused()


def test_what_is_not_brought_is_refused(alone: Callable[..., str]) -> None:
    code = "import numpy\ntry:\n import ray\nexcept ImportError as error: print(error)"
    assert alone("-c", code) == "No module named 'ray'; the extra lacks it\n"


def test_every_module_of_the_analysis_can_be_imported(alone: Callable[..., str]) -> None:
    names = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sorted((ROOT / "analysis").rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    loaded = set(alone("-c", code).split())
    assert "analysis.report" in loaded
    assert not {"torch", "ray"} & loaded


@pytest.mark.slow
def test_every_command_runs(lab: Any, alone: Callable[..., str]) -> None:
    # What is imported late shows only when it is used.
    five, three = lab.plan(), replace(lab.plan(name="table3-lab"), table=3)
    keys = ("cnn", "me_cnn", "bert", "me_bert")
    rows = zip(keys, three.rows, strict=True)
    three = replace(three, rows=tuple(replace(row, key=key) for key, row in rows))
    for plan in (five, three):
        plan.write(lab.results)
    for row in five.rows:
        lab.answer(row, [[n % 5 > seed for n in range(40)] for seed in range(3)])
        for spec in row.specs:
            history = [{"epoch": n, "train/loss": 1 / n, "val/accuracy": 0.5} for n in (1, 2)]
            Store(lab.results).write_epochs(spec.trial_id, history)
    keep_study(lab.results, NAME, 20)
    for command, said in (
        (["table2.py", lab.results], "table2.tex"),
        (["table3.py", lab.results], "table3-lab.tex"),
        (["table5.py", lab.results], "table5-lab.tex"),
        (["claims.py", lab.results], "claims-table3-lab.tex"),
        (["tables.py", lab.results], "table5-lab.html"),
        (["importances.py", lab.results], "ped_anova"),
        (["importances.py", lab.results, "--evaluator", "fanova"], "fanova"),
        (["query.py", lab.results, "select count(*) as number from predictions"], "number"),
        (["report.py", lab.results], "index.html"),
        (["report.py", lab.results, "--check"], "no cell is out of date"),
    ):
        name, *arguments = command
        assert said in alone(f"analysis/{name}", *arguments), command
    assert "table5-lab-dots.pdf" in alone("-m", "analysis.figures", lab.results)
