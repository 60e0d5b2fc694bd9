"""The 18 methods of Tables 3 and 4: what each is a model of, and the plans of both tables.

Tables 5 and 6 take their models without units, and with units at every tap, from here, so that
all tables share these trials. Imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from mi2p.backbones import textual_card, visual_card
from mi2p.data.protocols import PROTOCOLS, protocol
from mi2p.model_spec import LATE_FUSIONS
from mi2p.options import BackboneOptions, data_spec, on_dataset
from mi2p.plan import Plan, PlanRow
from mi2p.spec import FusionSpec, ModelSpec
from mi2p.table_rows import make_row, me_bert, me_cnn, table_name

Group = Literal["unimodal", "fusion", "multimodal BERT", "expanded"]


@dataclass(frozen=True, kw_only=True)
class Backbones:
    """What the methods of one table are built of."""

    dataset: str
    visual: str
    textual: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of Tables 3 and 4."""

    paper: str
    """Its name there."""
    group: Group
    model: Callable[[Backbones], ModelSpec]
    averages: tuple[str, ...] = ()
    """Keys of methods before it whose predictions are averaged; it is not trained then."""

    def label(self, backbones: Backbones) -> str:
        """As our tables print it: the paper's name, with our backbones in place of its own."""
        titles = {
            "DenseNet": visual_card(backbones.visual).title,
            "BERT": textual_card(backbones.textual).title,
        }
        prefix, _, name = self.paper.partition(" ")
        if prefix in ("Unimodal", "ME") and name in titles:
            return f"{prefix} {titles[name]}"
        # [16] is ViLT, which the paper calls by the name of its architecture.
        return "ViLT" if self.paper == "ViT" else self.paper


def _cnn(of: Backbones) -> ModelSpec:
    return ModelSpec(name="cnn", visual=of.visual)


def _bert(of: Backbones) -> ModelSpec:
    return ModelSpec(name="bert", textual=of.textual)


def _me_cnn(of: Backbones) -> ModelSpec:
    every = tuple(range(1, visual_card(of.visual).num_taps + 1))
    return me_cnn(of.dataset, visual=of.visual, textual=of.textual, attach=every)


def _me_bert(of: Backbones) -> ModelSpec:
    every = tuple(range(1, textual_card(of.textual).num_taps + 1))
    return me_bert(of.dataset, visual=of.visual, textual=of.textual, attach=every)


def _fusion(spec: FusionSpec) -> Callable[[Backbones], ModelSpec]:
    return lambda of: ModelSpec(name="fusion", visual=of.visual, textual=of.textual, fusion=spec)


def _me_fusion(spec: FusionSpec) -> Callable[[Backbones], ModelSpec]:
    return lambda of: ModelSpec(
        name="me_fusion",
        visual=of.visual,
        textual=of.textual,
        units=_me_cnn(of).units,
        textual_units=_me_bert(of).units,
        fusion=spec,
    )


def _early(name: Literal["centralnet", "mmbt", "pixelbert"]) -> Callable[[Backbones], ModelSpec]:
    return lambda of: ModelSpec(name=name, visual=of.visual, textual=of.textual)


PRETRAINED_WITH = "bert-base-uncased"
"""The transformer that VisualBERT and ViLT have the sizes and the vocabulary of.

Beside another one they start from its weights and have seen no images.
"""


def _visualbert(of: Backbones) -> ModelSpec:
    if of.textual != PRETRAINED_WITH:
        return ModelSpec(name="visualbert", visual=of.visual, textual=of.textual)
    # The checkpoint was pretrained on 2048 channels, more than a DenseNet-121 has.
    wanted = textual_card("visualbert-vqa-coco-pre").visual_width
    fits = visual_card(of.visual).last_channels == wanted
    visual = of.visual if fits else "resnet50"
    return ModelSpec(name="visualbert", visual=visual, textual="visualbert-vqa-coco-pre")


def _vilt(of: Backbones) -> ModelSpec:
    pretrained = of.textual == PRETRAINED_WITH
    return ModelSpec(name="vilt", textual="vilt-b32-mlm" if pretrained else of.textual)


