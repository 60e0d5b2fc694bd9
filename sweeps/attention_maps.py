"""Figure 3: what MI2P units attend to. `python sweeps/attention_maps.py --help`

For a trial of any row with units: the words and channels that attend to each other, as .npz with
all weights, .csv with the strongest, and pictures (.pdf, .png) in `results/attention/<trial_id>/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mi2p.attention import AttentionOptions


@dataclass(frozen=True, kw_only=True)
class Options(AttentionOptions):
    """Figure 3: attended words and channels, of a trial whose sweep is done."""


if __name__ == "__main__":
    import tyro

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))

    from analysis.figures.attention import write
    from mi2p.attention import main

    main(chosen, write)
