"""What the paper observes in Table 3 (section 4.3), and what becomes of it on stored trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.cells import Cell
from analysis.inference.pairs import differences, holm
from analysis.inference.resampling import Answers
from analysis.judging import Claim, Finding, Judged, Pair, judge
from analysis.kinds import EXPANDS
from analysis.part import Part
from analysis.predictions import of_rows
from mi2p.methods import METHODS, Group


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """The claims on one data set."""

    part: Part
    best: str | None
    """The expanded method that is best on validation."""
    lacking: tuple[str, ...]
    """Expanded methods of the plan without the predictions of all their trials."""
    judged: tuple[Judged, ...]

    def findings(self) -> Iterator[Finding]:
        """All of them; a pair that is of two claims comes twice."""
        for one in self.judged:
            yield from one.findings

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
        Claim(number=number, text=text, pairs=tuple(pairs), chosen=number == len(found))
        for number, (text, pairs) in enumerate(found.items(), 1)
    )


def observe(results: Path, found: Sequence[Part]) -> list[Observed]:
    """The claims on each data set, of the pairs of rows that the plan has."""
    seen = [_observed(results, part) for part in found]
    planned = [
        one for observed in seen for one in observed.judged if one.findings or not one.settled
    ]
    adjusted = holm([one.p_holm for one in planned])
    p_holm = {id(one): p for one, p in zip(planned, adjusted, strict=True)}
    return [
        replace(
            observed,
            judged=tuple(
                replace(one, p_holm=p_holm.get(id(one), one.p_holm)) for one in observed.judged
            ),
        )
        for observed in seen
    ]


def _observed(results: Path, part: Part) -> Observed:
    """The claims on a data set; what a claim has as adjusted is not adjusted yet."""
    methods = of_rows(results, part.rows, multilabel=part.multilabel)
    expanded = [row for row in part.rows if row.row.key in EXPANDS]
    there = {key: len(method.seeds) for key, method in methods.items()}
    lacking = tuple(row.row.key for row in expanded if there.get(row.row.key, 0) < row.want)
    best = _best(part, methods)
    keys = {row.row.key for row in part.rows}
    planned = [
        replace(claim, pairs=tuple(pair for pair in claim.pairs if keys.issuperset(pair)))
        for claim in claims(best)
    ]
    pairs = sorted({pair for claim in planned for pair in claim.pairs})
    compared = differences(methods, pairs, part.primary)
    judged = tuple(
        judge(claim, compared, paper=in_paper, settled=not (claim.chosen and lacking))
        for claim, in_paper in zip(planned, printed_signs(part), strict=True)
    )
    return Observed(part=part, best=best, lacking=lacking, judged=judged)


def printed_signs(part: Part) -> list[tuple[int, int] | None]:
    """Of each claim, how many of its pairs have its sign in the paper's numbers, of how many.

    On the metric that the claim is judged on; the last claim is about the paper's own best. None
    for a data set that is not in the paper.
    """
    values = {
        key: part.printed[method.paper][part.primary]
        for key, method in METHODS.items()
        if part.primary in part.printed.get(method.paper, {})
    }
    best = max(
        (key for key in EXPANDS if key in values), key=lambda key: values[key], default=None
    )
    signs: list[tuple[int, int] | None] = []
    for claim in claims(best):
        known = [pair for pair in claim.pairs if values.keys() >= set(pair)]
        right = sum(values[first] > values[second] for first, second in known)
        signs.append((right, len(known)) if known else None)
    return signs


def _best(part: Part, methods: Mapping[str, Answers]) -> str | None:
    """The expanded method with the best mean on validation; the first of several."""
    cells: dict[str, Cell] = {
        row.row.key: row.cell(f"val/{part.primary}", partly=True)
        for row in part.rows
        if row.row.key in EXPANDS and row.row.key in methods
    }
    means = {key: cell.mean for key, cell in cells.items() if cell.mean is not None}
    return max(means, key=lambda key: means[key]) if means else None
