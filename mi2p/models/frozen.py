"""The frozen external encoders, whose features have the same bits wherever they are computed.

The sums inside a network may be taken in another order for another batch shape. Here every call
of an encoder has the same number of rows (the last are repeated where they do not suffice) and of
words (padding is added), so an example's features do not depend on which others it came with:
those of a store and those computed in a training step agree bit for bit on one device.

Legend: B batch, l words, d width, c' channels, h' x w' cells, S image side.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS = 32
"""Examples in every call of an encoder."""
FEATURE_TYPES = {"float32": torch.float32, "float16": torch.float16}
"""What `DataSpec.features` names."""


class Frozen(nn.Module):
    """An encoder that is never trained (drawn in blue in Figure 1), features in `dtype`.

    It stays in eval mode: BatchNorm statistics would move in train mode even without gradients.
    """

    def __init__(
        self, encoder: nn.Module, dtype: torch.dtype = torch.float32, *, max_tokens: int = 0
    ) -> None:
        """Texts are padded to `max_tokens` before they are encoded, and cut again after that."""
        super().__init__()
        self.encoder, self.dtype, self.max_tokens = encoder, dtype, max_tokens
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    @torch.no_grad()
    def words(self, tokens: Tensor, is_word: Tensor) -> Tensor:
        """T' (B, l, d) of tokens, is_word (B, l)."""
        length = tokens.shape[1]
        missing = (0, max(0, self.max_tokens - length))
        found = self._in_equal_calls(F.pad(tokens, missing), F.pad(is_word, missing))
        return found[:, :length]

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """Z' (B, c', h', w') of images (B, 3, S, S)."""
        found = self._in_equal_calls(images.contiguous(memory_format=torch.channels_last))
        return found.contiguous()  # as a store has them

    def _in_equal_calls(self, *inputs: Tensor) -> Tensor:
        count = len(inputs[0])
        missing = -count % ROWS
        whole = [torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) for x in inputs]
        calls = zip(*(x.split(ROWS) for x in whole), strict=True)
        # Without autocast: a store must not depend on the precision that a trial trains in.
        with torch.autocast(inputs[0].device.type, enabled=False):
            features = torch.cat([self.encoder(*call) for call in calls])
        return features[:count].to(self.dtype)
