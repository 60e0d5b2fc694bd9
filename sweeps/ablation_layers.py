"""Table 5: which layers carry MI2P units. `python sweeps/ablation_layers.py --help`

Rows: the CNN without units, with a unit at each tap, with all of them; the BERT without units,
with units on each quarter of its layers (on thirds where four does not divide them), with all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mi2p.backbones import textual_card, visual_card
from mi2p.options import SweepOptions
from mi2p.plan import Plan, PlanRow
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec

# Chosen on validation, learning rates by the unimodal rows (README); the rows of a backbone share
# everything but the units.
VISUAL_TRAIN = TrainSpec(lr=3e-4, batch_size=32, epochs=2, head_lr_multiplier=10)
TEXTUAL_TRAIN = TrainSpec(lr=1e-4, batch_size=32, epochs=3, head_lr_multiplier=10)
VISUAL_UNITS = UnitSpec(attach=(1,), heads=8, init="zero_value", lr_multiplier=10)
TEXTUAL_UNITS = UnitSpec(attach=(1,), lr_multiplier=10)


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Table 5: which layers carry MI2P units."""

    visual: str = "efficientnet_lite0"
    """CNN: efficientnet_lite0 (packaged), densenet121, densenet161, densenet169, densenet201."""
    textual: str = "minilm"
    """Transformer: minilm (packaged) or bert-base-uncased."""
    epochs: int | None = None
    """Epochs of every trial, the best is chosen on validation. Default: 2 for CNN, 3 for BERT."""
    image_size: int = 128
    """Pixels; the 8 heads of a visual unit must divide the cells of its map."""


def models(options: Options) -> Iterator[tuple[str, str, ModelSpec]]:
    """Label, the paper's name and model of each row in order."""
    title, visual = visual_card(options.visual).title, ModelSpec(name="cnn", visual=options.visual)
    both = replace(visual, name="me_cnn", textual=options.textual, units=VISUAL_UNITS)
    yield title, "DenseNet", visual
    blocks: tuple[tuple[int, ...], ...] = ((1,), (2,), (3,), (4,), (1, 2, 3, 4))
    for taps in blocks:
        units = replace(VISUAL_UNITS, attach=taps)
        where = f" + MI2P{{{span(taps)}}}"
        yield title + where, "DenseNet" + where, replace(both, units=units)

    card, textual = textual_card(options.textual), ModelSpec(name="bert", textual=options.textual)
    both = replace(textual, name="me_bert", visual=options.visual, units=TEXTUAL_UNITS)
    yield card.title, "BERT", textual
    layers = tuple(range(1, card.num_layers + 1))
    size = len(layers) // (4 if len(layers) % 4 == 0 else 3)
    parts = [layers[start : start + size] for start in range(0, len(layers), size)]
    for taps in (*parts, layers):
        units = replace(TEXTUAL_UNITS, attach=taps, heads=card.num_heads)
        where = f" + MI2P{{{span(taps)}}}"
        yield card.title + where, "Bert" + where, replace(both, units=units)


def span(taps: tuple[int, ...]) -> str:
    """(1, 2, 3, 4) as the paper writes it: 1-4."""
    return f"{taps[0]}-{taps[-1]}" if len(taps) > 1 else str(taps[0])


def plan(options: Options) -> Plan:
    """The rows of Table 5 and their trials."""
    data = DataSpec(name=options.dataset, image_size=options.image_size)
    name, seeds, epochs = f"table5-{options.dataset}", options.seeds, options.epochs
    backbones = (options.visual, options.textual)
    if backbones != (Options.visual, Options.textual):
        name += "-" + "-".join(backbones)  # a table of its own: it does not replace the default's
    if options.smoke:
        name, seeds, epochs = f"{name}-smoke", seeds[:1], 1
        data = replace(data, limit=48)
    rows = []
    for label, paper, model in models(options):
        train = VISUAL_TRAIN if model.reads == "visual" else TEXTUAL_TRAIN
        train = train if epochs is None else replace(train, epochs=epochs)
        specs = tuple(TrialSpec(data=data, model=model, train=train, seed=s) for s in seeds)
        key = model.name + (f"-{span(model.units.attach)}" if model.units else "")
        rows.append(PlanRow(key=key, label=label, paper=paper, specs=specs))
    return Plan(name=name, table=5, dataset=options.dataset, rows=tuple(rows))


if __name__ == "__main__":
    import tyro

    from analysis.table5 import write
    from mi2p.sweep import main

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))
    main(chosen, plan, write)
