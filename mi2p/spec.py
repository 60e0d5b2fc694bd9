"""A trial as a value: what is trained on what, fully resolved, with an identity.

`trial_id` hashes every field that matters, so two trials with one id are the same computation.
Where it runs (device, threads, folders) is `mi2p.runtime.Runtime`, a type that cannot leak in.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from mi2p.fields import Fields, identity, later
from mi2p.legality import check_model, check_tokens, require
from mi2p.model_spec import FusionSpec, ModelSpec, UnitSpec

__all__ = ["DataSpec", "FusionSpec", "ModelSpec", "TrainSpec", "TrialSpec", "UnitSpec"]

ID_LENGTH = 12
LEAST_MICRO_BATCH = 4
"""The smallest micro-batch that a trial takes."""

OPTION_TAKERS: Mapping[str, tuple[str, ...]] = {
    "clean": ("crisismmd",),
    "fix_mojibake": ("crisismmd",),
    "text_field": ("mmimdb",),
    "splits": ("crisismmd", "food101", "mmimdb"),
}
"""Options of `DataSpec` that only some data sets have, by the start of their names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec(Fields):
    """Which examples, seen how."""

    name: str = "openclipart"
    """A key of `mi2p.data.DATASETS`."""
    image_size: int = 128
    """Height and width in pixels; a multiple of the CNN's total stride of 32."""
    max_tokens: int = 16
    """Longest text in word pieces, [CLS] and [SEP] counted; longer texts are cut."""
    limit: int = 0
    """Use at most this many examples of each split, evenly spaced; 0 uses all."""
    view: Literal["fit", "crop"] = later("fit")
    """`fit` shows the whole picture on white; `crop` the middle square, as is usual for photos."""
    augment: Literal["none", "crop_flip"] = later("none")
    """Training images: shifted by up to image_size / 16 each way and flipped left-right (0.5)."""
    clean: Literal["standard", "abavisani", "none"] = later("standard")
    """CrisisMMD: how tweets are cleaned; `abavisani` cuts all that follows a link."""
    fix_mojibake: bool = later(False)
    """CrisisMMD: repair UTF-8 that was encoded twice."""
    text_field: Literal["plot_longest", "plot_first", "plot_outline"] = later("plot_longest")
    """MM-IMDB: which text of a movie."""
    splits: str = later("")
    """CrisisMMD, Food-101 and MM-IMDB: a file or folder below the data's, with other splits."""
    on_bad_image: Literal["fail", "skip"] = later("fail")
    """`skip` leaves out examples whose image cannot be used, for all models alike."""
    features: Literal["float32", "float16"] = later("float32")
    """Type in which the frozen encoders' features are kept."""

    def _check(self) -> None:
        require(
            self.image_size > 0 and self.image_size % 32 == 0,
            "image_size is a positive multiple of 32",
            image_size=self.image_size,
        )
        require(self.max_tokens >= 3, "max_tokens >= 3", max_tokens=self.max_tokens)
        require(self.limit >= 0, "limit >= 0", limit=self.limit)
        splits = PurePosixPath(self.splits).as_posix() if self.splits else ""
        object.__setattr__(self, "splits", splits)  # a/ and ./a are a
        for option, takers in OPTION_TAKERS.items():
            default = type(self).__dataclass_fields__[option].default
            if getattr(self, option) != default and not self.name.startswith(takers):
                # One way to say a thing: it would be the same data under another id.
                raise ValueError(
                    f"`{option}` is an option of {', '.join(takers)}, but the data set is "
                    f"{self.name!r}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec(Fields):
    """Adam at a fixed rate (section 4.2)."""

    lr: float
    batch_size: int = 128
    """Global batch, whatever the number of devices."""
    epochs: int
    head_lr_multiplier: float = 1.0
    """Learning rate of all that no pretrained file has, units apart, over that of the backbone:
    of classifiers, fusions, and what a backbone has to draw."""
    weight_decay: float = 0.0
    visual_lr_multiplier: float = later(1.0)
    """Learning rate of the CNN over that of the transformer, where both are trained."""
    micro_batch: int = later(0)
    """Most examples of a training step's forward pass; gradients of a batch's parts are summed.
    0: the batch.

    It bounds the memory and leaves the loss and its gradient what they are, up to rounding. Yet
    BatchNorm normalises by the statistics of each part and dropout draws in another order, so it
    is part of the identity. A frozen encoder without a store reads 32 examples at a time whatever
    this is: less is a waste then.
    """

    def _check(self) -> None:
        require(self.lr > 0 and math.isfinite(self.lr), "lr > 0", lr=self.lr)
        # BatchNorm has no statistics of one example, which an epoch's last batch of 2 may have.
        require(self.batch_size >= 3, "batch_size >= 3", batch_size=self.batch_size)
        require(self.epochs >= 1, "epochs >= 1", epochs=self.epochs)
        require(
            self.head_lr_multiplier > 0,
            "head_lr_multiplier > 0",
            head_lr_multiplier=self.head_lr_multiplier,
        )
        require(self.weight_decay >= 0, "weight_decay >= 0", weight_decay=self.weight_decay)
        require(
            self.visual_lr_multiplier > 0,
            "visual_lr_multiplier > 0",
            visual_lr_multiplier=self.visual_lr_multiplier,
        )
        require(
            self.micro_batch == 0 or LEAST_MICRO_BATCH <= self.micro_batch < self.batch_size,
            f"micro_batch is 0, or from {LEAST_MICRO_BATCH} to less than batch_size",
            micro_batch=self.micro_batch,
            batch_size=self.batch_size,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec(Fields):
    """One training run. Legality that spans parts is checked here, before anything is built."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    seed: int = 0
    stage: Literal["search", "confirm"] = "confirm"
    """Only `confirm` trials compute test predictions, and only they enter a table."""
    averages: tuple[str, ...] = later(())
    """Ids of the two trials whose probabilities are averaged; nothing is trained then."""

    def _check(self) -> None:
        require(self.seed >= 0, "seed >= 0", seed=self.seed)
        if self.model.textual is not None:
            check_tokens(self.model.textual, self.data.max_tokens)
        check_model(self.model, self.data.image_size)
        if self.model.trains != ("visual", "textual"):
            require(
                self.train.visual_lr_multiplier == 1,
                "visual_lr_multiplier == 1 where not both backbones are trained",
                visual_lr_multiplier=self.train.visual_lr_multiplier,
            )
        if self.averages:
            fusion = self.model.fusion
            require(
                len(self.averages) == len(set(self.averages)) == 2
                and fusion is not None
                and fusion.kind == "score",
                "averages are two trials, and the fusion is of scores",
                averages=self.averages,
                fusion=fusion and fusion.kind,
            )
            require(
                fusion is not None and fusion.score_space == "probabilities",
                "score_space == 'probabilities' of averages: those are what trials keep",
                score_space=fusion and fusion.score_space,
            )

    @property
    def trial_id(self) -> str:
        """The identity: hex digits of a hash over every field that the trial reads.

        Of one that averages trials these are the trials' own ids, and nothing else.
        """
        plain: dict[str, Any] = {"averages": self.averages}
        if not self.averages:
            plain = identity(self)
            for name in self.unread():
                plain["data"].pop(name, None)
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]

    def unread(self) -> tuple[str, ...]:
        """Fields of the data, of those that came later, that change nothing for this model."""
        if self.model.frozen:
            return ()
        return ("features",) if self.model.reads_images else ("features", "view", "augment")
