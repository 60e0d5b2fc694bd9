"""Table 6: other pre-trained backbones, without units and multimodal expanded (ME).

`python analysis/table6.py [results] [--plan NAME]` writes
`results/tables/<plan>.{tex,md,html,csv,json}` from the trials that are stored now; the sweep
calls `write` when it ends.
"""

from __future__ import annotations

from analysis.comparison import Comparison
from mi2p.backbones import textual_card, visual_card
from mi2p.plan import Plan


def subject(plan: Plan) -> str:
    """What is compared, and which frozen encoders the units look at."""
    models = [spec.model for spec in plan.specs() if spec.model.units is not None]
    words = {textual_card(m.textual).title for m in models if "words" in m.frozen and m.textual}
    maps = {visual_card(m.visual).title for m in models if "maps" in m.frozen and m.visual}
    text = (
        "Pre-trained backbones, and the same multimodal expanded (ME): with a MI2P unit at every "
        "block or layer."
    )
    if words:
        text += f" Units of CNNs look at the words of a frozen {', '.join(sorted(words))}."
    if maps:
        text += f" Units of transformers look at the map of a frozen {', '.join(sorted(maps))}."
    return text


TABLE = Comparison(number=6, head="Model", subject=subject)
write = TABLE.write

if __name__ == "__main__":
    TABLE.main()
