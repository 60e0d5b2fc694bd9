from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from analysis.inference.pairs import Difference
from analysis.judging import Claim, Finding, Judged, judge

A, B, C = ("a", "x"), ("b", "x"), ("c", "x")
ALL = Claim(number=1, text="All", pairs=(A, B, C))


def difference(p: float, *, better: bool = True) -> Difference:
    """Of a two-sided p, with so many degrees of freedom that it is normal."""
    mean = float(stats.norm.isf(p / 2)) * (1 if better else -1)
    return Difference(seeds=(0,), mean=mean, standard_error=1, freedom=1e9)


def verdicts(judged: Judged) -> list[str | None]:
    return [finding.verdict for finding in judged.findings]


def test_the_verdict_of_a_pair() -> None:
    def verdict(p_holm: float, *, better: bool = True) -> str | None:
        made = difference(0.01, better=better)
        return Finding(pair=A, difference=made, p_holm=p_holm).verdict

    assert verdict(0.049) == "holds"
    assert verdict(0.049, better=False) == "reversed"
    assert verdict(0.05) == "not resolved"
    assert Finding(pair=A, difference=None, p_holm=None).verdict is None


def test_a_claim_has_the_largest_p_of_its_pairs_and_these_are_adjusted_within_it() -> None:
    found = judge(ALL, {A: difference(0.01), B: difference(0.04), C: difference(0.03)})
    assert found.p_holm == pytest.approx(0.04)
    # By hand: 3 * 0.01, 2 * 0.03, and 0.04 is raised to the one before.
    assert [f.p_holm for f in found.findings] == pytest.approx([0.03, 0.06, 0.06])
    assert verdicts(found) == ["holds", "not resolved", "not resolved"]
    # All three are below the level, and more is not asked for all to hold.
    assert found.verdict == "holds"
    assert replace(found, p_holm=0.05).verdict == "not resolved"


def test_a_pair_with_the_wrong_sign_is_against_the_claim_and_if_clear_contradicts_it() -> None:
    vague = judge(
        ALL, {A: difference(0.01), B: difference(0.9, better=False), C: difference(0.01)}
    )
    assert (vague.p_holm, vague.verdict) == (1.0, "not resolved")
    # 0.02 is not enough for three pairs, 0.01 is.
    wrong = {A: difference(0.8), B: difference(0.02, better=False), C: difference(0.7)}
    assert judge(ALL, wrong).verdict == "not resolved"
    clear = judge(ALL, wrong | {B: difference(0.01, better=False)})
    assert verdicts(clear) == ["not resolved", "reversed", "not resolved"]
    assert (clear.p_holm, clear.verdict) == (1.0, "contradicted")


def test_pairs_that_are_missing_leave_a_claim_open_unless_one_is_reversed() -> None:
    some = judge(ALL, {A: difference(1e-6), C: difference(1e-6)})
    assert (some.p_holm, some.missing, some.verdict) == (1.0, 1, "so far")
    assert verdicts(some) == ["holds", None, "holds"]
    # Of those that are there, p is adjusted for all three.
    assert some.findings[0].p_holm == pytest.approx(3e-6)
    against = judge(ALL, {A: difference(1e-6, better=False)})
    assert (against.missing, against.verdict) == (2, "contradicted")
    assert judge(ALL, {}).verdict is None
    assert judge(Claim(number=4, text="Nothing", pairs=()), {}).verdict is None


@pytest.mark.parametrize("better", [True, False])
def test_a_claim_about_a_method_that_is_not_chosen_yet_has_no_verdict(better: bool) -> None:
    compared = {pair: difference(1e-6, better=better) for pair in ALL.pairs}
    found = judge(ALL, compared, settled=False)
    assert (found.p_holm, found.verdict) == (1.0, "so far")
    assert judge(ALL, compared).verdict == ("holds" if better else "contradicted")
