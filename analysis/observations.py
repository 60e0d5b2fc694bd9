"""What the paper observes in Table 3 (section 4.3), and what becomes of it on stored trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.cells import Cell
from analysis.kinds import EXPANDS
from analysis.pairs import LEVEL, Answers, Difference, differences, holm
from analysis.part import Part
from analysis.predictions import of_rows
from mi2p.methods import METHODS, Group

Pair = tuple[str, str]
"""Keys of methods, of which the first is claimed to be better."""
Verdict = Literal["holds", "reversed", "not resolved"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That in each of these pairs the first method is better."""

    number: int
    text: str
    pairs: tuple[Pair, ...]

    @property
    def title(self) -> str:
        """Number and text."""
        return f"({self.number}) {self.text}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of a pair."""

    pair: Pair
    difference: Difference | None
    """None while the predictions of one are not there."""
    p_holm: float | None
    """Adjusted for all pairs of the plan."""

    @property
    def verdict(self) -> Verdict | None:
        """What can be said of the pair."""
        if self.difference is None or self.p_holm is None:
            return None
        if self.p_holm >= LEVEL:
            return "not resolved"
        return "holds" if self.difference.mean > 0 else "reversed"


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """The claims on one data set, each with what became of its pairs."""

    part: Part
    best: str | None
    """The expanded method that is best on validation."""
    claims: tuple[tuple[Claim, tuple[Finding, ...]], ...]

    def findings(self) -> Iterator[Finding]:
        """All of them; a pair that is of two claims comes twice."""
        for _, found in self.claims:
            yield from found

    @property
    def begun(self) -> bool:
        """Whether any pair could be compared."""
        return any(finding.difference is not None for finding in self.findings())


def of_group(*groups: Group) -> tuple[str, ...]:
    """Keys of the methods of these groups."""
    return tuple(key for key, method in METHODS.items() if method.group in groups)


def claims(best: str | None) -> tuple[Claim, ...]:
    """The paper's claims in its order; the last is about the best expanded method."""
    fusions, transformers = of_group("fusion"), of_group("multimodal BERT")
    fused = [key for key, plain in EXPANDS.items() if plain in fusions]
    found: dict[str, list[Pair]] = {
        "Multimodal methods above unimodal models": [
            (key, alone) for key in (*fusions, *transformers) for alone in of_group("unimodal")
        ],
        "Unimodal models with units above those without": [
            (key, plain) for key, plain in EXPANDS.items() if key not in fused
        ],
        "Late fusions of expanded models above those of plain ones": [
            (key, EXPANDS[key]) for key in fused
        ],
        "Late fusions of expanded models above multimodal BERTs": [
            (key, other) for key in fused for other in transformers
        ],
        "The best expanded model above all methods without units": [
            (best, other)
            for other in (*of_group("unimodal"), *fusions, *transformers)
            if best is not None
        ],
    }
    return tuple(
        Claim(number=number, text=text, pairs=tuple(pairs))
        for number, (text, pairs) in enumerate(found.items(), 1)
    )


def observe(results: Path, found: Sequence[Part]) -> list[Observed]:
    """The claims on each data set, of the pairs of rows that the plan has.

    p is adjusted for every pair with predictions, of all claims and data sets; one that is of two
    claims is one pair.
    """
    best, compared = {}, {}
    for part in found:
        methods = of_rows(results, part.rows, multilabel=part.multilabel)
        best[part.dataset] = _best(part, methods)
        wanted = {pair for claim in claims(best[part.dataset]) for pair in claim.pairs}
        for pair, difference in differences(methods, sorted(wanted)).items():
            compared[part.dataset, pair] = difference
    adjusted = holm([difference.p for difference in compared.values()])
    p_holm = dict(zip(compared, adjusted, strict=True))
    return [
        Observed(
            part=part,
            best=best[part.dataset],
            claims=tuple(
                (
                    claim,
                    tuple(
                        Finding(
                            pair=pair,
                            difference=compared.get((part.dataset, pair)),
                            p_holm=p_holm.get((part.dataset, pair)),
                        )
                        for pair in _planned(claim, part)
                    ),
                )
                for claim in claims(best[part.dataset])
            ),
        )
        for part in found
    ]


def overall(findings: Sequence[Finding]) -> str:
    """Of a claim: it holds if all its pairs do, and is contradicted if one is reversed."""
    count = Counter(finding.verdict for finding in findings)
    if count["reversed"]:
        return "contradicted"
    return "holds" if findings and count["holds"] == len(findings) else "not resolved"


def _planned(claim: Claim, part: Part) -> Iterator[Pair]:
    keys = {row.row.key for row in part.rows}
    return (pair for pair in claim.pairs if keys.issuperset(pair))


def _best(part: Part, methods: Mapping[str, Answers]) -> str | None:
    """The expanded method with the best mean on validation; the first of several."""
    cells: dict[str, Cell] = {
        row.row.key: row.cell(f"val/{part.primary}", partly=True)
        for row in part.rows
        if row.row.key in EXPANDS and row.row.key in methods
    }
    means = {key: cell.mean for key, cell in cells.items() if cell.mean is not None}
    return max(means, key=lambda key: means[key]) if means else None
