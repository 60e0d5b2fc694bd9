"""Table 4: all methods on UPMC Food-101 and MM-IMDB.

`python analysis/table4.py [results] [--plan NAME] [--tuned-threshold]` writes
`results/tables/<plan>.{tex,md,html,csv,json}` from the trials that are stored now, and what
becomes of the paper's claims beside it (`analysis/claims.py`); the sweep calls `write` when it
ends.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.table3 import TABLE as TABLE3

TABLE = replace(TABLE3, number=4, metrics={"accuracy": "Acc"})
write = TABLE.write

if __name__ == "__main__":
    TABLE.main()
