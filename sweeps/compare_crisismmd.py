"""Table 3: all methods on the tasks of CrisisMMD. `python sweeps/compare_crisismmd.py --help`

Rows: the CNN and the transformer alone; their fusions; multimodal transformers; the expanded
models and their late fusion. With --smoke all are built of tiny random backbones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mi2p.methods import compare
from mi2p.options import BackboneOptions
from mi2p.plan import Plan

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "crisismmd": ("crisismmd_task1", "crisismmd_task2", "crisismmd_task3"),
        "packaged": ("openclipart",),
    }
)
"""What --dataset calls several data sets, or stands for the paper's."""


@dataclass(frozen=True, kw_only=True)
class Options(BackboneOptions):
    """Table 3: 18 methods on CrisisMMD; --smoke takes tiny backbones."""

    dataset: str = "crisismmd"
    """Data sets: crisismmd (its three tasks), packaged (openclipart), or any single one."""


def plan(options: Options) -> Plan:
    """The rows of Table 3 on each data set, and their trials."""
    return compare(options, 3, GROUPS)


if __name__ == "__main__":
    import tyro

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))

    from analysis.table3 import write
    from mi2p.sweep import main

    main(chosen, plan, write, fixed=("model.fusion.kind",))
