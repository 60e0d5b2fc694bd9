"""What became of the paper's claims as LaTeX, markdown and CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from analysis.observations import Claim, Finding, Observed, overall
from analysis.pairs import LEVEL, RESAMPLES
from analysis.sideways import setting
from analysis.tabular import (
    EMPTY,
    MINUS,
    Row,
    Table,
    Value,
    escape_markdown,
    grid,
    listed,
    number,
    records_csv,
    to_latex,
)
from mi2p.plan import Plan

HEADS = ("95 % interval", "p", "p (Holm)", "verdict")


def latex(plan: Plan, found: Sequence[Observed]) -> str:
    """The claims on all data sets in a table, and the pairs of each that is begun in another."""
    details = (pairs(plan, observed) for observed in found if observed.begun)
    return "\n".join(map(to_latex, [summary(plan, found), *details]))


def markdown(plan: Plan, found: Sequence[Observed]) -> str:
    """The same, one below the other."""
    first = summary(plan, found)
    lines = [escape_markdown(first.caption), "", *grid(first), *listed(first.footnotes)]
    for observed in found:
        if not observed.begun:
            continue
        table = pairs(plan, observed)
        title = escape_markdown(setting(observed.part.dataset))
        lines += ["", f"### {title}", "", escape_markdown(table.caption), "", *grid(table)]
    return "\n".join([*lines, ""])


def csv_text(found: Sequence[Observed]) -> str:
    """A line for each pair of each claim."""
    return records_csv(
        [
            _record(observed, claim, finding)
            for observed in found
            for claim, findings in observed.claims
            for finding in findings
        ]
    )


def summary(plan: Plan, found: Sequence[Observed]) -> Table:
    """A row for each claim, a column for each data set."""
    rows = [
        Row(cells=(on_each[0][0].title, *(_counts(findings) for _, findings in on_each)))
        for on_each in zip(*(observed.claims for observed in found), strict=True)
    ]
    return Table(
        caption=(
            "Which of the paper's claims hold (section 4.3), and for how many pairs of methods: "
            "holds/reversed/not resolved. A claim holds if all its pairs do, and is "
            "contradicted if one is reversed."
        ),
        label=f"tab:claims-{plan.name}",
        heads=("Claim", *(setting(observed.part.dataset) for observed in found)),
        groups=(tuple(rows),),
        footnotes=(*_missing(found), *_best(found), *_method(found)),
        comments=(
            f"Plan {plan.name} (plans/{plan.name}.json), written by analysis/claims.py from the "
            "predictions of its trials (predictions/<id>.parquet).",
        ),
        size="scriptsize",
    )


def pairs(plan: Plan, observed: Observed) -> Table:
    """A row for each pair of each claim on a data set."""
    part = observed.part
    shown = [(claim.title, findings) for claim, findings in observed.claims if findings]
    size = f" ({part.num_test} examples)" if part.num_test else ""
    return Table(
        caption=(
            f"Pairs of methods on the test split of {part.dataset}{size}. Δ "
            f"{part.primary_head}: of the first minus the second, in points, mean over seeds."
        ),
        label=f"tab:claims-{plan.name}-{part.dataset}",
        heads=("Pair", f"Δ {part.primary_head}", *HEADS),
        groups=tuple(tuple(_line(observed, f) for f in findings) for _, findings in shown),
        titles=tuple(title for title, _ in shown),
        size="scriptsize",
    )


def _counts(findings: Sequence[Finding]) -> str:
    count = Counter(finding.verdict for finding in findings)
    if not findings or count[None] == len(findings):
        return EMPTY
    told = "/".join(str(count[name]) for name in ("holds", "reversed", "not resolved"))
    return f"{overall(findings)} ({told})"


def _line(observed: Observed, finding: Finding) -> Row:
    labels, wanted = _labels(observed), _wanted(observed)
    pair = " vs ".join(labels[key] for key in finding.pair)
    found, p_holm = finding.difference, finding.p_holm
    if found is None or p_holm is None:
        return Row(cells=(pair, *[EMPTY] * (1 + len(HEADS))))
    want = max(wanted[key] for key in finding.pair)
    low, high = (_points(end) for end in found.interval)
    return Row(
        cells=(
            pair,
            number(found.mean, None, n=len(found.seeds), want=want, signed=True),
            f"[{low}, {high}]",
            _p(found.p),
            _p(p_holm),
            str(finding.verdict),
        )
    )


def _record(observed: Observed, claim: Claim, finding: Finding) -> Mapping[str, Value]:
    found, part = finding.difference, observed.part
    low, high = found.interval if found else (None, None)
    return {
        "dataset": part.dataset,
        "claim": claim.number,
        "text": claim.text,
        "better": finding.pair[0],
        "worse": finding.pair[1],
        "metric": part.primary,
        "num_test": part.num_test,
        "seeds": " ".join(map(str, found.seeds)) if found else None,
        "difference": _percent(found.mean if found else None),
        "standard_error": _percent(found.standard_error if found else None),
        "low": _percent(low),
        "high": _percent(high),
        "p": found.p if found else None,
        "p_holm": finding.p_holm,
        "verdict": finding.verdict,
    }


def _best(found: Sequence[Observed]) -> list[str]:
    told = [
        f"{_labels(observed)[observed.best]} on {setting(observed.part.dataset)}"
        for observed in found
        if observed.best is not None
    ]
    return [f"The best expanded model by validation is {', '.join(told)}."] if told else []


def _missing(found: Sequence[Observed]) -> list[str]:
    missing = [f for observed in found for f in observed.findings() if f.difference is None]
    if not missing:
        return []
    return [
        f"{EMPTY}: no seed yet of which both predictions are there; such pairs: {len(missing)}."
    ]


def _method(found: Sequence[Observed]) -> list[str]:
    compared = {
        (observed.part.dataset, finding.pair): finding.difference
        for observed in found
        for finding in observed.findings()
        if finding.difference is not None
    }
    notes = [
        f"Interval (95 %) and p: Student's t, with the variance over test examples ({RESAMPLES} "
        "bootstrap resamples, the same for both methods and all seeds) and those over the seeds "
        "of each method (no less than the mean of all methods; Welch, Satterthwaite). Only seeds "
        "that both have.",
        f"Verdict: by p adjusted for the {len(compared)} pairs with predictions (Holm), at "
        f"{LEVEL}; not resolved does not mean equal.",
    ]
    if all(len(difference.seeds) == 1 for difference in compared.values()):
        notes.append("With one seed, interval and p are about trained models, not methods.")
    return notes


def _labels(observed: Observed) -> dict[str, str]:
    return {row.row.key: row.row.label for row in observed.part.rows}


def _wanted(observed: Observed) -> dict[str, int]:
    return {row.row.key: row.want for row in observed.part.rows}


def _points(fraction: float) -> str:
    return format(100 * fraction, "+z.1f").replace("-", MINUS)


def _p(p: float) -> str:
    return f"{p:.0e}" if p < 0.001 else f"{p:.3f}"


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * fraction, 9)
