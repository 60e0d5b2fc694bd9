"""VisualBERT: Li, Yatskar, Yin, Hsieh and Chang, "VisualBERT: A Simple and Performant Baseline
for Vision and Language", 2019.

BERT reads the words, each with its position and type, then visual tokens W f_i + b, each with a
visual type and, as none is aligned with a word, visual position 0. The feature that BERT was
pretrained to give, of the whole sequence, is classified.

The network is transformers' (`mi2p.models.multimodal`). Decided here:

* f_i are the cells of a frozen CNN's last map (grid features), where the original has regions of
  an object detector, also frozen: no detector is needed, and their features can be stored.
* The published checkpoint takes 2048 channels: with a CNN of fewer the features are of a ResNet-50
  pretrained on ImageNet. It was pretrained on a detector's features and has to get used to them.
* Without the published weights it begins with those of the sweep's transformer, and with its
  types and first position for visual tokens, as the original does; W and b are drawn. It has then
  not been pretrained with images.
* One linear classifier after dropout, and the training of all methods (section 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mi2p.model_spec import Modality
from mi2p.models.classifier import Batch, Classifier, Head
from mi2p.models.expanded import frozen_maps
from mi2p.models.frozen import Frozen
from mi2p.models.multimodal import MultimodalBackbone


class VisualBERT(Classifier):
    """The transformer is trained, the CNN that gives Z' is not."""

    def __init__(
        self,
        net: MultimodalBackbone,
        num_classes: int,
        *,
        dropout: float,
        external: Frozen | None,
    ) -> None:
        """`external` may be None when batches bring Z'."""
        super().__init__()
        self.net, self.external = net, external
        self.head = Head(net.card.width, num_classes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K)."""
        assert batch.tokens is not None and batch.is_word is not None
        maps = frozen_maps(batch, self.external)  # (B, c', h', w')
        logits: Tensor = self.head(self.net(batch.tokens, batch.is_word, maps))
        return logits

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {"textual": self.net}

    def externals(self) -> Mapping[str, Frozen]:
        return {} if self.external is None else {"maps": self.external}
