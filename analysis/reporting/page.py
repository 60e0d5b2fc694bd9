"""The report as one page of HTML that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.figures.canvas import PRINT_DPI, Drawn
from analysis.reporting import facts
from analysis.reporting.contents import Contents, Problem, Report
from analysis.reporting.failures import Failure, disturbed
from analysis.reporting.text import (
    EXPLAINED,
    TRACING,
    about,
    checked,
    progress,
    progress_of,
    unpredicted,
)
from analysis.typesetting.html_table import escape_html, to_html
from analysis.typesetting.tabular import Table

FEW = 4
"""Lines of a warning that are open: new code makes every cell out of date."""
STYLES = Path(__file__).with_name("report.css")
MAGNIFIED = 1.35
"""Figures have the letters of print, which are small on a screen."""
WIDE = 544
"""Pixels, from which on a figure is not made narrower than this; `report.css` has it, too."""
CSS_PIXELS = 96
"""In an inch."""


def page(report: Report) -> str:
    """The page in ASCII; the same report gives the same text."""
    sections = [_summary(report), *(_plan(report, of) for of in report.plans)]
    sections += [
        _data(report),
        _budget(report),
        _environment(report),
        _failed(report),
        _tracing(report),
    ]
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape_html(about(report))}</title>",
        f"<style>\n{STYLES.read_text(encoding='utf-8')}</style>",
        "</head>",
        "<body>",
        *_navigation(report),
        "<main>",
        f"<h1>{escape_html(about(report))}</h1>",
        *(line for section in sections for line in section),
        "</main>",
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(lines)


def _navigation(report: Report) -> Iterator[str]:
    yield '<nav aria-label="Contents">'
    yield "<ul>"
    yield '<li><a href="#summary">Summary</a></li>'
    for of in report.plans:
        name = of.plan.name
        yield f'<li><a href="#{_anchor(name)}">{escape_html(name)}</a></li>'
    for anchor, title in (
        ("data", "Data and training"),
        ("budget", "Budget"),
        ("environment", "Environment"),
        ("failed", "Failed trials"),
        ("tracing", "Tracing a number"),
    ):
        yield f'<li><a href="#{anchor}">{title}</a></li>'
    yield "</ul>"
    yield "</nav>"


def _summary(report: Report) -> Iterator[str]:
    yield from _opened("summary", "Summary")
    yield _paragraph(progress(report.folder))
    if report.folder.plans:
        yield _facts(facts.summary(report.folder))
    if report.folder.damaged:
        yield from _warning(
            "Files that cannot be read",
            (f"{one.file}: {one.why}" for one in report.folder.damaged),
        )
    if report.problems:
        told = (f"{one.plan}, {one.what}: {one.why}" for one in report.problems)
        yield from _warning("What could not be made", told)
    if report.stale:
        yield from _warning("Cells that are out of date", report.stale)
    if any(of.tables for of in report.plans):
        yield from _list(EXPLAINED)
    yield "</section>"


def _plan(report: Report, of: Contents) -> Iterator[str]:
    folder, plan = report.folder, of.plan
    yield from _opened(_anchor(plan.name), plan.name)
    yield _paragraph(progress_of(folder, of))
    if missing := unpredicted(folder, plan):
        yield _paragraph(missing)
    yield from (_warned(problem) for problem in of.problems if problem.what == "tables")
    yield from (table.html for table in of.tables)
    yield from (_figure(drawn) for drawn in of.figures)
    yield from (_warned(problem) for problem in of.problems if problem.what != "tables")
    yield "<h3>Trials and budget</h3>"
    yield _facts(facts.trials(folder, plan))
    yield _facts(facts.budget(folder, plan))
    if (searches := facts.searches(folder, plan)) is not None:
        yield _facts(searches)
    yield "<details>"
    yield "<summary>Every trial, with its id</summary>"
    yield _facts(facts.each(folder, plan))
    yield "</details>"
    yield "</section>"


def _data(report: Report) -> Iterator[str]:
    yield from _opened("data", "Data and training")
    yield from (_warned(problem) for problem in report.shared.problems)
    yield from (table.html for table in report.shared.tables)
    yield from (_paragraph(note) for note in report.shared.notes)
    if report.folder.trials.empty:
        yield _paragraph("No trial is stored.")
    yield "</section>"


def _budget(report: Report) -> Iterator[str]:
    yield from _opened("budget", "Budget")
    if report.folder.trials.empty:
        yield _paragraph("No trial is stored.")
    else:
        yield _facts(facts.total(report.folder))
    if told := disturbed(report.folder):
        yield _paragraph(told)
    yield "</section>"


def _environment(report: Report) -> Iterator[str]:
    yield from _opened("environment", "Environment")
    if report.folder.trials.empty:
        yield _paragraph("No trial is stored.")
    else:
        tables = (facts.environment, facts.datasets, facts.weights)
        yield from (_facts(table(report.folder)) for table in tables)
    yield "</section>"


def _failed(report: Report) -> Iterator[str]:
    yield from _opened("failed", "Failed trials")
    if not report.failures:
        yield _paragraph("None.")
    else:
        yield _paragraph("The same sweep with --retry-failed runs them again.")
    yield from (_failure(failure) for failure in report.failures)
    yield "</section>"


def _failure(failure: Failure) -> str:
    lines = ['<div class="failure">', f"<h3>{escape_html(failure.name)}</h3>"]
    lines += [f'<p class="error">{escape_html(failure.error)}</p>']
    lines += [_paragraph(f"Before: {'; '.join(failure.befell)}.")] if failure.befell else []
    if failure.traceback is None:
        lines += [_paragraph(f"errors/{failure.trial_id}.txt is not there.")]
    else:
        lines += ["<details>", f"<summary>errors/{failure.trial_id}.txt</summary>"]
        lines += [f'<div class="scroll"><pre>{_lines(failure.traceback)}</pre></div>']
        lines += ["</details>"]
    return "\n".join([*lines, "</div>"])


def _tracing(report: Report) -> Iterator[str]:
    yield from _opened("tracing", "Tracing a number")
    yield from _list(TRACING)
    yield _paragraph(checked(report))
    yield "</section>"


def _facts(table: Table) -> str:
    """A table whose cells are names and numbers, which are not to be broken into lines."""
    return f'<div class="facts">\n{to_html(table)}</div>'


def _figure(drawn: Drawn) -> str:
    width, height = _size(drawn.png)
    shown = round(width * CSS_PIXELS * MAGNIFIED / PRINT_DPI)
    # On a telephone one of a column fits, and one of a page is scrolled rather than unreadable.
    kind = ' class="wide"' if shown > WIDE else ""
    data = base64.b64encode(drawn.png).decode("ascii")
    image = (
        f'<img{kind} src="data:image/png;base64,{data}" width="{shown}" '
        f'height="{round(shown * height / width)}" alt="{escape_html(drawn.alternative)}">'
    )
    return "\n".join(
        [
            f'<figure class="drawn" id="{_anchor(drawn.name)}">',
            f'<div class="scroll">{image}</div>',
            f"<figcaption>{escape_html(drawn.caption)}</figcaption>",
            "</figure>",
        ]
    )


def _size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, which a PNG file has at a fixed place."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _opened(anchor: str, title: str) -> Iterator[str]:
    yield f'<section id="{anchor}">'
    yield f"<h2>{escape_html(title)}</h2>"


def _warned(problem: Problem) -> str:
    return "\n".join(_warning(f"No {problem.what}", [problem.why]))


def _warning(title: str, told: Iterable[str]) -> Iterator[str]:
    yield '<div class="warning">'
    yield f"<p><strong>{escape_html(title)}</strong></p>"
    all_told = list(told)
    yield from _list(all_told[:FEW])
    if len(all_told) > FEW:
        yield f"<details><summary>and {len(all_told) - FEW} more</summary>"
        yield from _list(all_told[FEW:])
        yield "</details>"
    yield "</div>"


def _list(told: Iterable[str]) -> list[str]:
    return ["<ul>", *(f"<li>{escape_html(one)}</li>" for one in told), "</ul>"]


def _paragraph(text: str) -> str:
    return f"<p>{escape_html(text)}</p>"


def _lines(text: str) -> str:
    """The text with its line breaks."""
    return "\n".join(map(escape_html, text.split("\n")))


def _anchor(name: str) -> str:
    # Tables have anchors with another beginning.
    return "of-" + re.sub("[^A-Za-z0-9_-]", "-", name)
