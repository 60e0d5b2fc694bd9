"""Table 4: all methods on UPMC Food-101 and MM-IMDB.

`python sweeps/compare_food101_mmimdb.py --help`. The methods are those of Table 3; a movie of
MM-IMDB has several labels. With --smoke all are built of tiny random backbones.
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
        "food101_mmimdb": ("food101", "mmimdb"),
        "packaged": ("openclipart", "openclipart-tags"),
    }
)
"""What --dataset calls several data sets."""


@dataclass(frozen=True, kw_only=True)
class Options(BackboneOptions):
    """Table 4: 18 methods on Food-101 and MM-IMDB; --smoke takes tiny backbones."""

    dataset: str = "food101_mmimdb"
    """Data sets: food101_mmimdb, packaged (openclipart, openclipart-tags), or any single one."""


def plan(options: Options) -> Plan:
    """The rows of Table 4 on each data set, and their trials."""
    return compare(options, 4, GROUPS)


if __name__ == "__main__":
    import tyro

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))

    from analysis.table4 import write
    from mi2p.sweep import main

    main(chosen, plan, write, fixed=("model.fusion.kind",))
