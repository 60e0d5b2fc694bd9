"""CNNs that are chains: modules of a library's network that run one after another.

A chain is told by the dotted names of its *steps*, in order; some steps are *ends* of a
resolution, where a unit may be attached. Any CNN of timm can be used that is such a chain with
maps at the strides 4, 8, 16 and 32; whether it is one is tried out once against the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import timm
import torch
from torch import Tensor, nn

from mi2p.backbones import TAP_STRIDES, TIMM, VisualCard

PROBE_SIZE = 64
"""Pixels of the image on which a chain is held to the library."""

Step = tuple[nn.Module, int]
"""A module of a chain and the tap (from 1) at its end, or 0."""


def steps_to(net: nn.Module, ends: Sequence[str]) -> list[str]:
    """Names of the modules of `net` that run up to the last of `ends`, and no longer.

    A module is split into its children where an end lies inside it. `ValueError` if the ends are
    not met in order.
    """
    steps: list[str] = []
    for step in _steps(net, "", ends):
        steps.append(step)
        if step == ends[-1]:
            break
    if [step for step in steps if step in ends] != list(ends):
        raise ValueError(f"{', '.join(ends)} are not met in this order by the network's modules")
    return steps


def _steps(module: nn.Module, prefix: str, ends: Sequence[str]) -> Iterator[str]:
    for name, child in module.named_children():
        path = prefix + name
        if any(end.startswith(f"{path}.") for end in ends):
            yield from _steps(child, f"{path}.", ends)
        else:
            yield path


def is_block(module: nn.Module) -> bool:
    """Whether it is made of modules that have weights, unlike a convolution or an activation."""
    return any(True for child in module.children() for _ in child.parameters())


def in_rows(steps: Iterable[Step]) -> list[Step]:
    """The steps, with neighbours that are no blocks put in one row: a stem is one step.

    A row ends before a block and behind a tap.
    """
    rows: list[Step] = []
    row: list[nn.Module] = []
    for module, tap in steps:
        alone = is_block(module)
        if row and alone:
            rows.append((nn.Sequential(*row), 0))
            row = []
        row.append(module)
        if alone or tap:
            rows.append((module if alone else nn.Sequential(*row), tap))
            row = []
    return [*rows, (nn.Sequential(*row), 0)] if row else rows


def prune(net: nn.Module, steps: Sequence[str]) -> None:
    """Drop every module of `net` outside `steps`: it would hold parameters without gradients."""
    _prune(net, "", steps)


def _prune(module: nn.Module, prefix: str, steps: Sequence[str]) -> None:
    for name, child in list(module.named_children()):
        path = prefix + name
        if any(step.startswith(f"{path}.") for step in steps):
            _prune(child, f"{path}.", steps)
        elif path not in steps:
            delattr(module, name)


def timm_ends(net: Any) -> list[str]:
    """Names of the modules of a timm network that end the strides of `TAP_STRIDES`."""
    return [stage["module"] for stage in _stages(net)]


def _stages(net: Any) -> list[Mapping[str, Any]]:
    found = {entry["reduction"]: entry for entry in getattr(net, "feature_info", ())}
    if not set(TAP_STRIDES) <= found.keys():
        raise ValueError(
            f"maps at strides {', '.join(map(str, TAP_STRIDES))} are needed, but it has "
            f"{', '.join(map(str, found)) or 'none'}"
        )
    return [found[stride] for stride in TAP_STRIDES]  # of several at one stride the last


@cache
def timm_card(name: str) -> VisualCard:
    """The card of timm's CNN `name` (which may carry a tag of weights: `resnet18.a1_in1k`).

    `ValueError` if timm has no such network, if it lacks maps at `TAP_STRIDES`, if it does not
    take any image size, or if its maps are not those of a chain of its modules.
    """
    if not timm.is_model(name):
        raise ValueError(f"{TIMM}{name}: timm has no such network; see timm.list_models()")
    try:
        with torch.random.fork_rng(devices=[]):  # a card must not move a trial's own draws
            net = timm.create_model(name)
            stages = _stages(net)
            _hold_to_the_library(name, net, stages)
    except (RuntimeError, ValueError) as error:  # the former from timm: an unknown tag
        raise ValueError(f"{TIMM}{name} cannot be a visual backbone: {error}") from error
    first, second, third, last = (int(stage["num_chs"]) for stage in stages)
    return VisualCard(
        title=name,
        tap_channels=(first, second, third, last),
        last_channels=last,
        mean=tuple(net.default_cfg["mean"]),
        std=tuple(net.default_cfg["std"]),
    )


def _hold_to_the_library(name: str, net: Any, stages: Sequence[Mapping[str, Any]]) -> None:
    """`ValueError` unless the chain gives the maps that the library's own extractor gives."""
    ends = [stage["module"] for stage in stages]
    steps = steps_to(net, ends)
    indices = tuple(net.feature_info.index(stage) for stage in stages)
    library = timm.create_model(name, features_only=True, out_indices=indices).eval()
    prune(net, steps)
    _copy_in_order(net.eval(), library)
    images = torch.randn(1, 3, PROBE_SIZE, PROBE_SIZE)
    try:
        with torch.no_grad():
            expected, found = library(images), _ends_of(net, steps, ends, images)
    except _FORWARD_FAILS as error:
        raise ValueError(f"its modules fail in a row on {PROBE_SIZE} px ({error!r})") from error
    for stride, stage, wanted, got in zip(TAP_STRIDES, stages, expected, found, strict=True):
        shape = (1, stage["num_chs"], PROBE_SIZE // stride, PROBE_SIZE // stride)
        if not got.shape == wanted.shape == shape or not torch.allclose(got, wanted, atol=1e-5):
            raise ValueError(
                f"its modules in a row must give the library's map {shape} at stride {stride}; "
                f"theirs are {tuple(got.shape)} and {tuple(wanted.shape)}, or of other values"
            )


_FORWARD_FAILS = (RuntimeError, ValueError, AssertionError, AttributeError, TypeError)
"""What a network raises that is bound to one image size, or that is no chain."""


def _ends_of(net: nn.Module, steps: list[str], ends: list[str], x: Tensor) -> list[Tensor]:
    maps = []
    for step in steps:
        x = net.get_submodule(step)(x)
        if step in ends:
            maps.append(x.clone())  # the next module may work in place
    return maps


def _copy_in_order(net: nn.Module, library: nn.Module) -> None:
    """Give `library` the tensors of `net`: the extractor renames them but keeps their order."""
    theirs = library.state_dict()
    values = dict(zip(theirs, net.state_dict().values(), strict=False))
    library.load_state_dict(values, strict=False)
