"""CBP and CBGP: compact bilinear pooling of two global features, and the same with a gate.

CBP: Fukui, Park, Yang, Rohrbach, Darrell and Rohrbach, "Multimodal compact bilinear pooling for
visual question answering and visual grounding", EMNLP 2016. A count sketch of x has D entries,

    sketch(x)[j] = sum of s_i x_i over all i with h_i = j,

for buckets h_i in 0..D-1 and signs s_i in {-1, 1} drawn once. The circular convolution of the
sketches of v and t is a sketch of their outer product, so its inner products estimate those of
outer products; by the convolution theorem it is irfft(rfft(sketch(v)) rfft(sketch(t))). Signed
square root, L2 norm, dropout and a linear classifier follow, with D = 16000 and dropout 0.1 in the
authors' code (ours is `head_dropout`, D is `sketch`). It differs in what it is fed, the global
features of trained backbones, and in EPSILON: the gradient of a plain root is infinite at 0.

Buckets and signs are drawn with the weights, from the trial's seed: what seeds vary then includes
them. They are buffers, so a checkpoint keeps them.

CBGP: the paper cites Kiela, Grave, Joulin and Mikolov, "Efficient large-scale multi-modal
classification", AAAI 2018, who gate one modality by the other and combine this with a bilinear
product. No code was published and no formula of a gate with CBP could be found. Two readings:

* `gate_at` "product": the gate is on CBP's result z, g = sigmoid(A B z + b), and g z (element by
  element) is classified. A B has rank 512: a full matrix would have 256 million entries.
* `gate_at` "visual": the gate is theirs, and CBP takes the place of their bilinear product:
  sigmoid(U t) V v, of size 512 and without biases, is pooled with t.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.model_spec import FusionSpec

RANK = 512
"""Rank of the gate on the product; size of the gated visual feature."""
EPSILON = 1e-10
"""Below the square root: its gradient is finite everywhere, and 0 at 0."""


class CountSketch(nn.Module):
    """x (B, width) to its count sketch (B, size), in float32."""

    bucket: Tensor
    sign: Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("bucket", torch.randint(size, (width,)))  # h
        self.register_buffer("sign", torch.randint(2, (width,)) * 2.0 - 1)  # s

    def forward(self, x: Tensor) -> Tensor:
        """The sketch of x (B, width)."""
        signed = x.float() * self.sign
        # In torch's deterministic mode `index_add` is deterministic on a GPU, too; its backward
        # is a gather. A matrix product would need a matrix of width x size.
        return signed.new_zeros(len(x), self.size).index_add(1, self.bucket, signed)


class CompactBilinear(nn.Module):
    """Features (B, width) and (B, other) to their pooled product (B, size), in float32."""

    def __init__(self, width: int, other: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.sketches = nn.ModuleList([CountSketch(width, size), CountSketch(other, size)])

    def product(self, x: Tensor, y: Tensor) -> Tensor:
        """The sketch (B, size) of the outer product of x (B, width) and y (B, other)."""
        # torch.fft has no bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            first, second = (
                torch.fft.rfft(sketch(feature))
                for sketch, feature in zip(self.sketches, (x, y), strict=True)
            )
            found: Tensor = torch.fft.irfft(first * second, n=self.size)
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The product after signed square root and L2 norm."""
        z = self.product(x, y)
        return F.normalize(z.sign() * (z.abs() + EPSILON).sqrt(), dim=-1)


class CBP(nn.Module):
    """Compact bilinear pooling of v (B, dv) and t (B, dt)."""

    def __init__(self, visual_width: int, textual_width: int, spec: FusionSpec) -> None:
        super().__init__()
        self.width = spec.sketch
        self.pool = CompactBilinear(visual_width, textual_width, spec.sketch)

    def forward(self, v: Tensor, t: Tensor) -> Tensor:
        """The joint feature (B, sketch)."""
        pooled: Tensor = self.pool(v, t)
        return pooled


class CBGP(nn.Module):
    """Compact bilinear gated pooling of v (B, dv) and t (B, dt)."""

    def __init__(self, visual_width: int, textual_width: int, spec: FusionSpec) -> None:
        super().__init__()
        self.width = spec.sketch
        self.visual: nn.Linear | None = None
        if spec.gate_at == "visual":
            self.gate: nn.Module = nn.Linear(textual_width, RANK, bias=False)
            self.visual = nn.Linear(visual_width, RANK, bias=False)
            self.pool = CompactBilinear(RANK, textual_width, spec.sketch)
        else:
            self.gate = nn.Sequential(
                nn.Linear(spec.sketch, RANK, bias=False), nn.Linear(RANK, spec.sketch)
            )
            self.pool = CompactBilinear(visual_width, textual_width, spec.sketch)

    def forward(self, v: Tensor, t: Tensor) -> Tensor:
        """The joint feature (B, sketch)."""
        if self.visual is not None:
            pooled: Tensor = self.pool(self.gate(t).sigmoid() * self.visual(v), t)
            return pooled
        z: Tensor = self.pool(v, t)
        gate: Tensor = self.gate(z).sigmoid()
        return gate * z
