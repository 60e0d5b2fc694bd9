"""When a claim about several pairs of methods holds, and when it is contradicted.

A claim says of many pairs of methods that the first is better, and is judged on each data set on
the primary metric (accuracy; micro-F1 of several labels):

- It *holds* if all its pairs do, which is an intersection-union test: its p is the largest of its
  pairs' own, two-sided ones, and 1 if a pair has the other sign or is not there yet. That p needs
  no adjustment for the number of pairs, only for that of the claims and data sets of the plan
  (Holm).
- It is *contradicted* if a pair is reversed: the second method is better, by p adjusted for all
  pairs of this claim on this data set (Holm). That is not adjusted for the other claims.
- A single pair holds or is reversed by the same p, adjusted within its claim and data set. The
  two families differ, so that a claim can hold with single pairs not resolved, and the other way
  round.

Both families are those of the plan: what is not there yet counts as p = 1, so that nothing that
holds is lost by the arrival of other pairs. Intervals are not adjusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from analysis.inference.pairs import LEVEL, Difference, holm

Pair = tuple[str, str]
"""Keys of methods, of which the first is claimed to be better."""
PairVerdict = Literal["holds", "reversed", "not resolved"]
ClaimVerdict = Literal["holds", "contradicted", "not resolved", "so far"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That in each of these pairs the first method is better."""

    number: int
    text: str
    pairs: tuple[Pair, ...]
    chosen: bool = False
    """Whether the first method was chosen among trained ones.

    It is the best on validation of the models that are then tested, whose luck with their seeds
    is in the choice and in the test: p and interval do not know that.
    """

    @property
    def title(self) -> str:
        """Number and text."""
        return f"({self.number}) {self.text}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of a pair in a claim."""

    pair: Pair
    difference: Difference | None
    """None while the predictions of one are not there."""
    p_holm: float | None
    """Adjusted for the pairs of the claim on the data set."""

    @property
    def p(self) -> float:
        """That the first is not better: 1 if it is not, or is not known to be."""
        better = self.difference is not None and self.difference.mean > 0
        return self.difference.p if self.difference is not None and better else 1.0

    @property
    def verdict(self) -> PairVerdict | None:
        """What can be said of the pair."""
        if self.difference is None or self.p_holm is None:
            return None
        if self.p_holm >= LEVEL:
            return "not resolved"
        return "holds" if self.difference.mean > 0 else "reversed"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of a claim on a data set."""

    claim: Claim
    findings: tuple[Finding, ...]
    """Of the pairs that the plan has."""
    p_holm: float
    """That not all pairs hold, adjusted for the plan's claims and data sets."""
    paper: tuple[int, int] | None
    """How many of the claim's pairs have its sign in the paper's numbers, and of how many."""
    settled: bool = True
    """Whether it is known which method a claim is about."""

    @property
    def missing(self) -> int:
        """How many pairs cannot be compared yet."""
        return sum(finding.difference is None for finding in self.findings)

    @property
    def verdict(self) -> ClaimVerdict | None:
        """What can be said of the claim; None before any pair is there.

        "so far": nothing yet, because pairs are missing or the best method is not chosen.
        """
        if self.missing == len(self.findings):
            return None
        if self.settled and any(finding.verdict == "reversed" for finding in self.findings):
            return "contradicted"
        if self.missing or not self.settled:
            return "so far"
        return "holds" if self.p_holm < LEVEL else "not resolved"


def judge(
    claim: Claim,
    compared: Mapping[Pair, Difference],
    *,
    paper: tuple[int, int] | None = None,
    settled: bool = True,
) -> Judged:
    """A claim on one data set, by itself: its p is not adjusted for other claims yet."""
    found = [compared.get(pair) for pair in claim.pairs]
    adjusted = holm([1.0 if difference is None else difference.p for difference in found])
    findings = tuple(
        Finding(pair=pair, difference=difference, p_holm=None if difference is None else p)
        for pair, difference, p in zip(claim.pairs, found, adjusted, strict=True)
    )
    largest = max((finding.p for finding in findings), default=1.0) if settled else 1.0
    return Judged(claim=claim, findings=findings, p_holm=largest, paper=paper, settled=settled)
