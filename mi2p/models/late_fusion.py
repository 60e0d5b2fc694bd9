"""Late fusion of a CNN and a transformer, plain or multimodal expanded (section 3.4).

Both branches are trained jointly with whatever fuses their global features. The paper's Score
Fusion of unimodal models is not trained jointly: it averages the predictions of two trials
(`mi2p.averages`).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mi2p.model_spec import FusionSpec, Modality
from mi2p.models.classifier import Batch, Classifier, Head
from mi2p.models.expanded import GIVES, TextualBranch, VisualBranch
from mi2p.models.frozen import Frozen
from mi2p.models.fusion import FEATURE_FUSIONS, average_scores


class LateFusion(Classifier):
    """Two branches and what makes one prediction of them.

    Features are fused to one joint feature, which a classifier reads, unless scores are fused.
    A classifier on each branch is there where scores are fused or its loss is asked for.
    """

    def __init__(
        self,
        visual: VisualBranch,
        textual: TextualBranch,
        spec: FusionSpec,
        num_classes: int,
        *,
        multilabel: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.visual, self.textual, self.spec = visual, textual, spec
        self.multilabel = multilabel
        self.fusion: nn.Module | None = None
        self.head: Head | None = None
        if spec.kind != "score":
            self.fusion = FEATURE_FUSIONS[spec.kind](visual.width, textual.width, spec)
            self.head = Head(self.fusion.width, num_classes, dropout)
        self.heads = nn.ModuleList()
        if spec.kind == "score" or spec.joint_loss != "fused":
            widths = (visual.width, textual.width)
            self.heads.extend(Head(width, num_classes, dropout) for width in widths)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K) of the fused prediction."""
        return self._fused(*self._features(batch))[0]

    def supervised(self, batch: Batch) -> tuple[Tensor, ...]:
        """The fused logits, those of the branches, or all three, as `joint_loss` says."""
        features = self._features(batch)
        fused, branches = self._fused(*features)
        if self.spec.joint_loss == "fused":
            return (fused,)
        return branches if self.spec.joint_loss == "branches" else (fused, *branches)

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.visual(batch), self.textual(batch)  # (B, dv), (B, dt)

    def _fused(self, v: Tensor, t: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Fused logits (B, K), and those of the classifiers on the branches, if there are any."""
        branches = tuple(head(x) for head, x in zip(self.heads, (v, t), strict=False))
        if self.fusion is not None and self.head is not None:
            return self.head(self.fusion(v, t)), branches
        fused = average_scores(*branches, space=self.spec.score_space, multilabel=self.multilabel)
        return fused, branches

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {"visual": self.visual.backbone, "textual": self.textual.backbone}

    def units(self) -> Mapping[Modality, nn.ModuleDict]:
        return {"visual": self.visual.units, "textual": self.textual.units}

    def externals(self) -> Mapping[str, Frozen]:
        found = {GIVES[b.modality]: b.external for b in (self.visual, self.textual)}
        return {kind: external for kind, external in found.items() if external is not None}
