"""PixelBERT: Huang et al., "Pixel-BERT: Aligning Image Pixels with Text by Deep Multi-Modal
Transformers", 2020.

BERT reads `[CLS] w_1 ... w_n [SEP] p_1 ... p_m`: the text as it is, then the *pixels*, the cells
of the CNN's last map after a 2x2 max pooling: p_i = W f_i + s_v. The vector s_v is learned and
the same for all pixels (here the bias of the linear map); it tells them from words. The feature
of the whole sequence is classified.

No weights of PixelBERT were published. Without its pretraining on pairs of images and texts this
is an early fusion of a CNN and a BERT that were pretrained apart, and no more should be read from
its results.

Decided here:

* Pixels have no positions, as in the paper. BertModel adds a position, a segment and a layer
  norm to all it reads; all pixels get position 0 and segment 1, which is one more constant
  beside s_v, and the layer norm brings the CNN's features to the scale of words.
* A map of odd side keeps its last row and column: windows at the border are smaller, and a map of
  one cell stays as it is.
* In training at most 100 pixels are read, drawn anew for each image and step; in evaluation all.
  The paper draws them in pretraining, to generalise and to save time. Only images of more than
  640 px a side have so many.
* Images are of the sweep's size (theirs: 800 px and more), the CNN is the sweep's, and training is
  that of all methods (section 4.2).

Legend: B batch, l words, d width, c' channels, h x w cells, m pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mi2p.models.baselines.joint_sequence import JointBert, Part

MOST_PIXELS = 100
"""In training."""


class PixelBERT(JointBert):
    """The words, then the cells of the CNN's last map."""

    def image_features(self, maps: Tensor) -> Tensor:
        """Pixels (B, m, c'), in training at most `MOST_PIXELS` of them."""
        pooled = F.max_pool2d(maps, 2, ceil_mode=True)  # (B, c', h/2, w/2), rounded up
        pixels = pooled.flatten(2).transpose(1, 2)  # (B, m, c')
        return sampled(pixels, MOST_PIXELS) if self.training else pixels

    def sequence(self, image: Tensor, tokens: Tensor, is_word: Tensor) -> Sequence[Part]:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return (
            Part(embedded=self.embedded(tokens), present=is_word, positions=places, segment=0),
            Part(
                embedded=image,
                present=is_word.new_ones(image.shape[:2]),
                positions=places.new_zeros(image.shape[1]),
                segment=1,
            ),
        )


def sampled(pixels: Tensor, most: int) -> Tensor:
    """At most `most` of the pixels (B, m, c') of each image, in random order.

    Without replacement and from torch's global generator, which is left alone if all are kept.
    Their order does not matter to a transformer without positions.
    """
    count, m = pixels.shape[:2]
    if m <= most:
        return pixels
    kept = torch.rand(count, m, device=pixels.device).argsort(1)[:, :most]  # (B, most)
    rows = torch.arange(count, device=pixels.device)[:, None]
    return pixels[rows, kept]  # (B, most, c')
