"""Makes a process that computes a share of a part's examples do what one process would do.

Nearly all that a model computes for an example depends on no other. BatchNorm does, for it
normalises by all examples of the part, and so does noise, which is drawn for one after another.
Inside `WholePart` both are those of the whole part: statistics are gathered from all processes,
and every process draws the noise of all examples and takes its own. So all stay in step with the
generator, however uneven their shares.

On a CPU the noise has the bits of one process. On a GPU, attention draws its dropout in a fused
kernel when there is one process; that noise then agrees in distribution only.

Functions are intercepted, not modules, because dropout is called as either, and libraries have
classes of their own for BatchNorm. In eval mode, as frozen encoders always are, nothing changes.

Legend: B batch, l words, d width, n heads, c channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary

from mi2p.models.classifier import Classifier
from mi2p.models.textual import XLNet
from mi2p.team import Team


class WholePart(TorchFunctionMode):
    """Inside, training computes with the BatchNorm and the noise of a part of `count` examples.

    `RuntimeError` for noise on what has not this process's share of examples as its first axis.
    What the backward pass computes again must be inside, too: `active` is what it is to enter.
    """

    active: ClassVar[list[WholePart]] = []
    """Those entered, the innermost last: torch takes no mode along into a backward pass."""

    def __init__(self, team: Team, count: int) -> None:
        super().__init__()
        self.team, self.count, self.share = team, count, team.share(count)
        self.replaced: Mapping[Any, Callable[..., Any]] = {
            F.dropout: self.dropout,
            F.scaled_dot_product_attention: self.attention,
            F.batch_norm: self.batch_norm,
            dropout_along: self.dropout,
            torch.rand: self.rand,
            Tensor.bernoulli_: self.bernoulli_,
        }

    def __enter__(self) -> Self:
        self.active.append(self)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.active.pop()

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return self.replaced.get(function, function)(*args, **(kwargs or {}))

    def dropout(
        self,
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        *,
        axis: int = 0,
    ) -> Tensor:
        """`F.dropout`, with examples along `axis`."""
        if not training:
            return input
        noise = self._of_share(F.dropout(self._of_all(input.detach(), 1.0, axis), p), input, axis)
        return input.mul_(noise) if inplace else input * noise

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        """`F.scaled_dot_product_attention` of query (B, n, l, d), key and value.

        In the open where there is dropout: no kernel takes noise that is given.
        """
        if not dropout_p:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, **options
            )
        scores = query @ key.transpose(-2, -1) * (options.get("scale") or query.shape[-1] ** -0.5)
        if is_causal:
            attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self.dropout(scores.softmax(-1), dropout_p) @ value

    def rand(self, *size: Any, **options: Any) -> Tensor:
        """`torch.rand` for examples: (B, ...)."""
        (rows, *rest) = size
        self._check(rows)
        return torch.rand(self.count, *rest, **options)[self.share]

    def bernoulli_(self, input: Tensor, *args: Any, **options: Any) -> Tensor:
        """`Tensor.bernoulli_` for examples, as stochastic depth draws it."""
        drawn = self._of_all(input, 0.0).bernoulli_(*args, **options)
        return input.copy_(self._of_share(drawn, input))

    def batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """`F.batch_norm` of (B, c, ...)."""
        if not training:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, False, momentum, eps
            )
        out, mean, variance = _BatchNorm.apply(input, weight, bias, eps, self.team)
        with torch.no_grad():
            for running, now in ((running_mean, mean), (running_var, variance)):
                if running is not None:
                    running.mul_(1 - momentum).add_(now, alpha=momentum)
        normalised: Tensor = out
        return normalised

    def _of_all(self, share: Tensor, value: float, axis: int = 0) -> Tensor:
        """`value` in the shape of `share` with all examples, laid out in the same order."""
        self._check(share.shape[axis])
        dense = torch.empty_like(share)  # has no axis of stride 0, and is laid out as noise is
        order = sorted(range(share.dim()), key=dense.stride, reverse=True)
        shape = list(share.shape)
        shape[axis] = self.count
        laid_out = share.new_full([shape[at] for at in order], value)
        return laid_out.permute([order.index(at) for at in range(share.dim())])

    def _of_share(self, whole: Tensor, like: Tensor, axis: int = 0) -> Tensor:
        return whole.narrow(axis, self.share.start, like.shape[axis])

    def _check(self, rows: int) -> None:
        own = self.share.stop - self.share.start
        if rows != own:
            raise RuntimeError(
                f"noise must be drawn for this process's share of examples, {own} of "
                f"{self.count}, but the tensor has {rows}"
            )


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation by the examples of all processes of a team.

    torch's SyncBatchNorm does the same, on GPUs only.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, team: Team
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The normalised input (B, c, ...), the mean (c,) and the unbiased variance (c,)."""
        x = input.float()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        own = x.mean(axes)  # (c,)
        squares = (x - _wide(own, x)).square().sum(axes)  # not E(x^2) - E(x)^2, which cancels
        count = own.new_full((1,), x.numel() / len(own))
        means, spreads, counts = team.gather(torch.cat([own, squares, count])).split(
            [len(own), len(own), 1], 1
        )
        whole = counts.sum()
        mean = (means * counts).sum(0) / whole
        spread = (spreads + counts * (means - mean).square()).sum(0)
        inverse = (spread / whole + eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        out = (x - _wide(mean, x)) * _wide(scale, x)
        if bias is not None:
            out = out + _wide(bias, x)
        ctx.save_for_backward(input, weight, mean, inverse, whole)
        ctx.axes, ctx.team = axes, team
        variance = spread / (whole - 1)
        ctx.mark_non_differentiable(mean, variance)
        return out.to(input.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, mean, inverse, whole = ctx.saved_tensors
        x, gradient = input.float(), gradients[0].float()
        normal = (x - _wide(mean, x)) * _wide(inverse, x)
        of_bias, of_weight = gradient.sum(ctx.axes), (gradient * normal).sum(ctx.axes)
        # Those of the parameters are added up with all others; the input of each process moves
        # the statistics of all.
        sums = ctx.team.add_up(torch.stack([of_bias, of_weight])) / whole
        scale = inverse if weight is None else inverse * weight
        of_input = (gradient - _wide(sums[0], x) - normal * _wide(sums[1], x)) * _wide(scale, x)
        return (
            of_input.to(input.dtype),
            None if weight is None else of_weight,
            of_bias if ctx.needs_input_grad[2] else None,
            None,
            None,
        )


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Values (c,) to be broadcast over (B, c, ...)."""
    return values.view(1, -1, *[1] * (like.dim() - 2))


def dropout_along(input: Tensor, p: float, training: bool, *, axis: int) -> Tensor:
    """`F.dropout` that tells `WholePart` which axis the examples are along."""
    if has_torch_function_unary(input):
        out: Tensor = handle_torch_function(dropout_along, (input,), input, p, training, axis=axis)
        return out
    return F.dropout(input, p, training)


def name_batch_axes(model: Classifier) -> None:
    """Let dropout in trained backbones say which axis the examples are along, if not the first.

    XLNet's states are (l, B, d), its attention (B, n, l, l).
    """
    for backbone in model.backbones().values():
        if isinstance(backbone, XLNet):
            for module in backbone.modules():
                if isinstance(module, nn.Dropout):
                    module.forward = partial(_time_major, module)  # type: ignore[method-assign]


def _time_major(module: nn.Dropout, input: Tensor) -> Tensor:
    axis = 1 if input.dim() == 3 else 0
    return dropout_along(input, module.p, module.training, axis=axis)
