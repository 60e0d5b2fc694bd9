"""Which weights a model starts from, and at which rate each of its parameters learns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from mi2p.inputs import Inputs
from mi2p.models import Classifier
from mi2p.models.weights import fingerprint
from mi2p.spec import TrainSpec, TrialSpec


def pretrained_weights(model: Classifier, inputs: Inputs) -> str:
    """Fingerprints of the weights that `model`, as built, starts from, and of its frozen encoder.

    A trial's id does not cover them: a file of another name or content may be in their place.
    """
    found = [fingerprint(backbone) for backbone in model.backbones().values()]
    externals = model.externals()
    for kind, store in (("words", inputs.words), ("maps", inputs.maps)):
        if store is not None:
            found.append(str(store.key["weights"]))
        elif kind in externals:
            found.append(fingerprint(externals[kind].encoder))
    return " ".join(found)


def parameter_groups(model: Classifier, spec: TrialSpec) -> list[dict[str, Any]]:
    """Each backbone, each one's units, and all other new parameters, with their learning rates."""
    train: TrainSpec = spec.train
    units, groups, grouped = model.units(), [], set[int]()

    def add(parameters: Iterable[nn.Parameter], lr: float) -> None:
        kept = [p for p in parameters if id(p) not in grouped]
        grouped.update(map(id, kept))
        if kept:
            groups.append({"params": kept, "lr": lr})

    for modality in model.backbones():
        visual = modality == "visual" and "textual" in spec.model.trains
        lr = train.lr * (train.visual_lr_multiplier if visual else 1)
        add(model.pretrained_parameters(modality), lr)
        attached = spec.model.units_of(modality)
        if attached is not None:
            add(units[modality].parameters(), lr * attached.lr_multiplier)
    add(model.trained_parameters(), train.lr * train.head_lr_multiplier)
    return groups
