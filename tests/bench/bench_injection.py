"""Time and memory of the MI2P unit against the literal one.

Run it as `python tests/bench/bench_injection.py`; pytest does not collect it.

`PooledConv` forward and backward against "convolve, then average" at the dense blocks of
DenseNet-121 (256 px), and a whole `TextualUnit` against one that makes all keys and values. One
thread, repeats interleaved. Fails when a block is less than `WANTED` times as fast as the literal.

The literal convolution needs `B c K h w` floats for its result and as many for the gradient: where
that is more than a quarter of the free memory it goes through the channels in chunks, which the
output says, and whose memory is then that of a chunk.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
BLOCKS = {1: (256, 64), 2: (512, 32), 3: (1024, 16), 4: (1024, 8)}
"""Channels and side at the end of each dense block."""
BATCH, KERNELS, KERNEL = 4, 512, 3
WANTED = 20
REPEATS = 3
FAST_REPEATS = 10

Step = Callable[[], None]


def main() -> int:
    """Every case in a process of its own: peaks add up within one, and torch stays out of this."""
    print(
        f"PooledConv, forward + backward: batch {BATCH}, {KERNELS} shared kernels of "
        f"{KERNEL} x {KERNEL}, 1 thread, median of {REPEATS}"
    )
    print(
        "block   channels x side   literal s   ours s     ratio   memory literal / ours MB   ratio"
    )
    slow = []
    for block, (channels, side) in BLOCKS.items():
        chunks = num_chunks(channels, side)
        memory = {kind: run("memory", block, kind, chunks) for kind in ("literal", "ours")}
        seconds = run("time", block, "both", chunks)
        ratio = seconds["literal"] / seconds["ours"]
        peaks = {kind: found["bytes"] / 1e6 for kind, found in memory.items()}
        note = f"   (literal in {chunks} chunks of channels)" if chunks > 1 else ""
        print(
            f"{block}       {channels:4} x {side}^2".ljust(26),
            f"{seconds['literal']:9.3f}   {seconds['ours']:.4f}   {ratio:6.0f}x"
            f"   {peaks['literal']:12.0f} / {peaks['ours']:.0f}"
            f"   {peaks['literal'] / peaks['ours']:10.0f}x{note}",
            flush=True,
        )
        if ratio < WANTED:
            slow.append(block)
    unit = run("time", 0, "unit", 1)
    print(
        "TextualUnit, 1280 channels of 4 x 4, batch 32, 16 words of 384, 12 heads: "
        f"{unit['literal'] / unit['ours']:.1f}x as fast as with all keys and values"
    )
    if slow:
        print(f"FAILED: less than {WANTED}x at blocks {slow}")
    return 1 if slow else 0


def num_chunks(channels: int, side: int) -> int:
    """Parts of the channels so that result and gradient fit a quarter of the free memory."""
    needed = 2 * BATCH * channels * KERNELS * side * side * 4
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    chunks = 1
    while needed / chunks > free / 4:
        chunks *= 2
    return chunks


def run(*case: object) -> dict[str, float]:
    """What a fresh process measures."""
    done = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(what: str, block: int, kind: str, chunks: int) -> dict[str, float]:
    """One case, in its own process."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if kind == "unit":
        return timed(*unit_steps())
    channels, side = BLOCKS[block]
    if what == "time":
        return timed(literal_step(channels, side, chunks), ours_step(channels, side))
    ours = kind == "ours"
    # The libraries' own start is no part of the peak: a small case first.
    (ours_step(8, 4) if ours else literal_step(8, 4, 1))()
    step = ours_step(channels, side) if ours else literal_step(channels, side, chunks)
    before = resident()
    step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"bytes": float(max(peak - before, os.sysconf("SC_PAGE_SIZE")))}


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def timed(literal: Step, ours: Step) -> dict[str, float]:
    """Median seconds of each; repeats interleaved, so that both see the same machine."""
    seconds: dict[str, list[float]] = {"literal": [], "ours": []}
    ours()
    for _ in range(REPEATS):
        for name, step, times in (("literal", literal, 1), ("ours", ours, FAST_REPEATS)):
            for _ in range(times):
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in seconds.items()}


def ours_step(channels: int, side: int) -> Step:
    conv, maps, probe = setting(channels, side)

    def step() -> None:
        (conv(maps) * probe).sum().backward()
        clear(conv, maps)

    return step


def literal_step(channels: int, side: int, chunks: int) -> Step:
    from torch.nn import functional as F

    conv, maps, probe = setting(channels, side)

    def step() -> None:
        for part, wanted in zip(maps.chunk(chunks, 1), probe.chunk(chunks, 1), strict=True):
            responses = F.conv2d(
                part.flatten(0, 1).unsqueeze(1),
                conv.weight.view(KERNELS, 1, KERNEL, KERNEL),
                conv.bias,
                padding=KERNEL // 2,
            )
            pooled = responses.mean((-2, -1)).unflatten(0, (BATCH, -1))
            (pooled * wanted).sum().backward()
        clear(conv, maps)

    return step


def setting(channels: int, side: int) -> tuple[Any, Any, Any]:
    import torch

    from mi2p.models.injection import PooledConv

    conv = PooledConv(channels, KERNELS, kernel=KERNEL, sharing="shared", bias=True)
    maps = torch.randn(BATCH, channels, side, side, requires_grad=True)
    return conv, maps, torch.randn(BATCH, channels, KERNELS)


def clear(module: Any, maps: Any) -> None:
    module.zero_grad(set_to_none=True)
    maps.grad = None


def unit_steps() -> tuple[Step, Step]:
    """A step with keys and values of all channels, and the unit's own."""
    import torch
    from torch.nn import functional as F

    from mi2p.models.injection import TextualUnit
    from mi2p.spec import UnitSpec

    unit = TextualUnit(UnitSpec(attach=(1,), heads=12), textual_width=384, channels=1280, side=4)
    words = torch.randn(32, 16, 384, requires_grad=True)
    maps = torch.randn(32, 1280, 4, 4)
    probe = torch.randn(32, 16, 384)

    def heads(x: Any) -> Any:
        return x.unflatten(-1, (12, -1)).transpose(1, 2)

    def all_keys_and_values() -> Any:
        keys, values = heads(unit.key(maps)), heads(unit.value(maps.flatten(2)))
        seen = F.scaled_dot_product_attention(heads(unit.query(words)), keys, values)
        return words + seen.transpose(1, 2).flatten(2)

    assert torch.allclose(all_keys_and_values(), unit(words, maps), atol=1e-4)

    def step_of(forward: Callable[[], Any]) -> Step:
        def step() -> None:
            (forward() * probe).sum().backward()
            clear(unit, words)

        return step

    return step_of(all_keys_and_values), step_of(lambda: unit(words, maps))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
    else:
        sys.exit(main())
