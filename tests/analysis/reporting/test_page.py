"""The page of a report, read by a parser; `test_report_shown.py` opens it in a browser."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from functools import cache
from typing import Any

from analysis.figures.canvas import Drawn, drawn, figure
from analysis.reporting.contents import Contents, Problem, Report, Shared, Shown, read_report
from analysis.reporting.failures import Failure
from analysis.reporting.folder import Damaged, read_folder
from analysis.reporting.page import page
from mi2p.plan import Plan
from tests.analysis.a_page import Page

OF_ALL = ("data", "budget", "environment", "failed", "tracing")
HOSTILE = '<script>alert(1)</script> & "x" é'


@cache
def a_figure() -> Drawn:
    with figure(3.3, 1.0) as made:
        made.subplots().plot([0, 1])
        return drawn(made, name="dots", caption=f"A line. {HOSTILE}", alternative=f"It {HOSTILE}")


def contents_of(plan: Plan, **changes: Any) -> Contents:
    made = Contents(plan=plan, unfinished=False, tables=(), figures=(), problems=())
    return replace(made, **changes)


def report_of(lab: Any, *plans: Contents, **changes: Any) -> Report:
    for of in plans:
        of.plan.write(lab.results)
    made = Report(
        folder=read_folder(lab.results), plans=plans, shared=Shared(), failures=(), stale=()
    )
    return replace(made, **changes)


def full(lab: Any) -> Report:
    plan: Plan = lab.plan()
    hostile = replace(plan.rows[0], label=HOSTILE)
    plan = replace(plan, rows=(hostile, *plan.rows[1:]))
    lab.fill(plan.rows[0], [0.6, 0.7, 0.7], seconds=3600.0)
    lab.trial(plan.rows[1].specs[0], {}, status="error")
    table = Shown(name=plan.name, html='<figure id="t"><p>83.4</p></figure>', latex="")
    problem = Problem(plan=plan.name, what="figure curves", why=HOSTILE)
    of = contents_of(plan, tables=(table,), figures=(a_figure(),), problems=(problem,))
    failure = Failure(
        trial_id="abc",
        name=HOSTILE,
        error=HOSTILE,
        befell=("node x was lost",),
        traceback=f"line one\n  {HOSTILE}\n",
    )
    return report_of(lab, of, failures=(failure,), stale=(f"t: {HOSTILE}",))


def test_the_page_needs_nothing_else(lab: Any) -> None:
    text = page(full(lab))
    found = Page(text)
    assert text.isascii()
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe", "object"})
    assert all(value.startswith("#") for value in found.values("href"))
    assert all(value.startswith("data:image/png;base64,") for value in found.values("src"))
    assert not [name for _, of in found.tags for name in of if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text


def test_ids_are_unique_and_links_lead_to_them(lab: Any) -> None:
    found = Page(page(full(lab)))
    anchors = found.values("id")
    assert len(anchors) == len(set(anchors))
    linked = [value.removeprefix("#") for value in found.values("href")]
    assert set(linked) <= set(anchors)
    assert {"summary", "of-table5-lab", "budget", "environment", "failed"} <= set(linked)


def test_figures_are_inside_with_their_alternative(lab: Any) -> None:
    report = full(lab)
    (image,) = [of for tag, of in Page(page(report)).tags if tag == "img"]
    assert image["alt"] == f"It {HOSTILE}"
    encoded = image["src"].partition(",")[2]
    (figure,) = report.plans[0].figures
    assert base64.b64decode(encoded) == figure.png
    # 3.3 inches of 96 pixels, magnified: 660 pixels of the file are shown as 428.
    assert (image["width"], image["height"]) == ("428", "130")


def test_all_text_is_shown_as_it_stands(lab: Any) -> None:
    shown = Page(page(full(lab))).shown
    # A row of three tables, a caption, a problem twice, a failure with error and traceback, and
    # what is out of date.
    assert shown.count(HOSTILE) >= 9
    assert "83.4" in shown
    assert "Before: node x was lost." in shown
    assert "No figure curves" in shown


def test_tracebacks_keep_their_lines(lab: Any) -> None:
    text = page(full(lab))
    found = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert found is not None
    assert found[1].split("\n")[0] == "line one"
    assert found[1].split("\n")[1].startswith("  &lt;script&gt;")


def test_sections_in_the_order_of_reading(lab: Any) -> None:
    report = full(lab)
    found = Page(page(report))
    sections = [of["id"] for tag, of in found.tags if tag == "section"]
    plans = [f"of-{plan.name}" for plan in report.folder.plans]
    assert sections == ["summary", *plans, *OF_ALL]


def test_a_folder_with_nothing_finished(lab: Any) -> None:
    plan: Plan = lab.plan()
    plan.write(lab.results)
    (lab.results / "plans" / "cut.json").write_text("{")
    shown = Page(page(read_report(lab.results))).shown
    assert "1 plan wants 12 trials: 12 missing." in shown
    assert "No trial of 12 is finished, so there is no table yet." in shown
    assert "Files that cannot be read plans/cut.json:" in shown
    assert "No trial is stored." in shown
    assert "Failed trials None." in shown


def test_a_folder_without_a_plan(lab: Any) -> None:
    lab.fill(lab.plan().rows[0], [0.6, 0.7, 0.7])
    shown = Page(page(read_report(lab.results))).shown
    assert "There is no plan that can be read; 3 trials are stored." in shown
    assert "The plans of this folder" not in shown


def test_what_is_damaged_or_without_predictions_is_said(lab: Any) -> None:
    plan: Plan = lab.plan()
    lab.fill(plan.rows[0], [0.6])
    report = report_of(lab, contents_of(plan))
    damaged = (Damaged(file="trials/x.parquet", why="cut off"),)
    report = replace(report, folder=replace(report.folder, damaged=damaged))
    shown = Page(page(report)).shown
    assert "Files that cannot be read trials/x.parquet: cut off" in shown
    assert "The predictions of 1 finished trial are not in predictions/" in shown
    assert plan.rows[0].specs[0].trial_id in shown
    assert "1 of 12 trials is finished; 11 missing." in shown


def test_checked(lab: Any) -> None:
    of = contents_of(lab.plan())
    assert "no cell is out of date" in Page(page(report_of(lab, of))).shown
    told = ("a: row x", "b: row y", "a: row z")
    shown = Page(page(report_of(lab, of, stale=told))).shown
    assert "out of date are 2 in a and 1 in b" in shown
    assert "Cells that are out of date a: row x b: row y a: row z" in shown


def test_of_a_long_warning_most_is_folded(lab: Any) -> None:
    told = tuple(f"a: row {i}" for i in range(9))
    text = page(report_of(lab, contents_of(lab.plan()), stale=told))
    folded = text.partition("<details><summary>and 5 more</summary>")[2].partition("</details>")[0]
    assert [f"row {i}<" in folded for i in range(9)] == [False] * 4 + [True] * 5


def test_every_style_has_both_lights(lab: Any) -> None:
    text = page(report_of(lab, contents_of(lab.plan())))
    light, dark = (
        set(re.findall(r"(--[a-z-]+):", block))
        for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    )
    assert light == dark
    assert set(re.findall(r"var\((--[a-z-]+)\)", text)) <= light
