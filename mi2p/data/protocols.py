"""How each data set is used unless asked otherwise: what is seen of it, by whom, trained how.

For the paper's five these are Table 2 and section 4.1 (256 pixels in our reading: 8 heads divide
the cells of every map), with DenseNet-121 and BERT. The OpenClipart tasks have weights that come
as packages, and values chosen on validation. Standard library only, for sweep scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mi2p.spec import DataSpec, TrainSpec

MAX_TOKENS_TWEET = 64
MAX_TOKENS_PAGE = 512
"""The longest that BERT takes; plots and web pages fill it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Defaults of one data set. A backbone with a lower limit of tokens needs fewer."""

    data: DataSpec
    visual: str
    """The CNN, a key of `mi2p.backbones.VISUAL`."""
    textual: str
    """The transformer, a key of `mi2p.backbones.TEXTUAL`."""
    visual_train: TrainSpec
    """Of models whose CNN is trained."""
    textual_train: TrainSpec
    """Of models whose transformer is trained."""
    joint_train: TrainSpec
    """Of models that train both."""
    num_classes: int
    """As its reader finds them; the data need not be there."""
    multilabel: bool = False
    """Whether several labels may hold of an example, as its reader says."""

    def train(self, trains: Sequence[str]) -> TrainSpec:
        """How a model is trained whose backbones of these modalities learn."""
        if len(trains) > 1:
            return self.joint_train
        return self.visual_train if "visual" in trains else self.textual_train


def _of_the_paper(
    name: str,
    *,
    lr: float,
    epochs: int,
    batch_size: int,
    max_tokens: int,
    num_classes: int,
    multilabel: bool = False,
) -> Protocol:
    # The paper has one rate for both modalities, and the classifier learns at it too.
    train = TrainSpec(lr=lr, epochs=epochs, batch_size=batch_size)
    return Protocol(
        data=DataSpec(
            name=name, image_size=256, max_tokens=max_tokens, view="crop", augment="crop_flip"
        ),
        visual="densenet121",
        textual="bert-base-uncased",
        visual_train=train,
        textual_train=train,
        joint_train=train,
        num_classes=num_classes,
        multilabel=multilabel,
    )


def _of_openclipart(name: str, *, num_classes: int, multilabel: bool = False) -> Protocol:
    return Protocol(
        data=DataSpec(name=name, image_size=128, max_tokens=16),
        visual="efficientnet_lite0",
        textual="minilm",
        # Chosen on validation, learning rates by the unimodal rows (README).
        visual_train=TrainSpec(lr=3e-4, batch_size=32, epochs=2, head_lr_multiplier=10),
        textual_train=TrainSpec(lr=1e-4, batch_size=32, epochs=3, head_lr_multiplier=10),
        # Each backbone at the rate that it has alone.
        joint_train=TrainSpec(
            lr=1e-4, batch_size=32, epochs=3, head_lr_multiplier=10, visual_lr_multiplier=3
        ),
        num_classes=num_classes,
        multilabel=multilabel,
    )


_PROTOCOLS = (
    _of_openclipart("openclipart", num_classes=11),
    _of_openclipart("openclipart-tags", num_classes=26, multilabel=True),
    _of_the_paper(
        "crisismmd_task1",
        lr=3.5e-5,
        epochs=50,
        batch_size=128,
        max_tokens=MAX_TOKENS_TWEET,
        num_classes=2,
    ),
    _of_the_paper(
        "crisismmd_task2",
        lr=2.5e-5,
        epochs=40,
        batch_size=128,
        max_tokens=MAX_TOKENS_TWEET,
        num_classes=5,
    ),
    _of_the_paper(
        "crisismmd_task3",
        lr=5e-5,
        epochs=40,
        batch_size=128,
        max_tokens=MAX_TOKENS_TWEET,
        num_classes=3,
    ),
    _of_the_paper(
        "food101",
        lr=7.5e-5,
        epochs=100,
        batch_size=256,
        max_tokens=MAX_TOKENS_PAGE,
        num_classes=101,
    ),
    _of_the_paper(
        "mmimdb",
        lr=5e-5,
        epochs=80,
        batch_size=128,
        max_tokens=MAX_TOKENS_PAGE,
        num_classes=23,
        multilabel=True,
    ),
)
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({p.data.name: p for p in _PROTOCOLS})


def protocol(name: str) -> Protocol:
    """The defaults of the data set called `name`; `ValueError` lists the known ones."""
    if name not in PROTOCOLS:
        raise ValueError(
            f"A protocol must be one of {', '.join(PROTOCOLS)}, but the data set is {name!r}."
        )
    return PROTOCOLS[name]
