"""What a model is built of: its backbones, its units, and how two modalities are fused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mi2p.backbones import textual_card, visual_card
from mi2p.fields import Fields, later
from mi2p.legality import require

Modality = Literal["visual", "textual"]
BOTH: tuple[Modality, ...] = ("visual", "textual")


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSpec(Fields):
    """The MI2P units of section 3.3; a default is the paper's reading where it gives one."""

    attach: tuple[int, ...]
    """Taps that carry a unit, from 1, increasing: (1, 2, 3, 4) is the paper's {1-4}."""
    heads: int = 8
    """h: attention heads; `h * d_v = h^k w^k` (visual) or `h * d_v = d` (textual)."""
    head_mode: Literal["strict", "project"] = "strict"
    """`project` lifts the rule on heads: values of size ceil(hw/h), then a linear map to h*w."""
    d_k: int = 64
    """Query and key size of one head."""
    query_kernel: Literal[1, 3, 5, 7] = 3
    """Side of the convolution on each visual channel, zero-padded to keep the size."""
    query_sharing: Literal["shared", "per_channel"] = "shared"
    """Whether all channels of a map use the same kernels."""
    query_bias: bool = True
    init: Literal["default", "zero_value", "gate"] = "default"
    """`zero_value`: the value projection starts at 0; `gate`: a learned scalar starts at 0."""
    out_projection: bool = False
    """A linear map after the concatenation of heads, as in a transformer; the paper has none."""
    lr_multiplier: float = 1.0
    """Learning rate of the units over that of the backbone."""

    def _check(self) -> None:
        require(len(self.attach) > 0, "attach names at least one tap", attach=self.attach)
        require(
            list(self.attach) == sorted(set(self.attach)) and self.attach[0] >= 1,
            "attach is increasing and starts at 1 or later",
            attach=self.attach,
        )
        require(self.heads >= 1, "heads >= 1", heads=self.heads)
        require(self.d_k >= 1, "d_k >= 1", d_k=self.d_k)
        require(self.lr_multiplier > 0, "lr_multiplier > 0", lr_multiplier=self.lr_multiplier)


FUSION_TAKERS: Mapping[str, tuple[str, ...]] = {
    "score_space": ("score",),
    "gates": ("cross_attention",),
    "sketch": ("cbp", "cbgp"),
    "gate_at": ("cbgp",),
}
"""Options of `FusionSpec` that only some kinds have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionSpec(Fields):
    """How the global features of a CNN and a transformer become one prediction (section 3.4)."""

    kind: Literal["score", "concat", "cross_attention", "gmu", "cbp", "cbgp"]
    """Score, feature concatenation, cross-attention; of the baselines, those of two features."""
    joint_loss: Literal["fused", "fused+branches", "branches"] = "fused"
    """Predictions whose losses are summed in training: the fused one, those of a classifier on
    each branch, or all three. `branches` is for scores alone: nothing else would learn. Of scores,
    Tables 3 and 4 train all three, so that not only the mean is supervised."""
    score_space: Literal["probabilities", "logits"] = "probabilities"
    """`score`: what is averaged."""
    gates: Literal["cross", "own"] = "cross"
    """`cross_attention`: a modality is gated by the other, or by itself (as [1] prints it)."""
    sketch: int = 16000
    """`cbp`, `cbgp`: size of the count sketches."""
    gate_at: Literal["product", "visual"] = "product"
    """`cbgp`: what the gate is on: the bilinear product, or the visual feature before it."""

    def _check(self) -> None:
        require(self.sketch >= 2, "sketch >= 2", sketch=self.sketch)
        require(
            self.joint_loss != "branches" or self.kind == "score",
            "joint_loss 'branches' is for kind 'score'",
            joint_loss=self.joint_loss,
            kind=self.kind,
        )
        for option, takers in FUSION_TAKERS.items():
            default = type(self).__dataclass_fields__[option].default
            if getattr(self, option) != default and self.kind not in takers:
                raise ValueError(
                    f"`{option}` is an option of {', '.join(takers)}, but the fusion is "
                    f"{self.kind!r}"
                )


LATE_FUSIONS: Mapping[str, FusionSpec] = MappingProxyType(
    {
        "concat": FusionSpec(kind="concat"),
        "cross_attention": FusionSpec(kind="cross_attention"),
        "score": FusionSpec(kind="score", joint_loss="fused+branches"),
    }
)
"""The paper's three by their kind, as they are trained: the rows of Tables 3 and 4."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What the models of one name have in common."""

    trains: tuple[Modality, ...]
    """The modalities whose pretrained backbone is trained."""
    frozen: tuple[Literal["words", "maps"], ...] = ()
    """Features of frozen encoders it reads: T' of the transformer, Z' of the CNN."""
    units: bool = False
    fusion: bool = False
    patches: bool = False
    """Reads images without a CNN."""


