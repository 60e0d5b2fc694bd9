"""The MI2P unit in both directions: section 3.3, equations (1) and (2).

Legend: B batch, H heads, dk query/key size and dv value size of one head, m items of a sequence.
Visual map Z: c channels of h x w cells, n = h*w. Textual features T: l words of size d.

Two steps are computed in another order than the paper writes them, because they are linear. It is
the same function, forwards and backwards (tests/models/test_injection.py holds it to the literal
one), without the largest intermediate results:

* "d_q kernels on each channel, then average pooling" needs no convolution. The pooled response of
  a k x k kernel is its product with the k*k *window means* of the channel: the channel's mean seen
  through the kernel's cell, zeros outside the map. B*c*k*k numbers instead of B*c*n*H*dk.
* A product with pooled responses <x, W m> is <W'x, m>: kernels shared by all channels move to the
  textual side, which has far fewer items. So do the values of equation (2): A (Z' W) = (A Z') W.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mi2p.spec import UnitSpec


def window_means(maps: Tensor, kernel: int) -> Tensor:
    """The k*k window means of each channel, row-major over the kernel's cells.

    `maps` is (B, c, h, w), the result (B, c, k*k) in float32. Entry (i, j) is the sum over all
    positions of the zero-padded map shifted by (i - k//2, j - k//2), divided by h*w.
    """
    n = maps.shape[-2] * maps.shape[-1]
    by_row = _shifted_sums(maps, dim=-2, radius=kernel // 2)  # (B, c, w, k)
    by_cell = _shifted_sums(by_row, dim=-2, radius=kernel // 2)  # (B, c, k, k)
    return by_cell.flatten(-2) / n  # (B, c, k*k)


def _shifted_sums(x: Tensor, *, dim: int, radius: int) -> Tensor:
    """Sums over `dim` of x shifted by -radius..radius with zeros shifted in; stacked last.

    One pass over x: a shifted sum is the whole sum without the cells that left the map.
    """
    size = x.shape[dim]
    whole = x.sum(dim, dtype=torch.float32)
    sums = []
    for shift in range(-radius, radius + 1):
        gone = min(abs(shift), size)
        # A positive shift reads cell i + shift: the first `shift` cells are never read.
        start = 0 if shift > 0 else size - gone
        lost = x.narrow(dim, start, gone).sum(dim, dtype=torch.float32)
        sums.append(whole - lost if shift else whole)
    return torch.stack(sums, dim=-1)


class PooledConv(nn.Module):
    """K kernels of k x k on each channel, then average pooling: (B, c, h, w) -> (B, c, K).

    Weights have the layout of the literal convolution they stand for: (K, k*k) when all channels
    share the kernels, (c, K, k*k) when each channel has its own.
    """

    def __init__(
        self, channels: int, num_kernels: int, *, kernel: int, sharing: str, bias: bool
    ) -> None:
        super().__init__()
        self.kernel = kernel
        leading = () if sharing == "shared" else (channels,)
        self.weight = nn.Parameter(torch.empty(*leading, num_kernels, kernel * kernel))
        self.bias = nn.Parameter(torch.empty(*leading, num_kernels)) if bias else None
        bound = 1 / kernel  # torch's rule for a convolution: 1 / sqrt(fan-in of one channel)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, maps: Tensor) -> Tensor:
        """The pooled responses (B, c, K) of maps (B, c, h, w)."""
        means = window_means(maps, self.kernel)  # (B, c, k*k)
        if self.weight.dim() == 2:
            return F.linear(means, self.weight, self.bias)  # (B, c, K)
        pooled = torch.einsum("bcm,ckm->bck", means, self.weight)  # (B, c, K)
        return pooled if self.bias is None else pooled + self.bias

    def factors(self, maps: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Two factors whose products are those of the responses with `other`, head by head.

        `other` is (B, H, m, dk); the result (B, H, c, f) for the maps and (B, H, m, f) for it.
        With shared kernels f is k*k + 1, or k*k without a bias.
        """
        heads = other.shape[1]
        if self.weight.dim() == 3:
            return self(maps).unflatten(-1, (heads, -1)).transpose(1, 2), other
        means = window_means(maps, self.kernel).unsqueeze(1)  # (B, 1, c, k*k)
        folded = other @ self.weight.unflatten(0, (heads, -1))  # (B, H, m, k*k)
        if self.bias is not None:
            offset = other @ self.bias.view(heads, -1, 1)  # (B, H, m, 1)
            means, folded = F.pad(means, (0, 1), value=1.0), torch.cat([folded, offset], -1)
        return means.expand(-1, heads, -1, -1), folded


def _attend(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Tensor | None = None
) -> Tensor:
    """softmax(q k^T scale) v for q (B, H, m, f), k (B, H, m', f), v (B, H, m', e).

    Zeros make f and e equal and a multiple of 8: fused kernels ask for that, and without them the
    backward of 1280 channels is up to 7 times slower on a CPU.
    """
    wanted = v.shape[-1]
    size = -(-max(q.shape[-1], wanted) // 8) * 8
    q, k, v = (F.pad(x, (0, size - x.shape[-1])) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[..., :wanted]


class _Unit(nn.Module):
    """What both directions share: heads, attention, the initialisation, the way out."""

    def __init__(self, spec: UnitSpec, *, value_in: int, wanted: int) -> None:
        """`value_in` features of one attended item become `wanted` features of the result."""
        super().__init__()
        self.heads = spec.heads
        self.scale = 1 / math.sqrt(spec.d_k)
        d_v = math.ceil(wanted / spec.heads)
        self.value = nn.Linear(value_in, spec.heads * d_v, bias=False)
        # Projection in place of the rule on heads (`head_mode`), or after it (`out_projection`).
        projected = spec.heads * d_v != wanted or spec.out_projection
        self.out = nn.Linear(spec.heads * d_v, wanted, bias=False) if projected else None
        self.gate = nn.Parameter(torch.zeros(())) if spec.init == "gate" else None
        if spec.init == "zero_value":
            nn.init.zeros_(self.value.weight)

    def _split(self, x: Tensor) -> Tensor:
        """(B, m, H * size) -> (B, H, m, size)."""
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)

    def _finished(self, heads: Tensor) -> Tensor:
        """Delta of equations (1) and (2): (B, H, m, dv) to (B, m, wanted), heads concatenated."""
        delta = heads.transpose(1, 2).flatten(2)  # (B, m, H * dv)
        if self.out is not None:
            delta = self.out(delta)
        return delta if self.gate is None else self.gate * delta

    def _weights(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """The softmax of equations (1) and (2) made explicit: (B, H, queries, keys)."""
        scores = q @ k.transpose(-1, -2) * self.scale
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(-1)


class VisualUnit(_Unit):
    """Injects words into the channels of a feature map: equation (1), Figure 2(a)."""

    def __init__(self, spec: UnitSpec, *, channels: int, side: int, textual_width: int) -> None:
        """For maps of `channels` x `side` x `side` and words of size `textual_width`."""
        super().__init__(spec, value_in=textual_width, wanted=side * side)
        self.query = PooledConv(
            channels,
            spec.heads * spec.d_k,
            kernel=spec.query_kernel,
            sharing=spec.query_sharing,
            bias=spec.query_bias,
        )
        self.key = nn.Linear(textual_width, spec.heads * spec.d_k, bias=False)

    def forward(self, maps: Tensor, words: Tensor, is_word: Tensor) -> Tensor:
        """Z + Delta Z for maps (B, c, h, w), words T' (B, l, d), is_word (B, l)."""
        q, k = self.query.factors(maps, self._split(self.key(words)))  # (B, H, c|l, f)
        v = self._split(self.value(words))  # (B, H, l, dv)
        mask = is_word[:, None, None, :]
        heads = _attend(q, k, v, scale=self.scale, mask=mask)  # (B, H, c, dv)
        delta = self._finished(heads).view_as(maps)  # (B, c, h, w), rows of cells
        return maps + delta.to(maps.dtype)

    def attention(self, maps: Tensor, words: Tensor, is_word: Tensor) -> Tensor:
        """Weights (B, H, c, l); rows sum to 1 over words and are 0 on padding."""
        q, k = self.query.factors(maps, self._split(self.key(words)))
        return self._weights(q, k, is_word[:, None, None, :])


class TextualUnit(_Unit):
    """Injects the channels of a feature map into words: equation (2), Figure 2(b)."""

    def __init__(self, spec: UnitSpec, *, textual_width: int, channels: int, side: int) -> None:
        """For words of size `textual_width` and maps Z' of `channels` x `side` x `side`."""
        super().__init__(spec, value_in=side * side, wanted=textual_width)
        self.query = nn.Linear(textual_width, spec.heads * spec.d_k, bias=False)
        self.key = PooledConv(
            channels,
            spec.heads * spec.d_k,
            kernel=spec.query_kernel,
            sharing=spec.query_sharing,
            # A bias shared by all keys shifts a row of scores as a whole: softmax removes it.
            bias=spec.query_bias and spec.query_sharing == "per_channel",
        )

    def forward(self, words: Tensor, maps: Tensor) -> Tensor:
        """T + Delta T for words (B, l, d) and maps Z' (B, c, h, w)."""
        k, q = self.key.factors(maps, self._split(self.query(words)))  # (B, H, c|l, f)
        cells = maps.flatten(2).unsqueeze(1).expand(-1, self.heads, -1, -1)  # (B, H, c, n)
        seen = _attend(q, k, cells, scale=self.scale)  # (B, H, l, n)
        per_head = self.value.weight.unflatten(0, (self.heads, -1))  # (H, dv, n)
        delta = self._finished(seen @ per_head.transpose(-1, -2))  # (B, l, d)
        return words + delta.to(words.dtype)

    def attention(self, words: Tensor, maps: Tensor) -> Tensor:
        """Weights (B, H, l, c); rows sum to 1."""
        k, q = self.key.factors(maps, self._split(self.query(words)))
        return self._weights(q, k, None)
