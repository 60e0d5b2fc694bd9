from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.typesetting.formats import SUFFIXES, texts_of, write_texts
from analysis.typesetting.html_table import to_html
from analysis.typesetting.latex_table import to_latex
from analysis.typesetting.tabular import to_csv, to_markdown
from tests.analysis.typesetting.test_tabular import TABLE


def test_every_format_of_one_table(tmp_path: Path) -> None:
    texts = texts_of([TABLE])
    assert tuple(texts) == SUFFIXES
    made = (to_latex(TABLE), to_markdown(TABLE), to_html(TABLE), to_csv(TABLE))
    assert tuple(texts.values()) == made
    paths = write_texts(tmp_path / "tables", "x.y", texts)
    assert [path.name for path in paths] == ["x.y.tex", "x.y.md", "x.y.html", "x.y.csv"]
    assert tuple(path.read_text(encoding="utf-8") for path in paths) == made


def test_several_tables_one_below_the_other() -> None:
    other = replace(TABLE, label="tab:other", caption="Other.")
    texts = texts_of([TABLE, other], [{"a": 1}], latex=[other])
    assert texts["tex"] == to_latex(other)
    assert texts["md"] == f"{to_markdown(TABLE)}\n{to_markdown(other)}"
    assert texts["html"].count("<figure") == 2
    assert texts["csv"] == "a\n1\n"
