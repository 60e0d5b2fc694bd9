from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.typesetting.latex_table import escape_latex, to_latex
from analysis.typesetting.tabular import MINUS, Row, Table
from tests.analysis.typesetting.test_tabular import TABLE

SETUP = (
    r"\sisetup{separate-uncertainty=true,table-align-uncertainty=false,"
    "table-align-text-after=false,reset-text-series=false,text-series-to-math=true,"
    "retain-explicit-plus=true,group-digits=integer,group-separator={,},group-minimum-digits=4}"
)


def test_latex() -> None:
    assert to_latex(TABLE) == (
        r"""% plan
\begin{table*}[t]
\centering
\setlength{\belowcaptionskip}{6pt}
\caption{90 \% of a\_b}
\label{tab:a-b}
\small
\setlength{\tabcolsep}{3pt}
"""
        + SETUP
        + r"""
\begin{tabular}{l S[table-format=+2.1(2){\,\mdseries\scriptsize(2/3)}]}
\toprule
Model \& more & {Acc (\%)} \\
\midrule
A + MI2P\{1-4\} & 83.4 \pm 0.5 \\
B\textbar{}b & -3.1 \pm 0.8{\,\mdseries\scriptsize(2/3)} \\
% trials: 1 2
\midrule
{[}C] & {--} \\
\bottomrule
\end{tabular}
\par\smallskip
{\footnotesize\raggedright
$\pm$3 points, 100 \%\par
}
\end{table*}
"""
    )


def of(*rows: Row, heads: int, **options: object) -> list[str]:
    table = Table(caption="c", label="l", heads=("Method", *["x"] * (heads - 1)), groups=(rows,))
    return to_latex(replace(table, **options)).splitlines()  # type: ignore[arg-type]


def test_a_column_has_room_for_its_widest_number() -> None:
    rows = (
        Row(cells=("A", "83.4", "+13.1 ± 12.5 (2/3) †", "58,131", "6e-07", "a", "1.0 ∈", "1.0")),
        Row(cells=("B", "100.0 ↑", f"{MINUS}3.1 ± 0.5", "0", "0.219", "", "1.0 ↓", "--")),
    )
    lines = of(*rows, heads=8)
    at = lines.index(r"\toprule")
    assert lines[at - 1] == (
        r"\begin{tabular}{l S[table-format=3.1{\,$\uparrow$}] "
        r"S[table-format=+2.1(3){\,\mdseries\scriptsize(2/3)\,$\dagger$}] S[table-format=5.0] "
        r"S[table-format=1.3] c S[table-format=1.1{\,$\in$}] S[table-format=1.1]}"
    )
    assert lines[at + 3] == (
        r"A & 83.4 & +13.1 \pm 12.5{\,\mdseries\scriptsize(2/3)\,$\dagger$} & 58131 & {6e-07} "
        r"& a & 1.0{\,$\in$} & 1.0 \\"
    )
    assert lines[at + 4] == (
        r"B & 100.0{\,$\uparrow$} & -3.1 \pm 0.5 & 0 & 0.219 &  & 1.0{\,$\downarrow$} & {--} \\"
    )


def test_bold_numbers_and_texts() -> None:
    rows = (
        Row(cells=("A", "83.4 ± 0.5", "--"), bold=frozenset((0, 1))),
        Row(cells=("B", "1.0", "1.0 (1/3)"), bold=frozenset((2,))),
    )
    lines = of(*rows, heads=3)
    assert r"\bfseries A & \bfseries 83.4 \pm 0.5 & {--} \\" in lines
    assert r"B & 1.0 & \bfseries 1.0{\,\mdseries\scriptsize(1/3)} \\" in lines


