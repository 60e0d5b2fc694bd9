"""MMBT: Kiela et al., "Supervised Multimodal Bitransformers for Classifying Images and Text",
2019.

BERT, pretrained on texts alone, reads

    [CLS] i_1 ... i_N [SEP]      segment 0, positions 0 to N + 1
    w_1 ... w_n                  segment 1, positions 0 to n - 1

with i_k = W f_k + b, where f_k are the CNN's last map averaged over N = 3 equal bands of rows:
the authors' AdaptiveAvgPool to a (3, 1) grid. The feature of the whole sequence is classified.

As in the authors' code, the text has no [CLS] and no [SEP] of its own. Those that our tokenizers
put around it become the sequence's: the first of the image part and the last of it. Positions of
the text restart at 0, so it may be as long as BERT's own texts; the authors cut it by N.

Decided here: the CNN is that of the sweep (theirs is a ResNet-152), dropout before the classifier
is that of all methods (theirs has none), and so is training: the authors' schedule, which freezes
the CNN for 3 and BERT for 5 epochs, their BertAdam with warm-up and their class weights on
MM-IMDB are not reproduced, for all methods are to be trained alike (section 4.2).

Legend: B batch, l words, d width, c' channels, h x w cells, N image tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mi2p.models.baselines.joint_sequence import JointBert, Part
from mi2p.models.textual import last_word

IMAGE_TOKENS = 3
"""N."""


class MMBT(JointBert):
    """A few image tokens, then the words."""

    def image_features(self, maps: Tensor) -> Tensor:
        """Means (B, N, c') over bands of rows, which overlap where N does not divide them."""
        rows = maps.shape[-2]
        # The library's adaptive pooling has no deterministic gradient on a GPU.
        bands = [
            maps[..., rows * k // IMAGE_TOKENS : -(-rows * (k + 1) // IMAGE_TOKENS), :]
            for k in range(IMAGE_TOKENS)
        ]
        return torch.stack([band.mean((-2, -1)) for band in bands], 1)

    def sequence(self, image: Tensor, tokens: Tensor, is_word: Tensor) -> Sequence[Part]:
        rows = torch.arange(len(tokens), device=tokens.device)
        ends = torch.stack([tokens[:, 0], tokens[rows, last_word(is_word)]], 1)
        cls, sep = self.embedded(ends).split(1, dim=1)  # (B, 1, d) each
        image = torch.cat([cls, image, sep], 1)  # (B, N + 2, d)
        words = tokens[:, 1:-1]  # (B, l - 2)
        return (
            Part(
                embedded=image,
                present=is_word.new_ones(image.shape[:2]),
                positions=torch.arange(image.shape[1], device=tokens.device),
                segment=0,
            ),
            Part(
                embedded=self.embedded(words),
                present=is_word[:, 2:],  # what another word follows is not the last: no [SEP]
                positions=torch.arange(words.shape[1], device=tokens.device),
                segment=1,
            ),
        )
