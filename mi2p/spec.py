"""A trial as a value: what is trained on what, fully resolved, with an identity.

`trial_id` hashes every field that matters, so two trials with one id are the same computation.
Where it runs (device, threads, folders) is `mi2p.runtime.Runtime`, a type that cannot leak in.

A field added after the first release carries `metadata={"absent": value}`: while it holds that
value it is left out of the hash, so ids of older trials stay; its default may then change without
two different experiments sharing an id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from mi2p.backbones import textual_card, visual_card
from mi2p.legality import check_attach, check_heads, check_tokens, require

ID_LENGTH = 12


class _Fields:
    """Types of dataclass fields are checked when the value is made; nesting round-trips dicts."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = _coerced(f"{type(self).__name__}.{name}", getattr(self, name), hint)
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Rules between fields; subclasses raise `ValueError`."""

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain data (JSON types); `from_dict` is its inverse."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain data; an unknown field is a `ValueError` that lists the known ones."""
        hints = get_type_hints(cls)
        for name in values:
            if name not in hints:
                known = ", ".join(hints)
                raise ValueError(f"unknown field {name!r} in {cls.__name__}; known: {known}")
        built = {}
        for name, value in values.items():
            nested = next((a for a in _alternatives(hints[name]) if _is_fields(a)), None)
            built[name] = (
                nested.from_dict(value) if nested and isinstance(value, Mapping) else value
            )
        return cls(**built)


