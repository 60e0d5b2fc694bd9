"""Which code a trial's numbers come from: a hash of the sources that they depend on.

A version is the same until somebody gives the code another one; this changes with every change
that could change a number. Comments, docstrings and layout do not enter, so that a better sentence
makes no table stale.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

SOURCES = (
    *("averages.py", "backbones.py", "checkpoint.py", "data", "features.py", "inputs.py"),
    *("metrics.py", "model_spec.py", "models", "parameters.py", "runtime.py", "steps.py"),
    *("team.py", "train.py"),
)
"""Below `mi2p`: files, and folders with all modules in them. What a spec asks for is in its
trial's id; plans, clusters and the store compute nothing."""
LEFT_OUT = ("__main__.py", "places.py", "summary.py")
"""Modules of these folders that say and find things, and compute nothing."""
LENGTH = 12


@cache
def fingerprint(root: Path = Path(__file__).parent) -> str:
    """Of the sources below `root`, in hex; the same for one code under any Python."""
    digest = hashlib.sha256()
    for path in sorted(files(root)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        digest.update(f"{path.relative_to(root).as_posix()}\n{_plain(tree)}\n".encode())
    return digest.hexdigest()[:LENGTH]


def files(root: Path) -> list[Path]:
    """All sources that are hashed."""
    found: list[Path] = []
    for name in SOURCES:
        found += (root / name).rglob("*.py") if (root / name).is_dir() else [root / name]
    return [path for path in found if path.name not in LEFT_OUT]


def _plain(node: ast.AST) -> str:
    """What a syntax tree says. `ast.dump` says it in other words in other versions of Python."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    parts = []
    for name, value in ast.iter_fields(node):
        items = value if isinstance(value, list) else [value]
        if name == "body":
            items = [item for item in items if not _is_text(item)]
        # What is empty may be a field that only some versions have.
        told = [_plain(item) if isinstance(item, ast.AST) else repr(item) for item in items]
        if told and value is not None:
            parts.append(f"{name}={','.join(told)}")
    return f"{type(node).__name__}({' '.join(parts)})"


def _is_text(statement: object) -> bool:
    """Whether a statement is a docstring, of a module, class, function or field."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
