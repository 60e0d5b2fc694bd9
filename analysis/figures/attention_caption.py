"""What is said of attended words and channels: in captions, and to those who cannot see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.attended import NEARLY_UNIFORM, Attended
from mi2p.attention_file import Attention, Unit
from mi2p.backbones import textual_card, visual_card
from mi2p.plan import Plan, PlanRow


@dataclass(frozen=True, kw_only=True)
class Source:
    """The trial that an example was put through, as a caption names it."""

    plan: Plan
    row: PlanRow
    seed: int

    @property
    def stem(self) -> str:
        """What the names of its figures begin with."""
        several = f"-{self.row.dataset}" if len(self.plan.datasets) > 1 else ""
        return f"{self.plan.name}-{self.row.key}{several}-seed{self.seed}"


def place_of(unit: Unit) -> str:
    """Where a unit sits, such as textual-6."""
    return f"{unit.modality}-{unit.tap}"


def where_of(unit: Unit, source: Source) -> str:
    """The same in words, such as `layer 6 of MiniLM`."""
    model = source.row.specs[0].model
    if unit.modality == "textual":
        return f"layer {unit.tap} of {textual_card(model.textual or '').title}"
    return f"block {unit.tap} of {visual_card(model.visual or '').title}"


def answer_of(attention: Attention) -> tuple[str, str]:
    """What the example is, and what the model says."""
    labels = " and ".join(attention.labels) or "no label"
    predicted = " and ".join(attention.predicted) or "none"
    sure = f" ({attention.probabilities.max():.2f})" if len(attention.predicted) == 1 else ""
    return f"label: {labels}", f"predicted: {predicted}{sure}"


def sentences(
    attention: Attention,
    found: Attended,
    items: Sequence[int],
    chosen: Sequence[tuple[int, ...]],
    source: Source,
) -> Iterator[str]:
    """The caption: which items, with which channels, and what a reader must know of both."""
    unit, count = found.unit, attention.shown.channels
    textual = unit.modality == "textual"
    yield from subject(attention, unit, source)
    which = f"{count} channels" if count > 1 else "channel"
    if textual:
        maps = "Z'"
        yield f"Each panel has the {which} that a word attends to most beyond the mean over words:"
    else:
        maps = "the block's own output"
        yield (
            f"Each panel has the {which} that attend{'' if count > 1 else 's'} to a word most "
            "beyond the mean over channels:"
        )
    yield (
        f"weight ({heads_of(attention)}) times {maps}, from its least to its greatest value, over "
        "the picture."
    )
    if any(not found.heat(*one).any() for one in zip(items, chosen, strict=True)):
        yield "A panel of one colour is of a map that is the same everywhere."
    if not attention.shown.words:
        yield "The words are the content words whose attention is least spread."
    told = ", ".join(f"{found.items[i].text} {found.entropy[i]:.3f}" for i in items)
    mean = "words" if textual else "channels, over words,"
    yield (
        f"Entropy over channels, 1 being uniform: {told}; the mean of all {mean} is "
        f"{found.spread:.3f}."
    )
    if min(found.entropy[i] for i in items) >= NEARLY_UNIFORM:
        yield (
            f"That is within {100 * (1 - NEARLY_UNIFORM):.0f} % of uniform: these words hardly "
            "prefer any channel, and the picture says little of what the model uses."
        )
    yield from compared(attention)


def subject(attention: Attention, unit: Unit, source: Source) -> Iterator[str]:
    """Which unit of which model, and which example."""
    yield (
        f"What the MI2P unit at {where_of(unit, source)} attends to in example "
        f"{attention.example} of {source.row.dataset}, {attention.split} split "
        f"(row {source.row.label}, trial {attention.trial_id}, seed {source.seed})."
    )
    if attention.split == "train":
        yield "The model was trained on this example."


def heads_of(attention: Attention) -> str:
    """What is shown of several heads."""
    over = {
        "mean": "the mean over heads",
        "max": "the maximum over heads, which is no distribution",
    }
    return over.get(attention.shown.heads, f"head {attention.shown.heads}")


def compared(attention: Attention) -> Iterator[str]:
    """Whether the model is that of the table."""
    if attention.difference:
        yield (
            "The model is not the table's bit for bit: a probability differs by up to "
            f"{attention.difference:.2g}."
        )
    elif attention.difference is None:
        yield "The trial's predictions are not kept, so the model was not compared with them."


def alternative(
    attention: Attention,
    found: Attended,
    items: Sequence[int],
    chosen: Sequence[tuple[int, ...]],
) -> str:
    """Words and their channels, in a sentence."""
    told = (
        f"{found.items[item].text} with channel {' and '.join(map(str, channels))}"
        for item, channels in zip(items, chosen, strict=True)
    )
    return f"Heat maps over the picture of {attention.example}: {'; '.join(told)}."
