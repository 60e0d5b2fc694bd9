"""The words and numbers of what was found; made by hand, no statistics."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.inference.pairs import Difference
from analysis.judging import Claim, Finding, Judged
from analysis.observations import Observed
from analysis.part import parts
from analysis.typesetting.tabular import MINUS
from analysis.verdicts import pairs, summary, texts
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
    judged = (
        Judged(claim=UNITS, findings=findings, p_holm=0.4, paper=(2, 2)),
        Judged(claim=FUSIONS, findings=missing, p_holm=1.0, paper=(1, 3)),
        Judged(claim=EMPTY_CLAIM, findings=(), p_holm=1.0, paper=None),
    )
    return table, Observed(part=part, best="me_cnn", lacking=(), judged=judged)


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
    assert "adjusted within the claim, the interval is not" in table.caption
    assert table.footnotes == (
        "(n/want): only n of the wanted seeds are finished of both methods.",
    )


def test_summary(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    other = replace(observed, part=replace(observed.part, dataset="mmimdb", multilabel=True))
    table = summary(plan_, [observed, other])
    assert table.heads == ("Claim", "verdict", "p (Holm)", "pairs", "paper")
    assert table.titles == ("CrisisMMD (Task 2)", "MM-IMDB")
    assert "judged on accuracy (CrisisMMD (Task 2)) and micro-F1 (MM-IMDB) of" in table.caption
    assert "judged on accuracy of the test split" in summary(plan_, [observed]).caption
    assert [row.cells for row in table.rows[:3]] == [
        ("(2) Units", "not resolved", "0.400", "1/0/1", "2/2"),
        ("(3) Fusions", "--", "--", "--", "1/3"),
        ("(4) Nothing", "--", "--", "--", "--"),
    ]
    notes = summary(plan_, [observed]).footnotes
    claim, pair, method, reading, best, joint, missing = notes
    assert "adjusted for the 2 claims on data sets of this plan (Holm)" in claim
    assert "by p adjusted for all pairs of the claim on the data set (Holm)" in pair
    assert "All at 0.05" in pair
    assert "4000 bootstrap resamples" in method
    assert reading.startswith("Claims (4) and (5) are our reading")
    assert best.startswith(
        "Claim (5): the best expanded model by validation is ME DenseNet-121 on CrisisMMD "
        "(Task 2). It is chosen among the same trained models that are then tested"
    )
    assert joint.startswith("ME Score Fusion is trained jointly, Score Fusion averages")
    assert "such pairs: 1." in missing


def test_claims_that_are_open_say_so(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    units, fusions, _ = observed.judged
    against = Finding(
        pair=("me_cnn", "bert"),
        difference=Difference(seeds=(0, 1), mean=-0.3, standard_error=0.01, freedom=9),
        p_holm=1e-6,
    )
    chosen = replace(units, settled=False)
    partly = replace(fusions, findings=(against, *fusions.findings))
    table = summary(plan_, [replace(observed, lacking=("me_bert",), judged=(chosen, partly))])
    assert [row.cells[1:4] for row in table.rows] == [
        ("so far", "--", "1/0/1"),
        ("contradicted", "--", "0/1/0, 1 missing"),
    ]
    assert (
        "so far: claim (5) is open on CrisisMMD (Task 2) until the predictions of all trials of "
        "ME BERT are there."
    ) in table.footnotes


def test_texts(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    made_of = texts(plan_, [observed])
    text = made_of["md"]
    assert "\n### CrisisMMD (Task 2)\n" in text
    assert "\n**(3) Fusions**\n" in text
    assert r"\multicolumn{6}{l}{\textit{(3) Fusions}}" in made_of["tex"]
    assert '<th colspan="6" scope="rowgroup">(3) Fusions</th>' in made_of["html"]
    first, second, third = csv.DictReader(made_of["csv"].splitlines())
    assert (first["difference"], first["verdict"]) == ("10.0", "holds")
    assert (second["seeds"], second["metric"], second["num_test"]) == ("1", "accuracy", "30")
    assert (third["p"], third["verdict"], third["claim_verdict"]) == ("", "", "")
    assert (first["claim_p_holm"], first["claim_verdict"]) == ("0.4", "not resolved")
    assert "\n- (n/want): only n of the wanted seeds are finished of both methods.\n" in text


def test_with_one_seed_it_is_about_models(made: tuple[Plan, Observed]) -> None:
    plan_, observed = made
    units = observed.judged[0]
    single = replace(observed, best=None, judged=(replace(units, findings=units.findings[1:]),))
    note = "With one seed, interval and p are about trained models, not methods."
    assert note in summary(plan_, [single]).footnotes
    assert note not in summary(plan_, [observed]).footnotes
