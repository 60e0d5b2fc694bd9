"""Table 3: all methods on the three tasks of CrisisMMD.

`python analysis/table3.py [results] [--plan NAME]` writes
`results/tables/<plan>.{tex,md,html,csv,json}` from the trials that are stored now, and what
becomes of the paper's claims beside it (`analysis/claims.py`); the sweep calls `write` when it
ends.
"""

from __future__ import annotations

from analysis import claims
from analysis.comparison import Comparison
from analysis.kinds import method_group, same_kind_plain
from analysis.notes import listing, of_methods
from analysis.sideways import setting
from mi2p.plan import Plan


def subject(plan: Plan) -> str:
    """What is compared, and on what."""
    named = listing([setting(dataset) for dataset in plan.datasets])
    return (
        f"Methods of image-text classification on {named}. ME: multimodal expanded, "
        "with MI2P units at every block or layer."
    )


TABLE = Comparison(
    number=3,
    head="Method",
    subject=subject,
    group=method_group,
    reference=same_kind_plain,
    reference_name="the plain method of the same kind",
    notes=of_methods,
    beside=claims.write,
)
write = TABLE.write

if __name__ == "__main__":
    TABLE.main()
