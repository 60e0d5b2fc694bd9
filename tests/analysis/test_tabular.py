from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from analysis.tabular import (
    MINUS,
    Row,
    Table,
    number,
    records_csv,
    to_csv,
    to_latex,
    to_markdown,
)

TABLE = Table(
    caption="90 % of a_b",
    label="tab:a_b",
    heads=("Model & more", "Acc (%)"),
    groups=(
        (
            Row(cells=("A + MI2P{1-4}", "83.4 ± 0.5"), record={"row": "a", "mean": 83.4}),
            Row(
                cells=("B|b", f"{MINUS}3.1 ± 0.8 (2/3)"),
                record={"row": "b", "mean": -3.1},
                comment="trials: 1\n2",
            ),
        ),
        (Row(cells=("[C]", "--"), record={"row": "c", "mean": None}),),
    ),
    footnotes=("±3 points, 100 %",),
    comments=("plan",),
)


def test_a_number_in_percent() -> None:
    assert number(0.8344, 0.0051, n=3, want=3) == "83.4 ± 0.5"
    assert number(0.8344, None, n=1, want=1) == "83.4"
    assert number(0.8344, 0.0051, n=2, want=3) == "83.4 ± 0.5 (2/3)"
    assert number(None, None, n=0, want=3) == "--"


def test_a_signed_number_never_prints_minus_zero() -> None:
    assert number(0.031, 0.008, n=3, want=3, signed=True) == "+3.1 ± 0.8"
    assert number(-0.031, None, n=1, want=1, signed=True) == f"{MINUS}3.1"
    assert number(-0.0001, None, n=1, want=1, signed=True) == "+0.0"


def test_latex() -> None:
    assert (
        to_latex(TABLE)
        == r"""% plan
\begin{table*}[t]
\centering
\setlength{\belowcaptionskip}{6pt}
\caption{90 \% of a\_b}
\label{tab:a-b}
\small
\setlength{\tabcolsep}{3pt}
\begin{tabular}{lc}
\toprule
Model \& more & Acc (\%) \\
\midrule
A + MI2P\{1-4\} & $83.4 \pm 0.5$ \\
B\textbar{}b & $-3.1 \pm 0.8$ {\scriptsize (2/3)} \\
% trials: 1 2
\midrule
{[}C] & -- \\
\bottomrule
\end{tabular}
\par\smallskip
{\footnotesize\raggedright
$\pm$3 points, 100 \%\par
}
\end{table*}
"""
    )


def test_markdown() -> None:
    assert to_markdown(TABLE) == (
        "90 % of a_b\n"
        "\n"
        "| Model & more  |          Acc (%) |\n"
        "| ------------- | ---------------: |\n"
        "| A + MI2P{1-4} |       83.4 ± 0.5 |\n"
        f"| B\\|b          | {MINUS}3.1 ± 0.8 (2/3) |\n"
        "|               |                  |\n"
        "| [C]           |               -- |\n"
        "\n"
        "- ±3 points, 100 %\n"
    )


def test_csv_has_numbers_and_nothing_for_what_is_missing() -> None:
    text = to_csv(TABLE)
    assert text == "row,mean\na,83.4\nb,-3.1\nc,\n"
    assert [row["row"] for row in csv.DictReader(io.StringIO(text))] == ["a", "b", "c"]


def test_latex_of_several_data_sets_is_narrow() -> None:
    rows = (
        Row(cells=("A", "83.4 ± 0.5", f"{MINUS}3.1 ± 10.8 (2/3)", "--")),
        Row(cells=("B", "83.4", "3.1 (1/3)", "1.0")),
    )
    table = replace(
        TABLE,
        heads=("Method", "Acc", "M-F1", "Acc"),
        groups=(rows,),
        spans=(("Task_1", 2), ("Task 2", 1)),
        stacked=True,
        size="footnotesize",
    )
    lines = to_latex(table).splitlines()
    at = lines.index(r"\toprule")
    assert lines[at + 1 : at + 7] == [
        r"& \multicolumn{2}{c}{Task\_1} & \multicolumn{1}{c}{Task 2} \\",
        r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}",
        r"Method & Acc & M-F1 & Acc \\",
        r"\midrule",
        r"A & $83.4_{\pm 0.5}$ & $-3.1_{\pm 10.8}^{(2/3)}$ & -- \\",
        r"B & $83.4$ & $3.1^{(1/3)}$ & $1.0$ \\",
    ]
    assert r"\footnotesize" in lines


def test_groups_with_titles() -> None:
    table = replace(TABLE, titles=("First 1 %", "Second"), footnotes=())
    latex = to_latex(table)
    assert "\\midrule\n\\multicolumn{2}{l}{\\textit{First 1 \\%}} \\\\\nA +" in latex
    assert to_markdown(table) == (
        "90 % of a_b\n"
        "\n"
        "**First 1 %**\n"
        "\n"
        "| Model & more  |          Acc (%) |\n"
        "| ------------- | ---------------: |\n"
        "| A + MI2P{1-4} |       83.4 ± 0.5 |\n"
        f"| B\\|b          | {MINUS}3.1 ± 0.8 (2/3) |\n"
        "\n"
        "**Second**\n"
        "\n"
        "| Model & more  |          Acc (%) |\n"
        "| ------------- | ---------------: |\n"
        "| [C]           |               -- |\n"
    )


def test_records_may_have_other_columns() -> None:
    assert records_csv([{"a": 1, "b": 2}, {"a": 3, "c": "x,y"}]) == 'a,b,c\n1,2,\n3,,"x,y"\n'


def test_a_line_break_cannot_leave_a_cell() -> None:
    broken = replace(TABLE, groups=((Row(cells=("a\nb", "1.0"), comment="x\n\\evil"),),))
    assert "a b & $1.0$ \\\\\n% x \\evil\n" in to_latex(broken)
    assert "| a b " in to_markdown(broken)


def test_rows_must_fit_the_heads_and_each_other() -> None:
    with pytest.raises(ValueError, match=r"each of the 2 heads .* but got 1: \('a',\)"):
        replace(TABLE, groups=((Row(cells=("a",)),),))
    other = (Row(cells=("a", "b"), record={"x": 1}), Row(cells=("a", "b"), record={"y": 1}))
    with pytest.raises(ValueError, match=r"same columns, but got \['y'\] beside \['x'\]"):
        replace(TABLE, groups=(other,))
    with pytest.raises(ValueError, match="each of the 2 groups"):
        replace(TABLE, titles=("one",))
    with pytest.raises(ValueError, match="cover the 1 heads after the first, but cover 2"):
        replace(TABLE, spans=(("both", 2),))
