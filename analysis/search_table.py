"""Our models and what they expand, each with the configuration that a search chose.

`python analysis/search_table.py [results] [--plan NAME]` writes
`results/tables/<plan>.{tex,md,html,csv,json}` from the trials that are stored now; the sweep
(`sweeps/search.py`) calls `write` when it ends. The paper has no such table.
"""

from __future__ import annotations

from analysis.comparison import Comparison
from mi2p.plan import Plan


def subject(plan: Plan) -> str:
    """What is compared, and whether its hyper-parameters are those of a search."""
    text = (
        "A CNN, a transformer and their late fusion, and the same multimodal expanded (ME) with "
        "MI2P units."
    )
    if any(row.searched for row in plan.rows):
        text += (
            " Learning rates, heads, layers of units and the type of fusion are chosen by a "
            f"search; the choices are in {plan.name}-search beside this table."
        )
    return text


TABLE = Comparison(
    number=0,
    head="Model",
    subject=subject,
    reference_name="the same backbones without units",
)
write = TABLE.write

if __name__ == "__main__":
    TABLE.main()
