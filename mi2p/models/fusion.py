"""Late fusion of two branches: of their scores, or of their global features (section 3.4).

Legend: B batch, K classes, dv and dt the widths of the global features v and t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.model_spec import FusionSpec
from mi2p.models.baselines.compact_bilinear import CBGP, CBP
from mi2p.models.baselines.gmu import GMU

SHARED_WIDTH = 100
"""K of cross-attention: the size of each modality where one gates the other."""


def average_scores(
    *branches: Tensor, space: Literal["probabilities", "logits"], multilabel: bool
) -> Tensor:
    """Fused logits (B, K), in float32, of the logits (B, K) of each branch.

    Their softmax (sigmoid if `multilabel`) is the mean p of the branches' probabilities: they are
    log p, or log p - log(1 - p). Probabilities themselves are never formed, so neither the result
    nor its gradient overflows at any finite logit. In `space` "logits" it is the plain mean.
    """
    logits = torch.stack([branch.float() for branch in branches])  # (n, B, K)
    if space == "logits":
        return logits.mean(0)
    if multilabel:  # both logarithms lack the same log n
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)
    return logits.log_softmax(-1).logsumexp(0) - math.log(len(branches))


class Concat(nn.Module):
    """Feature concatenation: [v; t]."""

    def __init__(self, visual_width: int, textual_width: int, spec: FusionSpec) -> None:
        super().__init__()
        self.width = visual_width + textual_width

    def forward(self, v: Tensor, t: Tensor) -> Tensor:
        """The joint feature (B, dv + dt) of v (B, dv) and t (B, dt)."""
        return torch.cat([v, t], dim=-1)


class CrossAttention(nn.Module):
    """Cross-attention: each modality is filtered by a gate made of the other.

    Abavisani, Wu, Hu, Tetreault and Jaimes, "Multimodal categorization of crisis events in social
    media", CVPR 2020. With matrices P, Q, V, T, F, C:

        v~ = relu(BN(P v)), t~ = relu(BN(Q t)), g_v = sigmoid(V v + b), g_t = sigmoid(T t + c),
        logits = C dropout(relu(BN(F [g_t v~; g_v t~]))) + d,

    products element by element, v~ and t~ of size 100, F square.

    The authors published no code. A reproduction by others had to decide what is repeated here:
    the text gates each modality by the other, the printed equation (4) by itself (`gates` "own":
    [g_v v~; g_t t~]); the text is believed, after which the method is named. "Self-attention in
    the fully connected networks" is read as the layer F. BatchNorm before each relu is theirs.

    It differs from that reproduction. Biases before a BatchNorm are left out: it removes them. v
    is the last map's mean, not the scores of the 1000 classes of ImageNet. Dropout is at the
    given rate and before the classifier alone, not on v and t and not in evaluation.
    """

    def __init__(self, visual_width: int, textual_width: int, spec: FusionSpec) -> None:
        super().__init__()
        self.width = 2 * SHARED_WIDTH
        self.cross = spec.gates == "cross"
        self.visual = _projection(visual_width, SHARED_WIDTH)
        self.textual = _projection(textual_width, SHARED_WIDTH)
        self.visual_gate = nn.Linear(visual_width, SHARED_WIDTH)  # made of v
        self.textual_gate = nn.Linear(textual_width, SHARED_WIDTH)
        self.connected = _projection(self.width, self.width)

    def forward(self, v: Tensor, t: Tensor) -> Tensor:
        """The joint feature (B, 200) of v (B, dv) and t (B, dt)."""
        of_visual, of_textual = self.visual_gate(v).sigmoid(), self.textual_gate(t).sigmoid()
        gates = (of_textual, of_visual) if self.cross else (of_visual, of_textual)
        joint = torch.cat([gates[0] * self.visual(v), gates[1] * self.textual(t)], dim=-1)
        connected: Tensor = self.connected(joint)
        return connected


def _projection(width: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, wanted, bias=False), nn.BatchNorm1d(wanted), nn.ReLU())


FEATURE_FUSIONS: Mapping[str, type[Concat | CrossAttention | GMU | CBP | CBGP]] = {
    "concat": Concat,
    "cross_attention": CrossAttention,
    "gmu": GMU,
    "cbp": CBP,
    "cbgp": CBGP,
}
"""By `FusionSpec.kind`: modules of (dv, dt, spec); the joint feature (B, `width`) of v and t."""
