"""The words and numbers of what was found; made by hand, no statistics."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analysis.observations import Claim, Finding, Observed
from analysis.pairs import Difference
from analysis.part import parts
from analysis.tabular import MINUS
from analysis.verdicts import csv_text, latex, markdown, pairs, summary
from mi2p.plan import Plan
from mi2p.store import load
from sweeps.compare_crisismmd import Options, plan
from tests.simulated import Simulated

UNITS = Claim(number=2, text="Units", pairs=(("me_cnn", "cnn"), ("me_bert", "bert")))
FUSIONS = Claim(number=3, text="Fusions", pairs=(("me_score_fusion", "score_fusion"),))
EMPTY_CLAIM = Claim(number=4, text="Nothing", pairs=())


@pytest.fixture
def made(tmp_path: Path) -> tuple[Plan, Observed]:
    table = plan(Options(dataset="crisismmd_task2", seeds=(0, 1)))
    Simulated(tmp_path, num_test=30).fill(table, {"cnn": 0.5})
    (part,) = parts(table, load(tmp_path), {}, {"crisismmd_task2": 30})
    # With a huge number of degrees of freedom, 1.96 standard errors either way.
    clear = Difference(seeds=(0, 1), mean=0.1, standard_error=0.02, freedom=1e9)
    vague = Difference(seeds=(1,), mean=-0.0123, standard_error=0.01, freedom=1e9)
    findings = (
        Finding(pair=UNITS.pairs[0], difference=clear, p_holm=1e-6),
        Finding(pair=UNITS.pairs[1], difference=vague, p_holm=0.4),
    )
    missing = (Finding(pair=FUSIONS.pairs[0], difference=None, p_holm=None),)
    claims = ((UNITS, findings), (FUSIONS, missing), (EMPTY_CLAIM, ()))
    return table, Observed(part=part, best="me_cnn", claims=claims)


def test_pairs(made: tuple[Plan, Observed]) -> None:
    table = pairs(*made)
    assert table.heads == ("Pair", "Δ Acc", "95 % interval", "p", "p (Holm)", "verdict")
    assert [row.cells for row in table.rows] == [
        # 10 ± 1.96 * 2; z = 5: p = 6e-7.
        (
            "ME DenseNet-121 vs Unimodal DenseNet-121",
            "+10.0",
            "[+6.1, +13.9]",
            "6e-07",
            "1e-06",
            "holds",
        ),
        # -1.23 ± 1.96; z = 1.23: p = 0.219. One of two seeds.
        (
            "ME BERT vs Unimodal BERT",
            f"{MINUS}1.2 (1/2)",
            f"[{MINUS}3.2, +0.7]",
            "0.219",
            "0.400",
            "not resolved",
        ),
        ("ME Score Fusion vs Score Fusion", "--", "--", "--", "--", "--"),
    ]
    assert table.titles == ("(2) Units", "(3) Fusions")
    assert "test split of crisismmd_task2 (30 examples)" in table.caption


def test_summary(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    table = summary(plan_, [observed, observed])
    assert table.heads == ("Claim", "CrisisMMD (Task 2)", "CrisisMMD (Task 2)")
    assert [row.cells[:2] for row in table.rows] == [
        ("(2) Units", "not resolved (1/0/1)"),
        ("(3) Fusions", "--"),
        ("(4) Nothing", "--"),
    ]
    missing, best, method, verdict = summary(plan_, [observed]).footnotes
    assert missing.endswith("such pairs: 1.")
    assert best == (
        "The best expanded model by validation is ME DenseNet-121 on CrisisMMD (Task 2)."
    )
    assert "4000 bootstrap resamples" in method
    assert "adjusted for the 2 pairs with predictions (Holm), at 0.05" in verdict


def test_texts(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    text = markdown(plan_, [observed])
    assert "\n### CrisisMMD (Task 2)\n" in text
    assert "\n**(3) Fusions**\n" in text
    assert r"\multicolumn{6}{l}{\textit{(3) Fusions}}" in latex(plan_, [observed])
    first, second, third = csv.DictReader(csv_text([observed]).splitlines())
    assert (first["difference"], first["verdict"]) == ("10.0", "holds")
    assert (second["seeds"], second["metric"], second["num_test"]) == ("1", "accuracy", "30")
    assert (third["p"], third["verdict"]) == ("", "")


def test_with_one_seed_it_is_about_models(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    (claim, (_, vague)), *_ = observed.claims
    single = Observed(part=observed.part, best=None, claims=((claim, (vague,)),))
    assert summary(plan_, [single]).footnotes[-1] == (
        "With one seed, interval and p are about trained models, not methods."
    )
