"""What became of the paper's claims as tables, in each format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from analysis.inference.pairs import LEVEL
from analysis.inference.resampling import RESAMPLES
from analysis.judging import Finding, Judged, PairVerdict
from analysis.notes import joint_score_fusion, listing
from analysis.observations import Observed
from analysis.part import NAMES
from analysis.sideways import setting
from analysis.typesetting.formats import Texts, texts_of
from analysis.typesetting.tabular import (
    EMPTY,
    Row,
    Table,
    Value,
    escape_markdown,
    number,
    percent,
    points,
    probability,
    tail,
    to_markdown,
)
from mi2p.plan import Plan

HEADS = ("95 % interval", "p", "p (Holm)", "verdict")
PAIRS: tuple[PairVerdict, ...] = ("holds", "reversed", "not resolved")


def texts(plan: Plan, found: Sequence[Observed]) -> Texts:
    """The claims on all data sets in a table, and the pairs of each that is begun in another.

    The CSV has a line for each pair of each claim.
    """
    details = [pairs(plan, observed) for observed in found if observed.begun]
    records = [
        _record(observed, judged, finding)
        for observed in found
        for judged in observed.judged
        for finding in judged.findings
    ]
    made = texts_of([summary(plan, found), *details], records)
    return {**made, "md": _markdown(plan, found)}


def _markdown(plan: Plan, found: Sequence[Observed]) -> str:
    """With the data sets as headings."""
    lines = [to_markdown(summary(plan, found)).rstrip("\n")]
    for observed in found:
        if observed.begun:
            title = escape_markdown(setting(observed.part.dataset))
            lines += ["", f"### {title}", "", to_markdown(pairs(plan, observed)).rstrip("\n")]
    return "\n".join([*lines, ""])


def summary(plan: Plan, found: Sequence[Observed]) -> Table:
    """A row for each claim on each data set."""
    return Table(
        caption=(
            f"Which of the paper's claims hold (section 4.3), judged on {_metrics(found)} of the "
            f"test split. pairs: how many {'/'.join(PAIRS)}; paper: of how many of the claim's "
            "pairs the paper's own printed numbers have its sign on this metric."
        ),
        label=f"tab:claims-{plan.name}",
        heads=("Claim", "verdict", "p (Holm)", "pairs", "paper"),
        groups=tuple(tuple(_claim(judged) for judged in observed.judged) for observed in found),
        titles=tuple(setting(observed.part.dataset) for observed in found),
        footnotes=(*_how(found), *_about_claims(found), *_missing(found)),
        comments=(
            f"Plan {plan.name} (plans/{plan.name}.json), written by analysis/claims.py from the "
            "predictions of its trials (predictions/<id>.parquet).",
        ),
        size="scriptsize",
    )


def pairs(plan: Plan, observed: Observed) -> Table:
    """A row for each pair of each claim on a data set."""
    part = observed.part
    shown = [judged for judged in observed.judged if judged.findings]
    size = f" ({part.num_test} examples)" if part.num_test else ""
    wanted = _wanted(observed)
    short = any(
        len(finding.difference.seeds) < max(wanted[key] for key in finding.pair)
        for finding in observed.findings()
        if finding.difference is not None
    )
    return Table(
        caption=(
            f"Pairs of methods on the test split of {part.dataset}{size}. Δ "
            f"{part.primary_head}: of the first minus the second, in points, mean over seeds. p "
            "is adjusted within the claim, the interval is not."
        ),
        label=f"tab:claims-{plan.name}-{part.dataset}",
        heads=("Pair", f"Δ {part.primary_head}", *HEADS),
        groups=tuple(
            tuple(_line(observed, finding) for finding in judged.findings) for judged in shown
        ),
        titles=tuple(judged.claim.title for judged in shown),
        footnotes=("(n/want): only n of the wanted seeds are finished of both methods.",) * short,
        size="scriptsize",
    )


def _claim(judged: Judged) -> Row:
    count = Counter(finding.verdict for finding in judged.findings)
    begun = judged.verdict is not None
    told = "/".join(str(count[name]) for name in PAIRS)
    told += f", {judged.missing} missing" if judged.missing else ""
    known = begun and judged.settled and not judged.missing
    paper = judged.paper
    return Row(
        cells=(
            judged.claim.title,
            judged.verdict or EMPTY,
            probability(judged.p_holm) if known else EMPTY,
            told if begun else EMPTY,
            f"{paper[0]}/{paper[1]}" if paper else EMPTY,
        )
    )


def _metrics(found: Sequence[Observed]) -> str:
    """What the claims are judged on, of which data sets if not of all."""
    by_metric: dict[str, list[str]] = {}
    for observed in found:
        name = NAMES[observed.part.primary]
        by_metric.setdefault(name, []).append(setting(observed.part.dataset))
    if len(by_metric) == 1:
        return next(iter(by_metric))
    return listing([f"{name} ({', '.join(of)})" for name, of in by_metric.items()])


def _line(observed: Observed, finding: Finding) -> Row:
    labels, wanted = _labels(observed), _wanted(observed)
    pair = " vs ".join(labels[key] for key in finding.pair)
    found, p_holm = finding.difference, finding.p_holm
    if found is None or p_holm is None:
        return Row(cells=(pair, *[EMPTY] * (1 + len(HEADS))))
    want = max(wanted[key] for key in finding.pair)
    low, high = (points(end) for end in found.interval)
    return Row(
        cells=(
            pair,
            number(found.mean, None, n=len(found.seeds), want=want, signed=True),
            f"[{low}, {high}]",
            probability(found.p),
            probability(p_holm),
            str(finding.verdict),
        )
    )


def _record(observed: Observed, judged: Judged, finding: Finding) -> Mapping[str, Value]:
    found, part = finding.difference, observed.part
    low, high = found.interval if found else (None, None)
    return {
        "dataset": part.dataset,
        "claim": judged.claim.number,
        "text": judged.claim.text,
        "better": finding.pair[0],
        "worse": finding.pair[1],
        "metric": part.primary,
        "num_test": part.num_test,
        "seeds": " ".join(map(str, found.seeds)) if found else None,
        "difference": percent(found.mean if found else None),
        "standard_error": percent(found.standard_error if found else None),
        "low": percent(low),
        "high": percent(high),
        "p": tail(found.p if found else None),
        "p_holm": tail(finding.p_holm),
        "verdict": finding.verdict,
        "claim_p_holm": tail(judged.p_holm),
        "claim_verdict": judged.verdict,
    }


def _how(found: Sequence[Observed]) -> list[str]:
    """The statistics."""
    judged = [one for observed in found for one in observed.judged]
    family = sum(bool(one.findings) or not one.settled for one in judged)
    notes = [
        "A claim holds if all its pairs do: its p is the largest of its pairs', two-sided and "
        "unadjusted (1 with the wrong sign or while missing; intersection-union test), adjusted "
        f"for the {family} claims on data sets of this plan (Holm). It is contradicted if a pair "
        "is reversed.",
        f"{', '.join(PAIRS)}, of a pair: by p adjusted for all pairs of the claim on the data set "
        "(Holm), another family than the claim's, so that the verdicts can differ. All at "
        f"{LEVEL}; not resolved does not mean equal. Contradictions are not adjusted for several "
        "claims, nor intervals for anything.",
        f"Interval (95 %) and p: Student's t, with the variance over test examples ({RESAMPLES} "
        "bootstrap resamples, the same for both methods and all seeds) and those over the seeds "
        "of each method, without chance answers to single examples, no less than usual (the "
        "median of all methods; Welch, Satterthwaite). Only seeds that both have.",
    ]
    compared = [f.difference for on in found for f in on.findings() if f.difference is not None]
    if all(len(difference.seeds) == 1 for difference in compared):
        notes.append("With one seed, interval and p are about trained models, not methods.")
    return notes


def _about_claims(found: Sequence[Observed]) -> list[str]:
    """What is in the claims themselves."""
    best = [
        f"{_labels(observed)[observed.best]} on {setting(observed.part.dataset)}"
        for observed in found
        if observed.best is not None
    ]
    notes = [
        "Claims (4) and (5) are our reading of “sub-optimal” (multimodal BERTs) and “consistently "
        "outperforms”; the paper tests none."
    ]
    if best:
        notes.append(
            f"Claim (5): the best expanded model by validation is {', '.join(best)}. It is chosen "
            "among the same trained models that are then tested, so that their luck with seeds "
            "is in both; the paper column is about the paper's own best on the test split."
        )
    joint = dict.fromkeys(note for on in found for note in joint_score_fusion(on.part.rows))
    return [*notes, *joint]


def _missing(found: Sequence[Observed]) -> list[str]:
    notes = []
    for observed in found:
        if observed.lacking and observed.begun:
            labels = _labels(observed)
            names = ", ".join(labels[key] for key in observed.lacking)
            where = setting(observed.part.dataset)
            notes.append(
                f"so far: claim (5) is open on {where} until the predictions of all trials of "
                f"{names} are there."
            )
    missing = sum(one.missing for observed in found for one in observed.judged)
    if missing:
        notes.append(
            f"{EMPTY}, missing: no seed yet of which both predictions are there; such pairs: "
            f"{missing}. A claim with such pairs gets no verdict but contradicted."
        )
    return notes


def _labels(observed: Observed) -> dict[str, str]:
    return {row.row.key: row.row.label for row in observed.part.rows}


def _wanted(observed: Observed) -> dict[str, int]:
    return {row.row.key: row.want for row in observed.part.rows}
