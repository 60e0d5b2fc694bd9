"""Table 6: other pre-trained backbones. `python sweeps/ablation_backbones.py --help`

Rows: each backbone without units, then multimodal expanded (ME): a CNN with units on its four
blocks, which look at the words of the data set's transformer; a transformer with units on all
layers, which look at the map of the data set's CNN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from mi2p.backbones import (
    TEXTUAL,
    TIMM,
    VISUAL,
    TextualCard,
    VisualCard,
    textual_card,
    visual_card,
)
from mi2p.data.protocols import protocol
from mi2p.methods import METHODS, Backbones
from mi2p.options import SweepOptions, data_spec
from mi2p.plan import Plan, PlanRow
from mi2p.table_rows import make_row, path_safe, table_name

PAPER: Mapping[str, str] = MappingProxyType(
    {
        "resnet50": "ResNet-50",
        "xlnet-base-cased": "XLNet",
        "clip_text": "CLIP-Text-Encoder",
        "resnet50_clip": "CLIP-Img-Encoder",
    }
)
"""The backbones of Table 6 in its order, and their names there."""

TINY = ("tiny_resnet", "tiny_xlnet", "tiny_clip_text", "tiny_clip_resnet")
"""The same with random weights and few channels, for --smoke."""


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Table 6: other pre-trained backbones with MI2P units."""

    backbones: tuple[str, ...] = ()
    """Any, such as densenet201 timm:resnet18; none: the paper's four (--smoke: tiny ones)."""
    visual: str | None = None
    """Frozen CNN for transformers. None: the data set's (efficientnet_lite0 or densenet121)."""
    textual: str | None = None
    """Frozen transformer for CNNs. None: the data set's own (minilm or bert-base-uncased)."""

    def __post_init__(self) -> None:
        SweepOptions.__post_init__(self)
        if len(set(self.backbones)) != len(self.backbones):
            raise ValueError(f"--backbones must be distinct, but got {' '.join(self.backbones)}")


def find_card(backbone: str) -> VisualCard | TextualCard:
    """The card of a backbone of either kind; `ValueError` lists the known ones of both."""
    if backbone in TEXTUAL:
        return textual_card(backbone)
    if backbone in VISUAL or backbone.startswith(TIMM):
        return visual_card(backbone)
    known = ", ".join((*VISUAL, *TEXTUAL))
    raise ValueError(f"--backbones: unknown backbone {backbone!r}; known: {known}, {TIMM}NAME")


def pair(options: Options, backbone: str) -> Iterator[PlanRow]:
    """The row of a backbone alone, then that of the expanded one."""
    own, data, card = protocol(options.dataset), data_spec(options), find_card(backbone)
    visual, textual = options.visual or own.visual, options.textual or own.textual
    if isinstance(card, VisualCard):
        of = Backbones(dataset=options.dataset, visual=backbone, textual=textual)
        alone, expanded = METHODS["cnn"], METHODS["me_cnn"]
    else:
        of = Backbones(dataset=options.dataset, visual=visual, textual=backbone)
        alone, expanded = METHODS["bert"], METHODS["me_bert"]
        # CLIP reads 77 word pieces at most. The table tells where its rows read less than others.
        data = replace(data, max_tokens=min(data.max_tokens, card.max_tokens))
    for prefix, mark, method in (("", "", alone), ("ME ", "me-", expanded)):
        yield make_row(
            options,
            data,
            method.model(of),
            key=mark + path_safe(backbone),
            label=prefix + card.title,
            paper=prefix + PAPER[backbone] if backbone in PAPER else "",
        )


def plan(options: Options) -> Plan:
    """The rows of Table 6 and their trials."""
    own = protocol(options.dataset)
    default = TINY if options.smoke else tuple(PAPER)
    backbones = options.backbones or default
    others = () if backbones == default else backbones
    frozen = (options.visual or own.visual, options.textual or own.textual)
    if frozen != (own.visual, own.textual):
        others = (*others, "with", *frozen)
    rows = tuple(row for backbone in backbones for row in pair(options, backbone))
    name = table_name(6, options, others)
    return Plan(name=name, table=6, rows=rows)


if __name__ == "__main__":
    import tyro

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))

    from analysis.table6 import write
    from mi2p.sweep import main

    main(chosen, plan, write)