_SCORE, _CONCAT, _CROSS = (LATE_FUSIONS[k] for k in ("score", "concat", "cross_attention"))

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "cnn": Method(paper="Unimodal DenseNet", group="unimodal", model=_cnn),
        "bert": Method(paper="Unimodal BERT", group="unimodal", model=_bert),
        "score_fusion": Method(
            paper="Score Fusion",
            group="fusion",
            model=_fusion(FusionSpec(kind="score", joint_loss="branches")),
            averages=("cnn", "bert"),
        ),
        "feature_concat": Method(paper="Feature Concat", group="fusion", model=_fusion(_CONCAT)),
        "cross_attention": Method(paper="Cross-attention", group="fusion", model=_fusion(_CROSS)),
        "centralnet": Method(paper="CentralNet", group="fusion", model=_early("centralnet")),
        "gmu": Method(paper="GMU", group="fusion", model=_fusion(FusionSpec(kind="gmu"))),
        "cbp": Method(paper="CBP", group="fusion", model=_fusion(FusionSpec(kind="cbp"))),
        "cbgp": Method(paper="CBGP", group="fusion", model=_fusion(FusionSpec(kind="cbgp"))),
        "mmbt": Method(paper="MMBT", group="multimodal BERT", model=_early("mmbt")),
        "visualbert": Method(paper="VisualBERT", group="multimodal BERT", model=_visualbert),
        "pixelbert": Method(paper="PixelBERT", group="multimodal BERT", model=_early("pixelbert")),
        "vilt": Method(paper="ViT", group="multimodal BERT", model=_vilt),
        "me_cnn": Method(paper="ME DenseNet", group="expanded", model=_me_cnn),
        "me_bert": Method(paper="ME BERT", group="expanded", model=_me_bert),
        "me_score_fusion": Method(
            paper="ME Score Fusion", group="expanded", model=_me_fusion(_SCORE)
        ),
        "me_feature_concat": Method(
            paper="ME Feature Concat", group="expanded", model=_me_fusion(_CONCAT)
        ),
        "me_cross_attention": Method(
            paper="ME Cross-attention", group="expanded", model=_me_fusion(_CROSS)
        ),
    }
)
"""In the order of the tables' rows, by the keys that `--rows` takes."""

TINY = ("tiny_densenet", "tiny_bert")
"""Random weights and few channels, for --smoke."""


def compare(options: BackboneOptions, table: int, groups: Mapping[str, tuple[str, ...]]) -> Plan:
    """Every method on each data set that `options.dataset` names: the plan of Table 3 or 4.

    It is a name of `groups` or of one data set; `ValueError` lists both.
    """
    names = _datasets(options.dataset, groups)
    rows = tuple(row for name in names for row in _method_rows(on_dataset(options, name, names)))
    first = replace(options, dataset=names[0])
    chosen, default = _backbones(first), _backbones(replace(first, visual=None, textual=None))
    others = () if chosen == default else (chosen.visual, chosen.textual)
    # One data set by whatever name is one table.
    named = options if len(names) > 1 else first
    return Plan(name=table_name(table, named, others), table=table, rows=rows)


def _datasets(asked: str, groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if asked in groups:
        return groups[asked]
    if asked not in PROTOCOLS:
        told = (f"{name} ({', '.join(members)})" for name, members in groups.items())
        raise ValueError(
            f"--dataset must be {', '.join(told)}, or one of {', '.join(PROTOCOLS)}, "
            f"but got {asked!r}"
        )
    return (asked,)


def _backbones(options: BackboneOptions) -> Backbones:
    own = protocol(options.dataset)
    visual, textual = TINY if options.smoke else (own.visual, own.textual)
    return Backbones(
        dataset=options.dataset,
        visual=options.visual or visual,
        textual=options.textual or textual,
    )


def _method_rows(options: BackboneOptions) -> Iterable[PlanRow]:
    """A row per method on one data set."""
    backbones, data = _backbones(options), data_spec(options)
    if options.max_tokens is None:
        # All methods read the same words, no more than the transformer of the table takes.
        longest = textual_card(backbones.textual).max_tokens
        data = replace(data, max_tokens=min(data.max_tokens, longest))
    made: dict[str, PlanRow] = {}
    for key, method in METHODS.items():
        made[key] = make_row(
            options,
            data,
            method.model(backbones),
            key=key,
            label=method.label(backbones),
            paper=method.paper,
            averages=tuple(made[part] for part in method.averages),
        )
    return made.values()
