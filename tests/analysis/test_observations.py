"""Claims on made-up results of the sweep's own plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.inference.pairs import holm
from analysis.judging import Finding
from analysis.kinds import EXPANDS
from analysis.observations import claims, observe, of_group, printed_signs
from analysis.part import Part, parts, printed_in
from mi2p.methods import METHODS
from mi2p.plan import Plan
from mi2p.store import load
from sweeps.compare_crisismmd import Options, plan
from tests.simulated import PAPER, Simulated

TASK = "crisismmd_task3"


def observed(results: Path, made: Plan) -> list[dict[int, list[Finding]]]:
    """Findings by the number of their claim, of each data set."""
    found = observe(results, parts(made, load(results), {}, {}))
    return [{one.claim.number: list(one.findings) for one in on.judged} for on in found]


def test_the_claims_of_the_paper() -> None:
    one, two, three, four, five = (claim.pairs for claim in claims("me_bert"))
    assert len(one) == 11 * 2
    assert {other for _, other in one} == {"cnn", "bert"}
    assert {key for key, _ in one} == {*of_group("fusion"), *of_group("multimodal BERT")}
    assert two == (("me_cnn", "cnn"), ("me_bert", "bert"))
    assert three == tuple(
        (f"me_{kind}", kind) for kind in ("score_fusion", "feature_concat", "cross_attention")
    )
    assert len(four) == 3 * 4
    assert {other for _, other in four} == {"mmbt", "visualbert", "pixelbert", "vilt"}
    assert five == tuple(
        ("me_bert", key) for key, method in METHODS.items() if method.group != "expanded"
    )
    assert claims(None)[4].pairs == ()


def test_a_large_planted_effect_holds_and_its_opposite_is_reversed(tmp_path: Path) -> None:
    made = plan(Options(dataset=TASK))
    skill = dict.fromkeys(PAPER, 0.55) | {"me_cnn": 0.9, "cnn": 0.3, "bert": 0.95, "me_bert": 0.5}
    Simulated(tmp_path).fill(made, skill)
    (found,) = observed(tmp_path, made)
    verdicts = {finding.pair: finding.verdict for finding in found[2]}
    assert verdicts == {("me_cnn", "cnn"): "holds", ("me_bert", "bert"): "reversed"}
    assert Counter(finding.verdict for finding in found[3]) == {"not resolved": 3}
    assert {finding.verdict for finding in found[1]} == {"holds", "reversed"}
    # By validation: me_cnn, with 0.9.
    assert {finding.pair[0] for finding in found[5]} == {"me_cnn"}


def test_the_best_expanded_method_is_chosen_on_validation(tmp_path: Path) -> None:
    made = plan(Options(dataset=TASK))
    lab = Simulated(tmp_path)
    lab.fill(made, dict.fromkeys(PAPER, 0.6))
    poor = next(row for row in made.rows if row.key == "me_bert")
    for spec in poor.specs:
        lab.trial(poor, spec, 0.1, {"val": 0.99})
    (found,) = observed(tmp_path, made)
    assert {finding.pair[0] for finding in found[5]} == {"me_bert"}
    assert {finding.verdict for finding in found[5]} == {"reversed"}


def test_p_of_pairs_is_adjusted_within_a_claim_and_p_of_claims_over_all_of_them(
    tmp_path: Path,
) -> None:
    made = plan(Options(seeds=(0,)))
    Simulated(tmp_path, num_test=60).fill(
        replace(made, rows=tuple(row for row in made.rows if row.dataset != TASK))
    )
    found = observe(tmp_path, parts(made, load(tmp_path), {}, {}))
    assert len(found) == 3
    largest = []
    for observed_ in found:
        for one in observed_.judged:
            p = [f.difference.p for f in one.findings if f.difference is not None]
            if observed_.part.dataset != TASK:
                assert [f.p_holm for f in one.findings] == pytest.approx(holm(p))
            there = len(p) == len(one.findings) and all(
                f.difference is not None and f.difference.mean > 0 for f in one.findings
            )
            largest.append(max(p) if there and p else 1.0)
    # 15 claims, of which the five on the third data set are not there and count as 1.
    assert largest[-5:] == [1.0] * 5
    assert min(largest) < 1
    told = [one.p_holm for observed_ in found for one in observed_.judged]
    assert told == pytest.approx(holm(largest))


@pytest.mark.slow
def test_the_last_claim_waits_for_every_expanded_row(tmp_path: Path) -> None:
    made = plan(Options(dataset=TASK))
    skill = dict.fromkeys(PAPER, 0.3) | {key: 0.9 for key in EXPANDS}
    Simulated(tmp_path).fill(made, skill)
    (full,) = observe(tmp_path, parts(made, load(tmp_path), {}, {}))
    assert (full.lacking, full.judged[4].verdict) == ((), "holds")
    last = next(row for row in made.rows if row.key == "me_bert").specs[-1].trial_id
    (tmp_path / "predictions" / f"{last}.parquet").unlink()
    (short,) = observe(tmp_path, parts(made, load(tmp_path), {}, {}))
    assert (short.lacking, short.judged[4].verdict) == (("me_bert",), "so far")
    assert short.judged[4].missing == 0
    assert short.judged[1].verdict == "holds"


def test_signs_in_the_papers_numbers() -> None:
    def signs(dataset: str, table: int, *, multilabel: bool = False) -> list[Any]:
        printed = printed_in(table, dataset)
        return printed_signs(
            Part(
                dataset=dataset,
                rows=(),
                multilabel=multilabel,
                metrics={},
                printed=printed,
                num_test=None,
            )
        )

    # Accuracy on Task 3: CBP, CBGP, VisualBERT, PixelBERT and ViT are below BERT's 68.2.
    assert signs(TASK, 3) == [(17, 22), (2, 2), (3, 3), (12, 12), (13, 13)]
    # Micro-F1: only the fusions' 69.8, 70.2, 70.8 beside 67.1, 68.1, 69.3, 68.6.
    assert signs("mmimdb", 4, multilabel=True)[3] == (12, 12)
    # Accuracy on Food101: the lowest multimodal one is 89.3, BERT has 87.9.
    assert signs("food101", 4)[0] == (22, 22)
    assert signs("openclipart", 3) == [None] * 5


def test_rows_that_the_plan_has_not_and_trials_that_are_not_there(tmp_path: Path) -> None:
    made = plan(Options(dataset=TASK))
    made = replace(made, rows=tuple(row for row in made.rows if row.key != "vilt"))
    Simulated(tmp_path).fill(made, {key: PAPER[key] for key in ("cnn", "me_cnn", "mmbt")})
    (found,) = observed(tmp_path, made)
    assert not any("vilt" in finding.pair for of_claim in found.values() for finding in of_claim)
    there = {
        finding.pair
        for of_claim in found.values()
        for finding in of_claim
        if finding.verdict is not None
    }
    assert there == {("me_cnn", "cnn"), ("mmbt", "cnn"), ("me_cnn", "mmbt")}
    assert len(found[2]) == 2