def _is_fields(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, _Fields)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """`X | None` as (X, NoneType); anything else as itself."""
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def _coerced(where: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint` says (ints become floats, lists tuples), or `TypeError`."""
    for alternative in _alternatives(hint):
        if get_origin(alternative) is Literal:
            # By type, too: 3 == 3.0 and 1 == True, but their ids differ.
            if any(type(value) is type(c) and value == c for c in get_args(alternative)):
                return value
            legal = ", ".join(map(str, get_args(alternative)))
            raise ValueError(f"{where} must be one of {legal}, but got {value!r}")
        if get_origin(alternative) is tuple and isinstance(value, list | tuple):
            element = get_args(alternative)[0]
            return tuple(_coerced(where, item, element) for item in value)
        if alternative is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if alternative is int and isinstance(value, bool):
            continue
        if isinstance(alternative, type) and isinstance(value, alternative):
            return value
    raise TypeError(f"{where} must be {hint}, but got {value!r} of type {type(value).__name__}")


def _later(default: Any) -> Any:
    """A field that came after the first release, absent from the identity at its default."""
    return field(default=default, metadata={"absent": default})


OPTION_TAKERS: Mapping[str, tuple[str, ...]] = {
    "clean": ("crisismmd",),
    "fix_mojibake": ("crisismmd",),
    "text_field": ("mmimdb",),
    "splits": ("crisismmd", "food101", "mmimdb"),
}
"""Options of `DataSpec` that only some data sets have, by the start of their names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec(_Fields):
    """Which examples, seen how."""

    name: str = "openclipart"
    """A key of `mi2p.data.DATASETS`."""
    image_size: int = 128
    """Height and width in pixels; a multiple of the CNN's total stride of 32."""
    max_tokens: int = 16
    """Longest text in word pieces, [CLS] and [SEP] counted; longer texts are cut."""
    limit: int = 0
    """Use at most this many examples of each split, evenly spaced; 0 uses all."""
    view: Literal["fit", "crop"] = _later("fit")
    """`fit` shows the whole picture on white; `crop` the middle square, as is usual for photos."""
    augment: Literal["none", "crop_flip"] = _later("none")
    """Training images: shifted by up to image_size / 16 each way and flipped left-right (0.5)."""
    clean: Literal["standard", "abavisani", "none"] = _later("standard")
    """CrisisMMD: how tweets are cleaned; `abavisani` cuts all that follows a link."""
    fix_mojibake: bool = _later(False)
    """CrisisMMD: repair UTF-8 that was encoded twice."""
    text_field: Literal["plot_longest", "plot_first", "plot_outline"] = _later("plot_longest")
    """MM-IMDB: which text of a movie."""
    splits: str = _later("")
    """CrisisMMD, Food-101 and MM-IMDB: a file or folder below the data's, with other splits."""
    on_bad_image: Literal["fail", "skip"] = _later("fail")
    """`skip` leaves out examples whose image cannot be used, for all models alike."""
    features: Literal["float32", "float16"] = _later("float32")
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
class UnitSpec(_Fields):
    """The MI2P units of section 3.3; a default is the paper's reading where it gives one."""

    attach: tuple[int, ...]
    """Taps that carry a unit, from 1, increasing: (1, 2, 3, 4) is the paper's {1-4}."""
    heads: int = 8
    """h: attention heads; `h * d_v = h^k w^k` (visual) or `h * d_v = d` (textual)."""
    head_mode: Literal["strict", "project"] = "strict"
    """`project` lifts the rule on heads: values of size ceil(hw/h), then a linear map to h*w."""
    d_k: int = 64
    """Query and key size of one head."""
    query_kernel: Literal[1, 3, 5, 7] = 3
    """Side of the convolution on each visual channel, zero-padded to keep the size."""
    query_sharing: Literal["shared", "per_channel"] = "shared"
    """Whether all channels of a map use the same kernels."""
    query_bias: bool = True
    init: Literal["default", "zero_value", "gate"] = "default"
    """`zero_value`: the value projection starts at 0; `gate`: a learned scalar starts at 0."""
    out_projection: bool = False
    """A linear map after the concatenation of heads, as in a transformer; the paper has none."""
    lr_multiplier: float = 1.0
    """Learning rate of the units over that of the backbone."""

    def _check(self) -> None:
        require(len(self.attach) > 0, "attach names at least one tap", attach=self.attach)
        require(
            list(self.attach) == sorted(set(self.attach)) and self.attach[0] >= 1,
            "attach is increasing and starts at 1 or later",
            attach=self.attach,
        )
        require(self.heads >= 1, "heads >= 1", heads=self.heads)
        require(self.d_k >= 1, "d_k >= 1", d_k=self.d_k)
        require(self.lr_multiplier > 0, "lr_multiplier > 0", lr_multiplier=self.lr_multiplier)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec(_Fields):
    """A key of `mi2p.models.MODELS` and what it is built of; what it has not is None."""

    name: Literal["cnn", "bert", "me_cnn", "me_bert"]
    visual: str | None = None
    textual: str | None = None
    units: UnitSpec | None = None
    head_dropout: float = 0.1
    """Dropout before the classifier; the paper is silent."""

    @property
    def reads(self) -> Literal["visual", "textual"]:
        """The modality whose backbone is trained and classifies."""
        return "visual" if self.name in ("cnn", "me_cnn") else "textual"

    def _check(self) -> None:
        expanded = self.name in ("me_cnn", "me_bert")
        needed = {
            "visual": expanded or self.reads == "visual",
            "textual": expanded or self.reads == "textual",
            "units": expanded,
        }
        for part, wanted in needed.items():
            if (getattr(self, part) is not None) != wanted:
                # One way to say a thing: a unimodal model named in two ways would get two ids.
                verb = "needs" if wanted else "has no"
                raise ValueError(
                    f"model {self.name!r} {verb} `{part}`, got {getattr(self, part)!r}"
                )
        if self.visual is not None:
            visual_card(self.visual)
        if self.textual is not None:
            textual_card(self.textual)
        require(
            0 <= self.head_dropout < 1, "0 <= head_dropout < 1", head_dropout=self.head_dropout
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec(_Fields):
    """Adam at a fixed rate (section 4.2)."""

    lr: float
    batch_size: int = 128
    """Global batch, whatever the number of devices."""
    epochs: int
    head_lr_multiplier: float = 1.0
    """Learning rate of the classifier over that of the backbone."""
    weight_decay: float = 0.0

    def _check(self) -> None:
        require(self.lr > 0 and math.isfinite(self.lr), "lr > 0", lr=self.lr)
        # BatchNorm has no statistics in a batch of one.
        require(self.batch_size >= 2, "batch_size >= 2", batch_size=self.batch_size)
        require(self.epochs >= 1, "epochs >= 1", epochs=self.epochs)
        require(
            self.head_lr_multiplier > 0,
            "head_lr_multiplier > 0",
            head_lr_multiplier=self.head_lr_multiplier,
        )
        require(self.weight_decay >= 0, "weight_decay >= 0", weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec(_Fields):
    """One training run. Legality that spans parts is checked here, before anything is built."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    seed: int = 0
    stage: Literal["search", "confirm"] = "confirm"
    """Only `confirm` trials compute test predictions, and only they enter a table."""

    def _check(self) -> None:
        require(self.seed >= 0, "seed >= 0", seed=self.seed)
        units = self.model.units
        if self.model.textual is not None:
            check_tokens(self.model.textual, self.data.max_tokens)
        if units is not None:
            check_attach(self.model, units)
            check_heads(self.model, units, self.data.image_size)

    @property
    def trial_id(self) -> str:
        """The identity: hex digits of a hash over every field that the trial reads."""
        plain = _identity(self)
        for name in self.unread():
            plain["data"].pop(name, None)
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]

    def unread(self) -> tuple[str, ...]:
        """Fields of the data, of those that came later, that change nothing for this model."""
        if self.model.units is not None:
            return ()
        return ("features",) if self.model.visual else ("features", "view", "augment")


def _identity(value: _Fields) -> dict[str, Any]:
    """Nested plain data without fields that hold their `absent` value."""
    plain: dict[str, Any] = {}
    for entry in dataclasses.fields(value):  # type: ignore[arg-type]
        item = getattr(value, entry.name)
        if "absent" in entry.metadata and item == entry.metadata["absent"]:
            continue
        plain[entry.name] = _identity(item) if isinstance(item, _Fields) else item
    return plain
