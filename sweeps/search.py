"""Our models and what they expand, each as a search finds it. `python sweeps/search.py --help`

Searched are learning rates, heads, the layers that carry MI2P units, and the type of fusion: what
the paper's tables fix is free here. Rows: the CNN, the transformer and their late fusion, each
without units and multimodal expanded (ME). With --smoke all are built of tiny random backbones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from mi2p.data.protocols import protocol
from mi2p.methods import compare
from mi2p.options import BackboneOptions
from mi2p.plan import Plan, PlanRow

FUSIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cross_attention": ("fusion", "Late fusion"),
        "me_cross_attention": ("me_fusion", "ME late fusion"),
    }
)
"""Methods that are fusions of any type here, and the keys and labels of their rows."""

METHODS = ("cnn", "me_cnn", "bert", "me_bert", *FUSIONS)
"""Of Tables 3 and 4: where each search begins, in the order of the rows."""

SMOKE_SEARCH = 2


@dataclass(frozen=True, kw_only=True)
class Options(BackboneOptions):
    """Searches rates, heads, layers of units and the type of fusion."""

    search: int = 20
    """Configurations to try per row on validation (--smoke: 2 at most). 0: as declared."""

    def __post_init__(self) -> None:
        BackboneOptions.__post_init__(self)
        if self.smoke:
            object.__setattr__(self, "search", min(self.search, SMOKE_SEARCH))


def plan(options: Options) -> Plan:
    """The rows as their searches begin, with the trials that Tables 3 and 4 have of them."""
    protocol(options.dataset)  # its error says which data sets there are
    table = compare(options, 0, {})
    rows = {row.key: row for row in table.rows}
    return Plan(
        name=table.name.replace("table0", "models", 1),
        table=0,
        rows=tuple(_named(rows[key]) for key in METHODS),
    )


def _named(row: PlanRow) -> PlanRow:
    """A row by what it is when its type of fusion is open; the paper has no such row."""
    key, label = FUSIONS.get(row.key, (row.key, row.label))
    return replace(row, key=key, label=label, paper="")


if __name__ == "__main__":
    import tyro

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))

    from analysis.search_table import write
    from mi2p.sweep import main

    main(chosen, plan, write)
