"""A row of a table on one data set: its printed cells, its numbers, and what they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from analysis import budgets
from analysis.cells import RowTrials
from analysis.studied import Place, Studied
from analysis.tracing.provenance import Entry, of_row
from analysis.typesetting.tabular import (
    EMPTY,
    Row,
    Value,
    number,
    percent,
    points,
    probability,
    tail,
)

PLACES: Mapping[Place, str] = MappingProxyType({"inside": "∈", "above": "↑", "below": "↓"})
"""Marks of the paper's numbers: where they lie to our intervals."""
DIFFERS = "†"
"""Mark of a row that significantly differs from its reference."""


def line(row: RowTrials, on: Studied, *, beside: bool) -> Row:
    """Our numbers and the difference to the reference; `beside` them the paper's."""
    texts, bold = [row.row.label], set()
    for metric in on.part.metrics:
        if on.is_bold(row, metric):
            bold.add(len(texts))
        texts += [ours(row, on, metric)]
        texts += [theirs(row, on, metric)] if beside and on.part.prints(metric) else []
    comment = of_row(on.plan, row).comment()
    return Row(
        cells=(*texts, delta(row, on)),
        record=_record(row, on),
        comment=comment,
        bold=frozenset(bold),
        details=(*_details(row, on), *comment.split("; ")),
    )


def line_of_paper(row: RowTrials, on: Studied) -> Row:
    """The paper's numbers, each with our interval."""
    texts = [row.row.label]
    for metric in filter(on.part.prints, on.part.metrics):
        interval = on.interval(row, metric)
        span = f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""
        printed = theirs(row, on, metric)
        texts.append(printed if printed == EMPTY else printed + span)
    return Row(cells=tuple(texts))


def ours(row: RowTrials, on: Studied, metric: str, *, mark: str = "") -> str:
    """The mean over seeds and its deviation."""
    cell = on.part.cell(row, metric)
    return number(cell.mean, cell.std, n=cell.n, want=cell.want, mark=mark)


def theirs(row: RowTrials, on: Studied, metric: str) -> str:
    """The paper's number with its mark."""
    printed, place = on.printed(row, metric), on.verdict(row, metric)
    if printed is None:
        return EMPTY
    return f"{printed:.1f} {PLACES[place]}" if place else f"{printed:.1f}"


def delta(row: RowTrials, on: Studied) -> str:
    """The difference to the reference; empty for a row that has none by its kind."""
    if row.row.key not in on.references:
        return ""
    gain = on.gain(row)
    if gain is None:
        return EMPTY
    mark, error = DIFFERS if on.differs(row) else "", gain.standard_error
    return number(gain.mean, error, n=gain.n, want=gain.want, signed=True, mark=mark)


def entries(row: RowTrials, on: Studied) -> Iterator[Entry]:
    """Every cell of a row that has a trial, with what it is made of."""
    key, dataset, other = row.row.key, on.part.dataset, on.references.get(row.row.key)
    for metric in on.part.metrics:
        cell = on.part.cell(row, metric)
        if cell.n:
            made = of_row(on.plan, row, trials=cell.trial_ids)
            text = ours(row, on, metric)
            yield Entry(row=key, dataset=dataset, column=metric, text=text, provenance=made)
    gain = on.gain(row)
    if other is not None and gain is not None and gain.n:
        made = of_row(on.plan, row, reference=other)
        column = f"delta_{on.part.primary}"
        text = delta(row, on)
        yield Entry(row=key, dataset=dataset, column=column, text=text, provenance=made)


def _record(row: RowTrials, on: Studied) -> dict[str, Value]:
    """All numbers of a row, in percent, for CSV."""
    main = on.part.main_cell(row)
    record: dict[str, Value] = {"row": row.row.key, "label": row.row.label}
    if any(other.row.searched for other in on.part.rows):
        record |= budgets.columns(row)
    record |= {"n": main.n, "want": row.want, "failed": len(row.failed)}
    for name in on.part.metrics:
        cell, interval = on.part.cell(row, name), on.interval(row, name)
        record |= {f"{name}_mean": percent(cell.mean), f"{name}_std": percent(cell.std)}
        record |= {f"{name}_low": percent(interval.low if interval else None)}
        record |= {f"{name}_high": percent(interval.high if interval else None)}
        record |= {f"{name}_bold": int(on.is_bold(row, name))}
        if on.part.prints(name):
            record |= {f"{name}_paper": on.printed(row, name)}
            record |= {f"{name}_verdict": on.verdict(row, name)}
    return record | _of_delta(row, on) | {"trial_ids": " ".join(main.trial_ids)}


def _of_delta(row: RowTrials, on: Studied) -> dict[str, Value]:
    gain, against = on.gain(row), on.versus(row)
    low, high = against.difference.interval if against else (None, None)
    values: dict[str, Value] = {
        "mean": percent(gain.mean if gain else None),
        "standard_error": percent(gain.standard_error if gain else None),
        "n": gain.n if gain else None,
        "low": percent(low),
        "high": percent(high),
        "p": tail(against.difference.p if against else None),
        "p_holm": tail(against.p_holm if against else None),
        "mcnemar": tail(against.mcnemar if against else None),
    }
    return {f"delta_{on.part.primary}_{name}": value for name, value in values.items()}


def _details(row: RowTrials, on: Studied) -> Iterator[str]:
    """Intervals and tests, in words."""
    spans = []
    for metric, head in on.part.metrics.items():
        interval = on.interval(row, metric)
        if interval is not None:
            spans.append(f"{head} {100 * interval.low:.1f} to {100 * interval.high:.1f}")
    if spans:
        yield f"95 % intervals: {', '.join(spans)}"
    against, other = on.versus(row), on.references.get(row.row.key)
    if against is not None and other is not None:
        low, high = (points(end) for end in against.difference.interval)
        told = (
            f"Δ {on.part.primary_head} to {other.row.label}: 95 % interval {low} to {high}, "
            f"p {probability(against.difference.p)}, p (Holm) {probability(against.p_holm)}"
        )
        if against.mcnemar is not None:
            told += f", McNemar's p {probability(against.mcnemar)} (of these trained models)"
        yield told