TRAITS: Mapping[str, Traits] = {
    "cnn": Traits(trains=("visual",)),
    "bert": Traits(trains=("textual",)),
    "me_cnn": Traits(trains=("visual",), frozen=("words",), units=True),
    "me_bert": Traits(trains=("textual",), frozen=("maps",), units=True),
    "fusion": Traits(trains=BOTH, fusion=True),
    "me_fusion": Traits(trains=BOTH, frozen=("words", "maps"), units=True, fusion=True),
    "centralnet": Traits(trains=BOTH),
    "mmbt": Traits(trains=BOTH),
    "pixelbert": Traits(trains=BOTH),
    "visualbert": Traits(trains=("textual",), frozen=("maps",)),
    "vilt": Traits(trains=("textual",), patches=True),
}
"""By the keys of `mi2p.models.MODELS`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec(Fields):
    """A key of `mi2p.models.MODELS` and what it is built of; what it has not is None."""

    name: Literal[
        "cnn",
        "bert",
        "me_cnn",
        "me_bert",
        "fusion",
        "me_fusion",
        "centralnet",
        "mmbt",
        "pixelbert",
        "visualbert",
        "vilt",
    ]
    visual: str | None = None
    textual: str | None = None
    units: UnitSpec | None = None
    """Units of the one trained backbone, or of the CNN where both are trained."""
    head_dropout: float = 0.1
    """Dropout before the classifier; the paper is silent."""
    textual_units: UnitSpec | None = later(None)
    """Units of the transformer where both are trained."""
    fusion: FusionSpec | None = later(None)

    @property
    def traits(self) -> Traits:
        """What models of this name have in common."""
        return TRAITS[self.name]

    @property
    def trains(self) -> tuple[Modality, ...]:
        """The modalities whose backbone is trained."""
        return self.traits.trains

    @property
    def frozen(self) -> tuple[Literal["words", "maps"], ...]:
        """The features of frozen encoders that it reads."""
        return self.traits.frozen

    @property
    def reads_images(self) -> bool:
        """Whether something that is trained reads the images themselves."""
        return "visual" in self.trains or self.traits.patches

    def units_of(self, modality: Modality) -> UnitSpec | None:
        """The units in the backbone of a modality."""
        if modality not in self.trains:
            return None
        return self.textual_units if self.trains == BOTH and modality == "textual" else self.units

    def _check(self) -> None:
        traits = self.traits
        needed = {
            "visual": "visual" in traits.trains or "maps" in traits.frozen,
            "textual": "textual" in traits.trains or "words" in traits.frozen,
            "units": traits.units,
            "textual_units": traits.units and traits.trains == BOTH,
            "fusion": traits.fusion,
        }
        for part, wanted in needed.items():
            if (getattr(self, part) is not None) != wanted:
                # One way to say a thing: a unimodal model named in two ways would get two ids.
                verb = "needs" if wanted else "has no"
                raise ValueError(
                    f"model {self.name!r} {verb} `{part}`, got {getattr(self, part)!r}"
                )
        if self.visual is not None:
            visual_card(self.visual)
        if self.textual is not None:
            textual_card(self.textual)
        require(
            0 <= self.head_dropout < 1, "0 <= head_dropout < 1", head_dropout=self.head_dropout
        )
