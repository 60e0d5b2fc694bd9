"""ViLT, the paper's "ViT": Kim, Son and Kim, "ViLT: Vision-and-Language Transformer Without
Convolution or Region Supervision", ICML 2021.

One transformer reads `[CLS] w_1 ... w_n [SEP]`, each word with its position and the type *text*,
then an image's own [CLS] and its patches of 32 x 32 pixels, linearly embedded, each with its
position and the type *image*. The pooled first state, tanh(W h), is classified.

The network is transformers' (`mi2p.models.multimodal`), which says where it is called otherwise
than the library would. Decided here:

* Images are of the sweep's size (published: 384 px on the shorter side), by bilinear
  interpolation of the patches' positions; texts of more than 40 word pieces by linear
  interpolation of the words' positions, for all texts of such a sweep.
* One linear classifier after dropout, as for all methods (theirs has a hidden layer), and the
  training of all methods (section 4.2), not their AdamW with a warm-up.
* Without the published weights it has the sizes of the sweep's transformer and its word
  embeddings; all else is drawn, and learns at the rate of what is new (`head_lr_multiplier`). It
  has then seen neither images nor sentences, and its results say little about ViLT.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mi2p.model_spec import Modality
from mi2p.models.classifier import Batch, Classifier, Head
from mi2p.models.multimodal import MultimodalBackbone


class ViLT(Classifier):
    """All of it is trained; there is no CNN."""

    def __init__(self, net: MultimodalBackbone, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.net = net
        self.head = Head(net.card.width, num_classes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K)."""
        assert batch.tokens is not None and batch.is_word is not None
        assert batch.images is not None
        logits: Tensor = self.head(self.net(batch.tokens, batch.is_word, batch.images))
        return logits

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {"textual": self.net}
