from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from analysis.typesetting.html_table import to_html
from analysis.typesetting.tabular import MINUS, Row, Table
from tests.analysis.typesetting.test_tabular import TABLE

VOID = ("br", "meta", "img", "hr")


class Tree(HTMLParser):
    """Holds that tags are closed in order, and keeps the texts of cells by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def test_the_whole_text() -> None:
    assert to_html(TABLE) == (
        '<figure class="table" id="tab-a_b">\n'
        "<figcaption>90 % of a_b</figcaption>\n"
        '<div class="scroll">\n'
        "<table>\n"
        "<thead>\n"
        '<tr><th scope="col">Model &amp; more</th>'
        '<th class="number" scope="col">Acc (%)</th></tr>\n'
        "</thead>\n"
        "<tbody>\n"
        '<tr><th scope="row">A + MI2P{1-4}</th><td class="number">83.4 &#177; 0.5</td></tr>\n'
        '<tr><th scope="row">B|b</th>'
        '<td class="number">&#8722;3.1 &#177; 0.8 <small>(2/3)</small></td></tr>\n'
        "</tbody>\n"
        "<tbody>\n"
        '<tr><th scope="row">[C]</th><td class="number">--</td></tr>\n'
        "</tbody>\n"
        "</table>\n"
        "</div>\n"
        '<ul class="notes">\n'
        "<li>&#177;3 points, 100 %</li>\n"
        "</ul>\n"
        "</figure>\n"
    )


def test_a_browser_reads_what_was_meant() -> None:
    tree = Tree(to_html(TABLE))
    assert tree.rows == [
        ["Model & more", "Acc (%)"],
        ["A + MI2P{1-4}", "83.4 ± 0.5"],
        ["B|b", f"{MINUS}3.1 ± 0.8 (2/3)"],
        ["[C]", "--"],
    ]


def test_what_is_special_to_html_is_escaped() -> None:
    evil = '<script>alert("x")</script> & \'"'
    row = Row(cells=(evil, evil), details=(evil,), comment=evil)
    table = Table(
        caption=evil,
        label=evil,
        heads=(evil, "x"),
        groups=((row,),),
        titles=(evil,),
        footnotes=(evil,),
        spans=((evil, 1),),
        comments=(evil,),
    )
    text = to_html(table)
    assert "<script" not in text
    assert text.isascii()
    tree = Tree(text)
    assert tree.rows[-1] == [evil * 2, evil]
    assert all("script" not in tag for tag, _ in tree.tags)
    assert tree.tags[0][1]["id"] == "-script-alert--x----script------"


def test_heads_over_heads_and_titles_over_groups_span_columns() -> None:
    table = Table(
        caption="c",
        label="l",
        heads=("Method", "Acc", "F1"),
        groups=((Row(cells=("A", "1.0", "2.0")),),),
        titles=("one",),
        spans=(("both", 2),),
    )
    text = to_html(table)
    assert '<tr><td></td><th colspan="2" scope="colgroup">both</th></tr>\n' in text
    assert '<tr><th colspan="3" scope="rowgroup">one</th></tr>\n' in text


def test_numbers_stand_below_each_other_also_where_some_have_marks() -> None:
    rows = (
        Row(cells=("A", "83.4 ± 0.5 †", "1.0"), bold=frozenset((1,)), details=("trials: a", "b")),
        Row(cells=("B", "3.0", "--"), bold=frozenset((2,))),
        Row(cells=("", "2.0", "x")),
    )
    table = replace(TABLE, heads=("a", "b", "c"), groups=(rows,))
    lines = to_html(table).splitlines()
    assert (
        '<tr><th scope="row"><details><summary>A</summary><ul><li>trials: a</li><li>b</li></ul>'
        '</details></th><td class="number"><strong>83.4 &#177; 0.5</strong> '
        '<span class="mark">&#8224;</span></td><td class="number">1.0</td></tr>'
    ) in lines
    assert (
        '<tr><th scope="row">B</th><td class="number">3.0 <span class="mark"></span></td>'
        '<td class="number"><strong>--</strong></td></tr>'
    ) in lines
    assert (
        '<tr><td></td><td class="number">2.0 <span class="mark"></span></td>'
        '<td class="number">x</td></tr>' in (lines)
    )
