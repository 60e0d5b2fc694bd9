"""The report as a folder for LaTeX: `main.tex`, the tables it reads, and figures as PDF.

Any table or figure of it can go into a paper as it is; `main.tex` shows them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from analysis.figures.canvas import Drawn
from analysis.reporting import facts
from analysis.reporting.contents import Contents, Problem, Report, Shared
from analysis.reporting.text import about, checked, progress, progress_of
from analysis.typesetting.latex_table import PREAMBLE, escape_latex, to_latex
from analysis.typesetting.tabular import Row, Table
from mi2p.files import write_whole
from mi2p.table_rows import path_safe

LONGEST_NAME = 48
"""Letters of the name of a row in a table about the folder."""
HEAD = rf"""% pdflatex main.tex, twice
\documentclass{{article}}
\usepackage[a4paper,textwidth=6.9in,textheight=9.6in]{{geometry}}
\usepackage{{float}}
\usepackage{{graphicx}}
{PREAMBLE}% Where they are read, not at the top of some page.
\renewenvironment{{table*}}[1][]{{\begin{{table}}[H]}}{{\end{{table}}}}
\makeatletter
% A figure has the width that it was drawn for, unless the page is narrower.
\newcommand{{\nomore}}[2]{{\ifdim#1>#2#2\else#1\fi}}
\newcommand{{\drawn}}[1]{{\includegraphics[width=\nomore\Gin@nat@width\linewidth,%
height=\nomore\Gin@nat@height{{0.8\textheight}},keepaspectratio]{{#1}}}}
\makeatother
\setlength{{\parindent}}{{0pt}}
\setlength{{\parskip}}{{6pt}}
\emergencystretch 3em
"""
"""Text is as wide as both columns of a paper, for which tables and figures are made."""


def write(folder: Path, report: Report) -> Path:
    """Write everything below `folder` and return the path of `main.tex`.

    Tables and figures that an earlier report left, and this one has not, are deleted.
    """
    files: dict[str, str | bytes] = {"main.tex": main_text(report)}
    tables = (*report.shared.tables, *(table for of in report.plans for table in of.tables))
    files |= {_table_file(table.name): table.latex for table in tables}
    for of in report.plans:
        files |= {_figure_file(drawn): drawn.pdf for drawn in of.figures}
    for name, content in files.items():
        write_whole(folder / name, content)
    for kind in ("tables/*.tex", "figures/*.pdf"):
        for path in folder.glob(kind):
            if path.relative_to(folder).as_posix() not in files:
                path.unlink()
    return folder / "main.tex"


def main_text(report: Report) -> str:
    """The document, without a date."""
    lines = [HEAD + rf"\title{{{escape_latex(about(report))}}}", r"\author{}", r"\date{}"]
    lines += [r"\begin{document}", r"\maketitle", *_summary(report)]
    for of in report.plans:
        lines += [r"\clearpage", *_plan(report, of)]
    if report.shared != Shared():
        lines += [r"\clearpage", *_data(report)]
    lines += [r"\clearpage", *_environment(report), r"\end{document}", ""]
    return "\n".join(lines)


def _summary(report: Report) -> Iterator[str]:
    yield _paragraph(progress(report.folder))
    if report.folder.plans:
        yield to_latex(_narrow(facts.summary(report.folder)))
    for one in report.folder.damaged:
        yield _paragraph(f"{one.file} cannot be read: {one.why}")
    yield _paragraph(checked(report))


def _plan(report: Report, of: Contents) -> Iterator[str]:
    yield rf"\section{{{escape_latex(of.plan.name)}}}"
    yield _paragraph(progress_of(report.folder, of))
    yield from (_warned(problem) for problem in of.problems)
    yield from (rf"\input{{{_table_file(table.name)}}}" for table in of.tables)
    yield from (_figure(drawn) for drawn in of.figures)
    for table in (facts.budget(report.folder, of.plan), facts.searches(report.folder, of.plan)):
        yield from (to_latex(_narrow(part)) for part in (_parts(table) if table else ()))


def _data(report: Report) -> Iterator[str]:
    yield r"\section{Data and training}"
    yield from (_warned(problem) for problem in report.shared.problems)
    yield from (rf"\input{{{_table_file(table.name)}}}" for table in report.shared.tables)
    yield from (_paragraph(note) for note in report.shared.notes)


def _environment(report: Report) -> Iterator[str]:
    yield r"\section{Budget and environment}"
    if report.folder.trials.empty:
        yield _paragraph("No trial is stored.")
        return
    for table in (facts.total, facts.environment, facts.datasets, facts.weights):
        yield to_latex(table(report.folder))
    if report.failures:
        counted = f"{len(report.failures):,} trials" if len(report.failures) > 1 else "One trial"
        yield _paragraph(f"{counted} failed; the page beside this document tells of each.")


def _narrow(table: Table) -> Table:
    """The table with names of rows that fit on a page; the report's page has them whole."""
    groups = tuple(tuple(map(_shortened, group)) for group in table.groups)
    return replace(table, groups=groups, size="footnotesize")


def _shortened(row: Row) -> Row:
    name, *cells = row.cells
    cut = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."
    return replace(row, cells=(cut, *cells))


def _parts(table: Table) -> Iterator[Table]:
    """A table for each data set, as LaTeX breaks no table between pages."""
    for i, group in enumerate(table.groups):
        yield replace(
            table,
            label=f"{table.label}-{i + 1}",
            groups=(group,),
            titles=table.titles[i : i + 1],
        )


def _figure(drawn: Drawn) -> str:
    return "\n".join(
        [
            r"\begin{figure}[H]",
            r"\centering",
            rf"\drawn{{{_figure_file(drawn)}}}",
            rf"\caption{{{escape_latex(drawn.caption)}}}",
            r"\end{figure}",
        ]
    )


def _warned(problem: Problem) -> str:
    return rf"\textbf{{No {escape_latex(problem.what)}:}} {escape_latex(problem.why)}" + "\n"


def _paragraph(text: str) -> str:
    return escape_latex(text) + "\n"


def _table_file(name: str) -> str:
    return f"tables/{path_safe(name)}.tex"


def _figure_file(drawn: Drawn) -> str:
    return f"figures/{path_safe(drawn.name)}.pdf"
