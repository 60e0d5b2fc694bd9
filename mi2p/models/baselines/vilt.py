"""ViLT (Kim et al., ICML 2021), the paper's "ViT": a transformer over words and patches."""

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
