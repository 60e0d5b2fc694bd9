"""Keep another sweep, or the tables as they come out now."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from analysis.tables import write_all
from tests.golden import keep_tables, pack, unpack

match sys.argv[1:]:
    case ["pack", folder]:
        pack(Path(folder))
    case ["tables"]:
        with tempfile.TemporaryDirectory() as folder:
            results = unpack(Path(folder) / "results")
            write_all(results)
            keep_tables(results)
    case _:
        sys.exit("python -m tests.golden pack RESULTS, or python -m tests.golden tables")
