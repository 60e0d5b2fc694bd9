"""Claims on made-up results of the sweep's own plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.observations import Finding, claims, observe, of_group, overall
from analysis.pairs import Difference, holm
from analysis.part import parts
from mi2p.methods import METHODS
from mi2p.plan import Plan
from mi2p.store import load
from sweeps.compare_crisismmd import Options, plan
from tests.simulated import PAPER, Simulated

TASK = "crisismmd_task3"


def observed(results: Path, made: Plan) -> list[dict[int, list[Finding]]]:
    """Findings by the number of their claim, of each data set."""
    found = observe(results, parts(made, load(results), {}, {}))
    return [{claim.number: list(f) for claim, f in on.claims} for on in found]


def difference(mean: float) -> Difference:
    return Difference(seeds=(0,), mean=mean, standard_error=1, freedom=9)


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


def test_p_is_adjusted_for_each_pair_once_over_all_data_sets(tmp_path: Path) -> None:
    made = plan(Options(seeds=(0,)))
    made = replace(made, rows=tuple(row for row in made.rows if row.dataset != TASK))
    Simulated(tmp_path, num_test=60).fill(made)
    found = observed(tmp_path, made)
    assert len(found) == 2
    apart = {
        (number, finding.pair): finding
        for number, on in enumerate(found)
        for of_claim in on.values()
        for finding in of_claim
    }
    # Of 52 pairs of a data set some are of two claims: the best method and what it expands, or,
    # if it is a fusion, the four transformers.
    assert 2 * 45 < len(apart) < 2 * 52
    differences = [finding.difference for finding in apart.values() if finding.difference]
    expected = holm([difference.p for difference in differences])
    assert [finding.p_holm for finding in apart.values()] == pytest.approx(expected)


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


def test_verdicts() -> None:
    def verdict(mean: float, p_holm: float) -> str | None:
        found = Finding(pair=("a", "b"), difference=difference(mean), p_holm=p_holm)
        return found.verdict

    assert verdict(0.1, 0.049) == "holds"
    assert verdict(-0.1, 0.049) == "reversed"
    assert verdict(0.1, 0.05) == "not resolved"
    assert Finding(pair=("a", "b"), difference=None, p_holm=None).verdict is None


def test_a_claim_is_about_all_its_pairs() -> None:
    holds, reversed_, open_ = (
        Finding(pair=("a", "b"), difference=difference(mean), p_holm=p)
        for mean, p in ((0.1, 0.01), (-0.1, 0.01), (0.1, 0.5))
    )
    missing = Finding(pair=("a", "b"), difference=None, p_holm=None)
    assert overall([holds, holds]) == "holds"
    assert overall([holds, open_]) == "not resolved"
    assert overall([holds, missing]) == "not resolved"
    assert overall([holds, open_, reversed_]) == "contradicted"
    assert overall([]) == "not resolved"
