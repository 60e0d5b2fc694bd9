"""Rules that span a model and its data: where units may sit and how many heads they may have.

Imported by `mi2p.spec`, which applies them when a trial is declared; standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mi2p.backbones import MULTIMODAL, TEXTUAL, VISUAL, textual_card, visual_card

if TYPE_CHECKING:
    from mi2p.model_spec import Modality, ModelSpec, UnitSpec

MAX_LISTED_HEADS = 16


def require(holds: bool, rule: str, **values: object) -> None:
    """`ValueError` that states the rule and the values, unless it `holds`."""
    if not holds:
        got = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise ValueError(f"`{rule}` must hold, but got {got}")


def check_tokens(textual: str, max_tokens: int) -> None:
    """No transformer takes more word pieces than it has positions; else `ValueError`."""
    longest = textual_card(textual).max_tokens
    require(max_tokens <= longest, f"max_tokens <= {longest} for {textual}", max_tokens=max_tokens)


FAMILIES: Mapping[str, tuple[str, ...]] = {
    "mmbt": ("bert",),
    "pixelbert": ("bert",),
    "visualbert": ("bert", "visualbert"),
    "vilt": ("bert", "vilt"),
}
"""Models that take only some families of transformers; the others take `UNIMODAL`."""

UNIMODAL = ("bert", "xlnet", "clip")


def check_model(model: ModelSpec, image_size: int) -> None:
    """Its transformer is of a family the model can use, and its units can be attached.

    `ValueError` states the rule and what is legal.
    """
    if model.textual is not None:
        family, legal = textual_card(model.textual).family, FAMILIES.get(model.name, UNIMODAL)
        fitting = [
            name for name, card in {**TEXTUAL, **MULTIMODAL}.items() if card.family in legal
        ]
        require(
            family in legal,
            f"the transformer of {model.name!r} is one of {', '.join(fitting)}",
            textual=model.textual,
        )
        width = textual_card(model.textual).visual_width
        if width and model.visual is not None:
            found = visual_card(model.visual).last_channels
            fitting = [name for name, card in VISUAL.items() if card.last_channels == width]
            require(
                found == width,
                f"the CNN beside {model.textual} has {width} channels, as {', '.join(fitting)}",
                visual=model.visual,
                channels=found,
            )
    for modality in model.trains:
        units = model.units_of(modality)
        if units is not None:
            check_attach(model, units, modality)
            check_heads(model, units, modality, image_size)


def check_attach(model: ModelSpec, units: UnitSpec, modality: Modality) -> None:
    """Units sit at taps that the trained backbone has; else `ValueError` with its taps."""
    if modality == "visual":
        name, num_taps = model.visual, visual_card(model.visual or "").num_taps
    else:
        name, num_taps = model.textual, textual_card(model.textual or "").num_taps
    require(units.attach[-1] <= num_taps, f"attach <= {num_taps} for {name}", attach=units.attach)


def check_heads(model: ModelSpec, units: UnitSpec, modality: Modality, image_size: int) -> None:
    """`h d_v = h^k w^k` at every attached block, or `h d_v = d`; else `ValueError`.

    The message lists the counts that are legal for this image size (up to 16).
    """
    if units.heads in legal_heads(model, units, modality, image_size, most=units.heads):
        return
    legal = ", ".join(map(str, legal_heads(model, units, modality, image_size)))
    if modality == "textual":
        width = textual_card(model.textual or "").width
        raise ValueError(
            f"heads must divide the width of the textual backbone: {units.heads} does not "
            f"divide {width} ({model.textual}); legal: {legal}"
        )
    refused = [n for n in _cells(model, units, image_size).items() if n[1] % units.heads]
    deepest, cells = refused[-1]
    larger = (32 * (image_size // 32 + step) for step in range(1, units.heads + 1))
    enough = next(
        size
        for size in larger
        if all(n % units.heads == 0 for n in _cells(model, units, size).values())
    )
    raise ValueError(
        f"heads must divide h*w at every attached block: {units.heads} does not divide "
        f"{cells} (block {deepest} at {image_size} px); "
        f"legal at {image_size} px: {legal}; {units.heads} is legal at {enough} px"
    )


def legal_heads(
    model: ModelSpec,
    units: UnitSpec,
    modality: Modality,
    image_size: int,
    *,
    most: int = MAX_LISTED_HEADS,
) -> tuple[int, ...]:
    """The counts of heads up to `most` that are legal where `units` are attached.

    `head_mode` "project" lifts the rule for a CNN: a text's width is the encoder's own choice.
    """
    if modality == "textual":
        divided = textual_card(model.textual or "").width
    elif units.head_mode == "project":
        return tuple(range(1, most + 1))
    else:
        divided = math.gcd(*_cells(model, units, image_size).values())
    return tuple(h for h in range(1, most + 1) if divided % h == 0)


def _cells(model: ModelSpec, units: UnitSpec, image_size: int) -> dict[int, int]:
    """h*w of the map at each tap with a unit."""
    card = visual_card(model.visual or "")
    return {tap: card.tap_side(tap, image_size) ** 2 for tap in units.attach}
