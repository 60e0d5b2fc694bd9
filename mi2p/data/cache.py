"""Arrays that are heavy to make and the same for many trials: made once, memory-mapped by all.

An array is kept as one Arrow tensor file named by the hash of what made it. The file is written
to a temporary name under a file lock and renamed, so a killed build leaves nothing that is read
later; readers share its pages and copy nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray


def stored(
    folder: Path, kind: str, key: Mapping[str, object], make: Callable[[], NDArray[np.generic]]
) -> NDArray[np.generic]:
    """The array that `make` gives for `key`, read-only, from `folder` if it is there already."""
    path = stored_path(folder, kind, key)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():  # another process may have made it while this one waited
                _write(path, make())
    try:
        with pa.memory_map(str(path)) as source:
            array: NDArray[np.generic] = pa.ipc.read_tensor(source).to_numpy()
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a readable store ({error}); delete it") from error
    return array


def stored_path(folder: Path, kind: str, key: Mapping[str, object]) -> Path:
    """Where the array for `key` is or will be."""
    text = json.dumps(key, sort_keys=True)
    return folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.arrow"


def _write(path: Path, array: NDArray[np.generic]) -> None:
    # Only the holder of the lock writes, so a partial file that is there is a killed process's.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file, pa.PythonFile(file, "w") as sink:
            pa.ipc.write_tensor(pa.Tensor.from_numpy(np.ascontiguousarray(array)), sink)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
