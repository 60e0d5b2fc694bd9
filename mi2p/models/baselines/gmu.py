"""GMU: gated multimodal unit.

Arevalo, Solorio, Montes-y-Gomez and Gonzalez, "Gated multimodal units for information fusion",
ICLR workshop 2017. For two modalities, with global features v and t:

    h_v = tanh(W_v v),  h_t = tanh(W_t t),  z = sigmoid(W_z [v; t]),  h = z h_v + (1 - z) h_t

with products element by element and no biases. The authors' code departs from these equations:
features pass a BatchNorm first, the gate is made of W_v v and W_t t in place of v and t, and the
classifier is two BatchNorm and maxout layers before the linear one. It had to cope with frozen
features of any scale (VGG, word2vec) and be deep enough to learn from them. Here v and t come
from backbones that are trained with it, on which every other fusion has a linear classifier, so
the printed equations are taken and the classifier is dropout and a linear map, too. The size of
h, 512, is the largest that the authors searched.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mi2p.model_spec import FusionSpec

WIDTH = 512
"""Size of h."""


class GMU(nn.Module):
    """The unit: the joint feature h of v (B, dv) and t (B, dt)."""

    def __init__(self, visual_width: int, textual_width: int, spec: FusionSpec) -> None:
        super().__init__()
        self.width = WIDTH
        self.visual = nn.Linear(visual_width, WIDTH, bias=False)
        self.textual = nn.Linear(textual_width, WIDTH, bias=False)
        self.gate = nn.Linear(visual_width + textual_width, WIDTH, bias=False)

    def forward(self, v: Tensor, t: Tensor) -> Tensor:
        """h (B, WIDTH)."""
        of_visual, of_textual = self.visual(v).tanh(), self.textual(t).tanh()  # (B, WIDTH)
        z = self.gate(torch.cat([v, t], dim=-1)).sigmoid()
        h: Tensor = z * of_visual + (1 - z) * of_textual
        return h
