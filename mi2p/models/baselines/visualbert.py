"""VisualBERT (Li et al., 2019): BERT over the words and visual tokens of one sequence.

The original's visual tokens are regions of an object detector; here they are the cells of a
frozen CNN's last map (grid features), so that no detector is needed and all methods see the same
images.
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