def test_latex_of_several_data_sets_is_narrow() -> None:
    rows = (
        Row(cells=("A", "83.4 ± 0.5", f"{MINUS}3.1 ± 10.8 (2/3)", "--")),
        Row(cells=("B", "83.4", "3.1 (1/3)", "1.0 ± 0.1 †"), bold=frozenset((3,))),
    )
    lines = of(
        *rows,
        heads=4,
        spans=(("Task_1", 2), ("Task 2", 1)),
        stacked=True,
        size="footnotesize",
    )
    at = lines.index(r"\toprule")
    assert lines[at - 1 : at + 7] == [
        r"\begin{tabular}{l S[table-format=2.1{$_{\pm 0.5}$}] "
        r"S[table-format=+1.1{$_{\pm 10.8}^{(2/3)}$}] "
        r"S[table-format=1.1{$_{\pm 0.1}{}^{\dagger}$}]}",
        r"\toprule",
        r"& \multicolumn{2}{c}{Task\_1} & \multicolumn{1}{c}{Task 2} \\",
        r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}",
        r"Method & {x} & {x} & {x} \\",
        r"\midrule",
        r"A & 83.4{$_{\pm 0.5}$} & -3.1{$_{\pm 10.8}^{(2/3)}$} & {--} \\",
        r"B & 83.4 & 3.1{$^{(1/3)}$} & \bfseries 1.0{$_{\pm 0.1}{}^{\dagger}$} \\",
    ]
    assert r"\footnotesize" in lines


def test_groups_with_titles() -> None:
    lines = to_latex(replace(TABLE, titles=("First 1 %", "Second"))).splitlines()
    at = lines.index(r"\midrule")
    assert lines[at + 1] == r"\multicolumn{2}{l}{\textit{First 1 \%}} \\"
    assert lines[at + 2].startswith("A +")


def test_a_line_break_cannot_leave_a_cell() -> None:
    lines = of(Row(cells=("a\nb", "1.0"), comment="x\n\\evil"), heads=2)
    at = lines.index(r"a b & 1.0 \\")
    assert lines[at + 1] == r"% x \evil"


def test_what_is_special_to_latex_is_escaped() -> None:
    assert escape_latex(r"50% & {x} ~^\<|>#$_ [1]*") == (
        r"50\% \& \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}"
        r"\textbar{}\textgreater{}\#\$\_ {[}1]{*}"
    )
    assert escape_latex("± Δ − ∈ ↑ ↓ †") == (  # noqa: RUF001
        r"$\pm$ $\Delta$ $-$ $\in$ $\uparrow$ $\downarrow$ $\dagger$"
    )


def test_what_latex_lacks_is_named_by_its_code_points() -> None:
    assert escape_latex("日本x ą") == "{[}U+65E5 U+672C]x {[}U+0105]"
    assert escape_latex("\x07Ж|") == r"{[}U+0007 U+0416]\textbar{}"
    assert escape_latex("Köln, łódź – “été” 5 €") == "Köln, łódź – “été” 5 €"  # noqa: RUF001
    assert escape_latex("e\u0301") == "é"


@pytest.mark.slow
def test_all_that_is_left_as_it_is_compiles(
    tmp_path: Path, compiles: Callable[[Path, str], None]
) -> None:
    chars = [chr(code) for code in range(0x20, 0x3000)]
    kept = "".join(char for char in chars if escape_latex(char) == char)
    assert "é" in kept and "日" not in kept
    caption = f"{' '.join(kept)} 日本, Ж, ą"
    table = Table(caption=caption, label="l", heads=("a",), groups=((Row(cells=("日",)),),))
    path = tmp_path / "made.tex"
    path.write_text(to_latex(table), encoding="utf-8")
    compiles(path, r"\documentclass{article}")


@pytest.mark.slow
def test_it_compiles(tmp_path: Path, compiles: Callable[[Path, str], None]) -> None:
    rows = (
        Row(cells=("A", "83.4", "+13.1 ± 12.5 (2/3) †", "58,131", "6e-07")),
        Row(cells=("[B]", "100.0 ∈", f"{MINUS}3.1 ± 0.5", "0", "±"), bold=frozenset((0, 1, 2))),
    )
    path = tmp_path / "made.tex"
    for stacked in (False, True):
        path.write_text("\n".join(of(*rows, heads=5, stacked=stacked)))
        compiles(path, r"\documentclass{article}")
