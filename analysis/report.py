"""Everything that a results folder has to show, as one page and as a document.

`python analysis/report.py [results]` writes `results/tables/` anew from the trials that are stored
now, as sweeps do, and

    results/report/index.html      one page: tables, figures, plans, budget, environment, failures
    results/report/latex/main.tex  the same tables and figures; `pdflatex main.tex`, twice

A folder in which little is finished gives a report that says so. The same folder gives the same
bytes, wherever it lies. `--check` writes nothing, and names the cells of the tables that are there
whose code, data, spec or trials have changed since; data is read if it is on this machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from analysis.reporting import latex as report_latex
from analysis.reporting import page as report_page
from analysis.reporting.contents import Report, read_report
from analysis.reporting.folder import confirm
from analysis.tracing.seen import present_in
from analysis.tracing.staleness import check
from mi2p.files import write_whole


def write(results: Path, report: Report) -> list[Path]:
    """Write the page and the LaTeX folder, and return the paths of the page and of `main.tex`."""
    folder = results / "report"
    html = write_whole(folder / "index.html", report_page.page(report))
    return [html, report_latex.write(folder / "latex", report)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report and say where it is, or only check the tables."""
    parser = argparse.ArgumentParser(description="Report on a results folder.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; name the cells of written tables that are out of date, if any",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="with --check: where the data is, if not in $MI2P_DATA or the usual places",
    )
    options = parser.parse_args(arguments)
    results = options.results.resolve()
    try:
        confirm(results)
        if options.check:
            _check(results, options.data)
            return
        report = read_report(results)
        paths = write(results, report)
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    for path in paths:
        print(path)
    missing = [f"{one.file}: {one.why}" for one in report.folder.damaged]
    missing += [f"{one.plan}, {one.what}: {one.why}" for one in report.problems]
    if missing:
        told = "\n".join(missing)
        raise SystemExit(f"{told}\nerror: the report lacks what is named above")


def _check(results: Path, data: Path | None) -> None:
    found = check(results, present_in(data))
    for stale in found:
        print(stale)
    if found:
        raise SystemExit(f"error: {len(found)} entries above are out of date")
    print("no cell is out of date")


if __name__ == "__main__":
    main()
