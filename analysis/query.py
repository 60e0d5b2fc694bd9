"""SQL on a results folder: `python analysis/query.py results "select ..."`.

Without SQL it says what there is, and shows queries to begin with.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import duckdb
import pyarrow as pa

from analysis.querying.database import SOURCES, connect, named_in

WIDTH = 60
"""The longest text of a cell in print; --format csv has all of it."""
MOST = 1000
"""Rows in print."""

Rows = Iterator[tuple[Any, ...]]

EXAMPLES: Mapping[str, str] = {
    "The rows of a plan, the best first": (
        "select row, count(*) as n, avg(test_accuracy) as accuracy, "
        "stddev_samp(test_accuracy) as std from cells join trials using (trial_id) "
        "where plan = '{plan}' and status = 'done' group by row order by accuracy desc"
    ),
    "Test examples that most trials get wrong": (
        "select example_id, labels[1] as label, count(*) as wrong from predictions "
        "where split = 'test' and list_position(probabilities, list_max(probabilities)) - 1 "
        "<> labels[1] group by all order by wrong desc, example_id limit 10"
    ),
    "What was wanted and is not done": (
        "select plan, row, cells.seed, coalesce(status, 'not run') as status, error from cells "
        "left join trials using (trial_id) where status is distinct from 'done' order by all"
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the query and print what it gives."""
    parser = argparse.ArgumentParser(description="Run SQL on a results folder.")
    parser.add_argument("results", type=Path, help="a folder that a sweep has written")
    parser.add_argument("sql", nargs="?", help="in quotes; without it: what there is")
    parser.add_argument("--format", choices=tuple(FORMATS), default="table")
    parser.add_argument("--schema", action="store_true", help="list tables and their columns")
    options = parser.parse_args(arguments)
    try:
        if options.schema:
            print_schema(sys.stdout)
        elif options.sql is None:
            print_overview(options.results, sys.stdout)
        else:
            run(options.results, options.sql, options.format, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough. Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (duckdb.Error, pa.ArrowException, OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


def run(results: Path, sql: str, kind: str, out: TextIO) -> None:
    """Print what `sql` gives. Raises what `connect` raises, and `duckdb.Error`."""
    _check_folder(results)
    with connect(results, named_in(sql)) as connection:
        connection.execute(sql)
        heads = [column[0] for column in connection.description or ()]
        FORMATS[kind](heads, _rows(connection), out)


def print_overview(results: Path, out: TextIO) -> None:
    """Print what a results folder has, and what can be asked."""
    _check_folder(results)
    with connect(results, ["trials"]) as connection:
        counted = connection.execute(
            "select status, count(*) from trials group by status order by status"
        ).fetchall()
    print(f"trials       {sum(n for _, n in counted)}: ", end="", file=out)
    print(", ".join(f"{n} {status}" for status, n in counted), file=out)
    for kind in ("epochs", "predictions"):
        files = len(list((results / kind).glob("*.parquet")))
        print(f"{kind:12} of {files} trials", file=out)
    plans = sorted(path.stem for path in (results / "plans").glob("*.json"))
    print(f"{'cells':12} of {', '.join(plans) or 'no plan yet'}", file=out)
    print("\n--schema lists their columns. Queries to begin with:", file=out)
    for what, sql in EXAMPLES.items():
        asked = sql.format(plan=plans[0] if plans else "...")
        print(f'\n# {what}\npython analysis/query.py {results} "{asked}"', file=out)


def print_schema(out: TextIO) -> None:
    """Print tables, columns, their types and what they mean."""
    for name, source in SOURCES.items():
        print(f"{name}: a row per {source.what}", file=out)
        widths = [max(len(column[i]) for column in source.columns) for i in (0, 1)]
        for column, kind, meaning in source.columns:
            print(f"  {column:{widths[0]}}  {kind:{widths[1]}}  {meaning}", file=out)


def _check_folder(results: Path) -> None:
    if not results.is_dir():
        raise FileNotFoundError(
            f"the first argument is a results folder, which a sweep has written, but {results} "
            "is no folder"
        )


def _rows(connection: duckdb.DuckDBPyConnection) -> Rows:
    while some := connection.fetchmany(MOST):
        yield from some


def _print_table(heads: Sequence[str], rows: Rows, out: TextIO) -> None:
    if not heads:
        return
    found = list(islice(rows, MOST))
    texts = [[_shown(value) for value in row] for row in found]
    widths = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
    right = [
        any(isinstance(row[i], int | float | Decimal) for row in found) for i in range(len(heads))
    ]

    def line(cells: Iterable[str]) -> str:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    print(line(heads), file=out)
    print("  ".join("-" * width for width in widths), file=out)
    for text in texts:
        print(line(text), file=out)
    if next(rows, None) is not None:
        print(f"(the first {MOST} rows; --format csv prints all)", file=out)
    else:
        print(f"({len(found)} row{'s' * (len(found) != 1)})", file=out)


def _print_csv(heads: Sequence[str], rows: Rows, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([json.dumps(_plain(v)) if isinstance(v, list | dict) else v for v in row])


def _print_json(heads: Sequence[str], rows: Rows, out: TextIO) -> None:
    """An array with an object per line."""
    if len(set(heads)) < len(heads):
        raise ValueError(f"columns must have different names in JSON, but got {', '.join(heads)}")
    out.write("[")
    for number, row in enumerate(rows):
        record = {head: _plain(value) for head, value in zip(heads, row, strict=True)}
        out.write(f"{',' * bool(number)}\n{json.dumps(record, ensure_ascii=False)}")
    out.write("\n]\n")


FORMATS: Mapping[str, Callable[[Sequence[str], Rows, TextIO], None]] = {
    "table": _print_table,
    "csv": _print_csv,
    "json": _print_json,
}


def _shown(value: Any) -> str:
    """A value in a cell; nothing for a null."""
    if value is None:
        return ""
    if isinstance(value, float | Decimal):
        return f"{value:.6g}"
    if isinstance(value, list):
        text = f"[{', '.join(map(_shown, value))}]"
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _plain(value: Any) -> Any:
    """As JSON has it, which knows no NaN and no dates."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)


if __name__ == "__main__":
    main()
