"""A checkpoint folder kept in a bucket, so that a trial goes on from it on another machine.

    checkpoints/<trial_id>/<sha256>         the files, named by their content
    checkpoints/<trial_id>/manifest.json    which file has which content; written last of all

A set is the manifest's: who reads while another writes, or after it died at any point, finds the
previous set or the new one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

from mi2p.bucket import Bucket

TRIES = 3
"""How often a set is read anew when its files went away meanwhile."""


def push(bucket: Bucket, trial_id: str, folder: Path) -> None:
    """Upload what changed, then the manifest; delete what it no longer names."""
    prefix = _prefix(trial_id)
    there = bucket.list(prefix)
    manifest = {path.name: _digest(path) for path in _files(folder)}
    for name, digest in manifest.items():
        path, key = folder / name, f"{prefix}/{digest}"
        if there.get(key) != path.stat().st_size:
            bucket.put(key, path)
    bucket.put(_manifest(trial_id), json.dumps(manifest).encode())
    named = {f"{prefix}/{digest}" for digest in manifest.values()}
    for key in there.keys() - named - {_manifest(trial_id)}:
        bucket.delete(key)


def pull(bucket: Bucket, trial_id: str, folder: Path) -> None:
    """Make `folder` what the bucket has, and empty if it has nothing: what an earlier try left on
    this machine may be what the user has told to forget.

    Files that are there already are not fetched. One that is damaged, or gone, is warned of and
    left out, as a trial's own files are: it then starts from an earlier state.
    """
    for _ in range(TRIES):
        manifest = _read_manifest(bucket, trial_id)
        gone = _pull(bucket, trial_id, folder, manifest)
        # A worker that was thought dead may have replaced the set while it was read.
        if not gone or _read_manifest(bucket, trial_id) == manifest:
            break
    for name in gone:
        told = f"{name} of {_manifest(trial_id)} in {bucket.shown} is gone or damaged"
        warnings.warn(f"{told} and is left out", stacklevel=2)


def forget(bucket: Bucket, trial_id: str) -> None:
    """Delete a trial's checkpoint; none is no error."""
    bucket.delete(_manifest(trial_id))  # first, so that no set lacks files
    for key in bucket.list(_prefix(trial_id)):
        bucket.delete(key)


def _pull(bucket: Bucket, trial_id: str, folder: Path, manifest: Mapping[str, str]) -> list[str]:
    """Fetch what differs; names of files that cannot be had."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name not in manifest:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    gone = []
    for name, digest in manifest.items():
        path = folder / name
        if path.exists() and _digest(path) == digest:
            continue
        path.unlink(missing_ok=True)
        try:
            bucket.fetch(f"{_prefix(trial_id)}/{digest}", path)
        except FileNotFoundError:
            gone.append(name)
            continue
        if _digest(path) != digest:
            path.unlink()
            gone.append(name)
    return gone


def _files(folder: Path) -> list[Path]:
    """Files of a checkpoint; `last.pt` after the weights that it needs, no half-written ones."""
    found = [path for path in folder.glob("*") if path.is_file() and path.name[0] != "."]
    return sorted(found, key=lambda path: (path.name == "last.pt", path.name))


def _read_manifest(bucket: Bucket, trial_id: str) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(bucket.get(_manifest(trial_id)))
        if not all(Path(name).name == name for name in found):
            raise ValueError("its names lead out of the folder")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        told = f"{_manifest(trial_id)} in {bucket.shown} is no manifest and is left out: {error}"
        warnings.warn(told, stacklevel=2)
        return {}
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prefix(trial_id: str) -> str:
    return f"checkpoints/{trial_id}"


def _manifest(trial_id: str) -> str:
    return f"{_prefix(trial_id)}/manifest.json"
