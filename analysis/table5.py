"""Table 5: MI2P units at different layers of the visual and the textual backbone.

`python analysis/table5.py [results] [--plan NAME]` writes
`results/tables/<plan>.{tex,md,html,csv,json}` from the trials that are stored now; the sweep
calls `write` when it ends.
"""

from __future__ import annotations

from analysis.comparison import Comparison

TABLE = Comparison(
    number=5,
    head="Model design",
    subject=lambda plan: (
        "MI2P units attached to different layers: MI2P{1-4} has one at each of layers (or blocks) "
        "1 to 4."
    ),
    printed_for="DenseNet and BERT",
)
write = TABLE.write

if __name__ == "__main__":
    TABLE.main()
